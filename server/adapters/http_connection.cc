#include "server/adapters/http_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/time/clock.h"

namespace trainyard::adapters {
namespace {

// How fast a stop is noticed.
constexpr absl::Duration kSlice = absl::Milliseconds(100);
constexpr size_t kBufferBytes = 4096;

#ifdef MSG_NOSIGNAL
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;  // SIGPIPE is ignored by the program
#endif

}  // namespace

HttpConnection::HttpConnection(socket_t socket, SSL* ssl,
                               const HttpLimits& limits,
                               const std::atomic<bool>* stopping)
    : socket_(socket),
      ssl_(ssl),
      stopping_(stopping),
      deadline_(absl::Now() + limits.connection_time),
      bytes_left_(limits.request_bytes) {
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL, 0) | O_NONBLOCK);
  if (ssl_ != nullptr) SSL_set_fd(ssl_.get(), socket_);
}

HttpConnection::~HttpConnection() {
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_.get())) {
    SSL_shutdown(ssl_.get());
  }
  shutdown(socket_, SHUT_RDWR);
  close(socket_);
}

bool HttpConnection::Wait(bool for_reading) const {
  while (!stopping_->load(std::memory_order_relaxed)) {
    const absl::Duration left = deadline_ - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd descriptor = {
        socket_, static_cast<short>(for_reading ? POLLIN : POLLOUT), 0};
    const int ready =
        poll(&descriptor, 1,
             static_cast<int>(absl::ToInt64Milliseconds(
                 std::min(kSlice, left + absl::Milliseconds(1)))));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
  return false;
}

bool HttpConnection::WaitForTls(int result) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait(true);
    case SSL_ERROR_WANT_WRITE:
      return Wait(false);
    default:
      return false;
  }
}

bool HttpConnection::Handshake() {
  if (ssl_ == nullptr) return true;
  while (true) {
    const int result = SSL_accept(ssl_.get());
    if (result == 1) return true;
    if (!WaitForTls(result)) return false;
  }
}

bool HttpConnection::has_peer_certificate() const {
  if (ssl_ == nullptr) return false;
  X509* const certificate = SSL_get_peer_certificate(ssl_.get());
  X509_free(certificate);
  return certificate != nullptr;
}

ssize_t HttpConnection::Receive(char* to, size_t size) {
  while (true) {
    if (ssl_ != nullptr) {
      const int got = SSL_read(ssl_.get(), to, static_cast<int>(size));
      if (got > 0) return got;
      if (!WaitForTls(got)) return -1;
      continue;
    }
    const ssize_t got = recv(socket_, to, size, 0);
    if (got >= 0) return got;
    if (errno == EINTR) continue;
    if ((errno != EAGAIN && errno != EWOULDBLOCK) || !Wait(true)) return -1;
  }
}

ssize_t HttpConnection::read(char* to, size_t size) {
  if (taken_ == buffer_.size()) {
    if (bytes_left_ == 0) return -1;  // more than a request may have
    buffer_.resize(std::min(kBufferBytes, bytes_left_));
    taken_ = 0;
    const ssize_t got = Receive(buffer_.data(), buffer_.size());
    buffer_.resize(got > 0 ? static_cast<size_t>(got) : 0);
    if (got <= 0) return got;
    bytes_left_ -= static_cast<size_t>(got);
  }
  const size_t count = std::min(size, buffer_.size() - taken_);
  std::memcpy(to, buffer_.data() + taken_, count);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* from, size_t size) {
  if (size == 0) return 0;
  while (true) {
    if (ssl_ != nullptr) {
      const int sent = SSL_write(
          ssl_.get(), from, static_cast<int>(std::min<size_t>(size, 1 << 20)));
      if (sent > 0) return sent;
      if (!WaitForTls(sent)) return -1;
      continue;
    }
    const ssize_t sent = send(socket_, from, size, kNoSignal);
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    if ((errno != EAGAIN && errno != EWOULDBLOCK) || !Wait(false)) return -1;
  }
}

// Pages do not depend on addresses.
void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace trainyard::adapters
