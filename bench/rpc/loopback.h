// What every benchmark of a real server over loopback needs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/channel.h"

namespace trainyard::bench {

// A folder below `parent`; removed with all in it.
class Folder {
 public:
  explicit Folder(const std::string& parent);
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }  // empty: not made

 private:
  std::string path_;
};

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

// Each its own connection. UNAVAILABLE: one is not there within 60 s.
absl::StatusOr<Channels> Connect(const std::string& address, int count);

}  // namespace trainyard::bench
