// A terminal taken over by a view that is drawn again and again: alternate
// screen, no cursor, no echo. It is given back by the destructor, and by signal
// handlers where a signal ends or stops the program.
//
//   const std::unique_ptr<Screen> screen = TakeTerminal();
//   while (screen->WaitKey(absl::Seconds(1)) != 'q') screen->Draw(lines);
//
// Not thread-safe; one at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace trainyard::trainctl {

class Screen {
 public:
  static constexpr int kNoKey = -1;
  static constexpr int kGone = -2;     // the terminal was closed
  static constexpr int kResumed = -3;  // after Ctrl-Z: all must be drawn anew

  virtual ~Screen() = default;
  // Replaces all that is shown. Lines have no control characters but colours.
  virtual void Draw(const std::vector<std::string>& lines) = 0;
  // Blocks for at most that long. A key, or one of the above.
  virtual int WaitKey(absl::Duration patience) = 0;
};

// Standard output's, with keys from standard input where that is a terminal
// too.
std::unique_ptr<Screen> TakeTerminal();

// Gives the terminal back, if it is taken. For signal handlers too.
void RestoreTerminal();

}  // namespace trainyard::trainctl
