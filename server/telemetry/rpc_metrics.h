// The port to measurements of the gRPC surface. server/adapters/
// prometheus_metrics implements it; tests use NoRpcMetrics.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::telemetry {

// Thread-safe; must not block. `method` is one of a fixed set, such as
// "JobService/SubmitJob", `code` a canonical code's name: labels stay bounded.
class RpcMetrics {
 public:
  virtual ~RpcMetrics() = default;
  // A unary call ended.
  virtual void OnCall(absl::string_view method, absl::string_view code,
                      absl::Duration duration) = 0;
  virtual void OnStreamOpened(absl::string_view method) = 0;
  virtual void OnStreamEnded(absl::string_view method,
                             absl::string_view code) = 0;
  // Lines and points were stored.
  virtual void OnTelemetry(size_t lines, size_t points) = 0;
};

class NoRpcMetrics : public RpcMetrics {
 public:
  void OnCall(absl::string_view, absl::string_view, absl::Duration) override {}
  void OnStreamOpened(absl::string_view) override {}
  void OnStreamEnded(absl::string_view, absl::string_view) override {}
  void OnTelemetry(size_t, size_t) override {}
};

}  // namespace trainyard::telemetry
