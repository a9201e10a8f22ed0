// One connection of the HTTP port, with bounds that hold whatever its peer
// does: a deadline for all of it, and so many bytes that may come in.
//
//   HttpConnection connection(socket, tls, limits, &stopping);
//   if (connection.Handshake()) … httplib reads and writes …
//
// One thread at a time. The socket is closed with it.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "httplib.h"

namespace trainyard::adapters {

struct HttpLimits {
  // From the connection's begin to its end.
  absl::Duration connection_time = absl::Seconds(10);
  // Request line, header fields and body together.
  size_t request_bytes = 16 * 1024;
};

class HttpConnection final : public httplib::Stream {
 public:
  // Takes the socket, and the TLS connection (null: plain text).
  HttpConnection(socket_t socket, SSL* ssl, const HttpLimits& limits,
                 const std::atomic<bool>* stopping);
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // False: no TLS came about.
  bool Handshake();
  // Whether the peer showed a certificate, which the CA then has signed.
  bool has_peer_certificate() const;

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  // Newer cpp-httplib asks these too.
  virtual bool wait_readable() const { return true; }
  virtual bool wait_writable() const { return true; }
  virtual time_t duration() const { return 0; }
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  // Waits until the socket can be read or written. False: too late.
  bool Wait(bool for_reading) const;
  // Waits for what TLS wants after `result`. False: it is over.
  bool WaitForTls(int result) const;
  // What has come, at least a byte. 0: its end. Negative: over.
  ssize_t Receive(char* to, size_t size);

  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  const socket_t socket_;
  const std::unique_ptr<SSL, FreeSsl> ssl_;
  const std::atomic<bool>* const stopping_;
  const absl::Time deadline_;
  size_t bytes_left_;
  std::string buffer_;  // came, and not read yet
  size_t taken_ = 0;    // of the buffer
};

}  // namespace trainyard::adapters
