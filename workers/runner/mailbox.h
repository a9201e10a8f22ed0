// What the worker wants of a running attempt: the commands channel of
// docs/runner_protocol.md, read by one thread, picked up between steps.
//
//   Mailbox mailbox;
//   CommandReader reader(4, &mailbox, [] { _exit(1); });
//   if (mailbox.stop_wanted()) ...
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"

namespace trainyard::runner {

// A command stays until it is taken; the same command twice is one, so nothing
// queues up. Thread-safe.
class Mailbox {
 public:
  void AskForCheckpoint() { checkpoint_ = true; }
  void AskToStop() { stop_ = true; }

  // True once for each time it was asked for.
  bool TakeCheckpoint() { return checkpoint_.exchange(false); }
  bool stop_wanted() const { return stop_; }

 private:
  std::atomic<bool> checkpoint_ = false;
  std::atomic<bool> stop_ = false;
};

// Puts one line of the channel into the mailbox. An unknown command, or a line
// that is no command, is warned of and ignored.
void ObeyLine(absl::string_view line, Mailbox* mailbox);

// Reads commands on its own thread until the end of the file or destruction.
class CommandReader {
 public:
  // Borrows `descriptor` and `mailbox`. `on_end` runs once on the reader's
  // thread when the other end closes; not when this object is destroyed.
  CommandReader(int descriptor, Mailbox* mailbox, std::function<void()> on_end);
  // Ends the thread; does not wait for input.
  ~CommandReader();
  CommandReader(const CommandReader&) = delete;
  CommandReader& operator=(const CommandReader&) = delete;

 private:
  void Run();
  // False at the end of the file.
  bool ReadSome();

  const int descriptor_;
  Mailbox* const mailbox_;
  const std::function<void()> on_end_;
  int wake_[2] = {-1, -1};  // a pipe; a closed write end ends the thread
  std::string line_;        // of the reader's thread: what has no newline yet
  bool skipping_ = false;   // of the reader's thread: inside an over-long line
  std::thread thread_;
};

}  // namespace trainyard::runner
