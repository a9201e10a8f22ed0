// The server's HTTP port, for monitoring: /metrics in Prometheus' text format,
// /healthz (the process lives) and /readyz (it serves and its store works;
// else 503). HTTP or HTTPS.
//
//   ASSIGN_OR_RETURN(auto port, HttpPort::Start(options, pages));
//   port->address()   // "127.0.0.1:9464"
//
// With a CA for client certificates, /metrics needs one; the other two pages,
// which tell nothing but yes or no, do not, so that probes can ask them.
// Connections, threads, time and bytes are bounded. Thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/tls_files.h"

namespace trainyard::adapters {

struct HttpPortOptions {
  std::string address = "127.0.0.1:9464";  // port 0: any free one
  TlsFiles tls;
  size_t threads = 3;
  size_t waiting = 32;  // connections that wait for a thread; more are closed
  absl::Duration connection_time = absl::Seconds(10);
  size_t request_bytes = 16 * 1024;
};

// Called on the port's threads, several at a time.
struct HttpPages {
  std::function<std::string()> metrics;
  std::function<absl::Status()> ready;
};

class HttpPort {
 public:
  // INVALID_ARGUMENT; UNAVAILABLE: it cannot listen there, and why.
  static absl::StatusOr<std::unique_ptr<HttpPort>> Start(
      const HttpPortOptions& options, HttpPages pages);
  ~HttpPort();  // breaks connections and ends the threads
  HttpPort(const HttpPort&) = delete;
  HttpPort& operator=(const HttpPort&) = delete;

  // HOST:PORT with the port that was taken.
  const std::string& address() const { return address_; }

 private:
  class Server;

  HttpPort();
  std::string address_;
  std::unique_ptr<Server> server_;
  std::thread acceptor_;
};

// Asks /readyz of a server on this machine, by HTTP or HTTPS, whichever it
// speaks. Its certificate is not checked: nothing is told to it. OK: it is
// ready. UNAVAILABLE: why not.
absl::Status AskReady(const std::string& address, absl::Duration timeout);

}  // namespace trainyard::adapters
