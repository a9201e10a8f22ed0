#include "workers/agent/cloud/spot_watch.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "httplib.h"

namespace trainyard::agent {
namespace {

constexpr size_t kMaxBodyBytes = 64 << 10;

httplib::Headers ToHeaders(
    const std::vector<std::pair<std::string, std::string>>& headers) {
  return httplib::Headers(headers.begin(), headers.end());
}

absl::Status NoAnswer(const std::string& endpoint, httplib::Error error) {
  return absl::UnavailableError(
      absl::StrCat(endpoint, ": ", httplib::to_string(error)));
}

}  // namespace

absl::Status CheckMetadataEndpoint(const std::string& endpoint) {
  constexpr absl::string_view kScheme = "http://";
  const absl::string_view view = endpoint;
  const absl::string_view rest = view.substr(0, kScheme.size()) == kScheme
                                     ? view.substr(kScheme.size())
                                     : "";
  if (!rest.empty() && rest.find_first_of("/?#@ ") == absl::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--metadata-endpoint ", endpoint,
                   ": must be http://HOST or http://HOST:PORT"));
}

absl::StatusOr<std::optional<SpotNotice>> AskForSpotNotice(
    const SpotWatchOptions& options) {
  const MetadataQuery query = QueryOf(options.cloud);
  httplib::Client client(options.endpoint);
  const auto seconds = absl::ToInt64Seconds(options.timeout);
  const auto rest =
      absl::ToInt64Microseconds(options.timeout % absl::Seconds(1));
  client.set_connection_timeout(seconds, rest);
  client.set_read_timeout(seconds, rest);
  client.set_write_timeout(seconds, rest);
  httplib::Headers headers = ToHeaders(query.headers);
  if (!query.token_path.empty()) {
    const auto token = client.Put(
        query.token_path, ToHeaders(query.token_headers), "", "text/plain");
    if (!token) return NoAnswer(options.endpoint, token.error());
    if (token->status != 200 || token->body.size() > 1024) {
      return absl::UnavailableError(absl::StrCat(
          options.endpoint, query.token_path, ": HTTP status ", token->status));
    }
    headers.emplace(query.token_header, token->body);
  }
  std::string body;
  const auto answer =
      client.Get(query.path, headers, [&body](const char* data, size_t size) {
        body.append(data, size);
        return body.size() <= kMaxBodyBytes;
      });
  if (!answer) return NoAnswer(options.endpoint, answer.error());
  return ParseSpotNotice(options.cloud, answer->status, body);
}

SpotWatch::SpotWatch(SpotWatchOptions options,
                     std::function<void(const SpotNotice&)> on_notice)
    : options_(std::move(options)), on_notice_(std::move(on_notice)) {
  if (options_.cloud == Cloud::kNone) return;
  thread_ = std::thread([this] { Run(); });
}

SpotWatch::~SpotWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SpotWatch::Run() {
  bool warned = false;
  for (;;) {
    const absl::StatusOr<std::optional<SpotNotice>> answer =
        AskForSpotNotice(options_);
    if (answer.ok() && answer->has_value()) {
      on_notice_(**answer);
      return;
    }
    // Said once, not at each try; again after it had worked in between.
    if (!answer.ok() && !warned) {
      spdlog::warn("cannot ask for spot notices: {}",
                   std::string(answer.status().message()));
    }
    warned = !answer.ok();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_),
                                options_.interval)) {
      return;
    }
  }
}

}  // namespace trainyard::agent
