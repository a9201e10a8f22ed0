// What the metadata service of a cloud says about the end of a spot instance.
// Pure: which question to ask, and what an answer means.
//
//   const MetadataQuery query = QueryOf(Cloud::kGcp);
//   …GET query.path with query.headers…
//   absl::StatusOr<std::optional<SpotNotice>> notice =
//       ParseSpotNotice(Cloud::kGcp, http_status, body);
//
// Sources: AWS "Spot Instance interruption notices" (meta-data/spot/
// instance-action, 404 until there is one), Google Cloud "Preemptible VM
// instances" (instance/preempted, TRUE or FALSE), Azure "Scheduled Events"
// (metadata/scheduledevents, EventType Preempt or Terminate).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::agent {

enum class Cloud { kNone, kAws, kGcp, kAzure };

// "none", "aws", "gcp", "azure". INVALID_ARGUMENT names what it may be.
absl::StatusOr<Cloud> ParseCloud(absl::string_view name);

struct MetadataQuery {
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;
  // AWS (IMDSv2) wants a token first: PUT with these headers; what it answers
  // goes with the question as the header token_header. Empty: no token.
  std::string token_path;
  std::vector<std::pair<std::string, std::string>> token_headers;
  std::string token_header;
};

// Not for Cloud::kNone.
MetadataQuery QueryOf(Cloud cloud);

// The machine is about to be taken away.
struct SpotNotice {
  // When; none: the service does not say, expect 30 seconds.
  std::optional<absl::Time> at;
};

// nullopt: there is no notice. An error: no sense could be made of the answer.
// `body` may be anything.
absl::StatusOr<std::optional<SpotNotice>> ParseSpotNotice(
    Cloud cloud, int http_status, absl::string_view body);

}  // namespace trainyard::agent
