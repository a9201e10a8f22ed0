// How far an upload or download is, on stderr.
//
//   TransferLine line(console, "download ./copy");
//   DownloadPath(client, artifact, "./copy", line.Options());
//   line.Finish("./copy: 52.3 MiB");
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "client/artifacts.h"
#include "client/trainctl/console.h"

namespace trainyard::trainctl {

// The path from where trainctl was called, if it lies below; else unchanged.
std::string ShownPath(const std::string& path);

// Options().progress is called by one thread at a time; nothing else of this
// class meanwhile.
class TransferLine {
 public:
  TransferLine(const Console& console, std::string what);
  ~TransferLine();  // takes the line away
  TransferLine(const TransferLine&) = delete;
  TransferLine& operator=(const TransferLine&) = delete;

  client::TransferOptions Options();
  void Finish(const std::string& summary);
  // "uploaded ./glyphs: 4 files, 52.3 MiB", or that it is there already; `did`
  // is "uploaded".
  void FinishUpload(const char* did, const std::string& path,
                    const client::StoredPath& stored);

 private:
  void Show(uint64_t done, uint64_t total);
  void Erase();

  const Console& console_;
  const std::string what_;
  absl::Time next_ = absl::InfinitePast();
  bool up_ = false;
};

}  // namespace trainyard::trainctl
