#include "server/adapters/http_port.h"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "server/adapters/http_connection.h"
#include "server/adapters/http_tasks.h"
#include "server/adapters/tls_context.h"

namespace trainyard::adapters {
namespace {

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";
// Set by us on each request, whatever it came with.
constexpr char kPeerHeader[] = "Trainyard-Peer-Verified";

void Plain(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", kText);
}

absl::Status CannotListen(const std::string& address, int error) {
  const std::string why =
      error == EADDRINUSE ? "another program has the port" : strerror(error);
  return absl::UnavailableError(
      absl::StrCat("--metrics-address: cannot listen on ", address, ": ", why,
                   "; choose another port, 0 for any free one, or off"));
}

}  // namespace

// cpp-httplib's server on connections of our own, one request each.
class HttpPort::Server final : public httplib::Server {
 public:
  Server(const HttpPortOptions& options, HttpPages pages,
         std::unique_ptr<TlsContext> tls)
      : limits_{options.connection_time, options.request_bytes},
        needs_certificate_(!options.tls.client_ca.empty()),
        pages_(std::move(pages)),
        tls_(std::move(tls)) {
    new_task_queue = [options] {
      return new HttpTasks(options.threads, options.waiting);
    };
    // Without SO_REUSEPORT: a second server on the port would get some of the
    // calls.
    set_socket_options([](socket_t socket) {
      const int on = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    set_payload_max_length(0);
    AddPages();
  }

  // A port, or the error number.
  std::pair<int, int> Bind(const HostPort& at) {
    errno = 0;
    const int port = at.port == 0 ? bind_to_any_port(at.host)
                     : bind_to_port(at.host, at.port) ? at.port
                                                      : -1;
    return {port, port > 0 ? 0 : errno == 0 ? EADDRNOTAVAIL : errno};
  }

  // On a thread of its own, until Break().
  void Listen() {
    listen_after_bind();
    ended_ = true;
  }

  void Break() {
    stopping_ = true;
    // stop() before Listen() runs would be lost.
    while (!is_running() && !ended_) std::this_thread::yield();
    stop();
  }

 private:
  void AddPages() {
    Get("/metrics",
        [this](const httplib::Request& request, httplib::Response& response) {
          if (needs_certificate_ && !request.has_header(kPeerHeader)) {
            return Plain(response, 403,
                         "/metrics needs a client certificate by the CA of "
                         "--tls-client-ca");
          }
          response.set_content(pages_.metrics(), kMetricsText);
        });
    Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      Plain(response, 200, "ok");
    });
    Get("/readyz",
        [this](const httplib::Request&, httplib::Response& response) {
          const absl::Status status = pages_.ready();
          if (status.ok()) return Plain(response, 200, "ok");
          Plain(response, 503, std::string(status.message()));
        });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      Plain(response, response.status,
            response.status == 404
                ? "there are GET /metrics, /healthz and /readyz"
                : "the request cannot be served");
    });
  }

  bool process_and_close_socket(socket_t socket) override {
    SSL* ssl = nullptr;
    if (tls_ != nullptr && !HttpTasks::refusing()) ssl = tls_->NewConnection();
    HttpConnection connection(socket, ssl, limits_, &stopping_);
    if (HttpTasks::refusing() || (tls_ != nullptr && ssl == nullptr)) {
      return false;
    }
    if (!connection.Handshake()) return false;
    const bool verified = connection.has_peer_certificate();
    return Serve(&Server::process_request, connection,
                 [verified](auto& request) {
                   request.headers.erase(kPeerHeader);
                   if (verified) request.headers.emplace(kPeerHeader, "yes");
                 });
  }

  // As cpp-httplib 0.11 has it, and as newer ones.
  using SetUp = std::function<void(httplib::Request&)>;
  using Process = bool (httplib::Server::*)(httplib::Stream&, bool, bool&,
                                            const SetUp&);
  using NewProcess = bool (httplib::Server::*)(httplib::Stream&,
                                               const std::string&, int,
                                               const std::string&, int, bool,
                                               bool&, const SetUp&);
  bool Serve(Process process, httplib::Stream& stream, const SetUp& set_up) {
    bool closed = false;
    return (this->*process)(stream, /*close_connection=*/true, closed, set_up);
  }
  bool Serve(NewProcess process, httplib::Stream& stream, const SetUp& set_up) {
    bool closed = false;
    return (this->*process)(stream, "", 0, "", 0, /*close_connection=*/true,
                            closed, set_up);
  }

  const HttpLimits limits_;
  const bool needs_certificate_;
  const HttpPages pages_;
  const std::unique_ptr<TlsContext> tls_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ended_ = false;
};

HttpPort::HttpPort() = default;

absl::StatusOr<std::unique_ptr<HttpPort>> HttpPort::Start(
    const HttpPortOptions& options, HttpPages pages) {
  const absl::StatusOr<HostPort> at = ParseHostPort(options.address);
  if (!at.ok()) return WithContext(at.status(), "--metrics-address");
  std::unique_ptr<TlsContext> tls;
  if (options.tls.on()) {
    ASSIGN_OR_RETURN(tls, TlsContext::Load(options.tls, RealClock()));
  }
  auto http = std::unique_ptr<HttpPort>(new HttpPort);
  http->server_ =
      std::make_unique<Server>(options, std::move(pages), std::move(tls));
  const auto [port, error] = http->server_->Bind(*at);
  if (port <= 0) return CannotListen(options.address, error);
  http->address_ = absl::StrCat(
      options.address.substr(0, options.address.rfind(':')), ":", port);
  Server* const server = http->server_.get();
  http->acceptor_ = std::thread([server] { server->Listen(); });
  return http;
}

HttpPort::~HttpPort() {
  if (!acceptor_.joinable()) return;
  server_->Break();
  acceptor_.join();
}

absl::Status AskReady(const std::string& address, absl::Duration timeout) {
  const absl::StatusOr<HostPort> at = ParseHostPort(address);
  if (!at.ok()) return WithContext(at.status(), "--metrics-address");
  const std::string host = at->host == "0.0.0.0" ? "127.0.0.1"
                           : at->host == "::"    ? "::1"
                                                 : at->host;
  const auto seconds = static_cast<time_t>(
      absl::ToInt64Seconds(absl::Ceil(timeout, absl::Seconds(1))));
  const auto ask = [seconds](auto& client) {
    client.set_connection_timeout(seconds);
    client.set_read_timeout(seconds);
    return client.Get("/readyz");
  };
  httplib::Client plain(host, at->port);
  httplib::Result result = ask(plain);
  if (!result) {
    httplib::SSLClient tls(host, at->port);
    tls.enable_server_certificate_verification(false);
    result = ask(tls);
  }
  if (!result) {
    return absl::UnavailableError(
        absl::StrCat(address,
                     " does not answer: is trainyard-server running "
                     "with this --metrics-address?"));
  }
  if (result->status == 200) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      address, " answers ", result->status, ": ", result->body.substr(0, 200)));
}

}  // namespace trainyard::adapters
