#include "server/rpc/validate.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_ensemble.h"
#include "server/rpc/validate_field.h"
#include "server/rpc/validate_training.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxNameCharacters = 128;
constexpr size_t kMaxAlternatives = 8;
constexpr absl::Duration kMaxLimit = absl::Hours(24 * 365 * 100);

bool IsNameCharacter(unsigned char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
}

absl::Status CheckName(v1::JobSpec* spec) {
  if (spec->name().empty()) {
    spec->set_name(spec->has_ensemble() ? "ensemble" : "training");
  }
  const std::string& name = spec->name();
  if (name.size() <= kMaxNameCharacters &&
      std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return absl::OkStatus();
  }
  return WrongValue("name", Quoted(name),
                    "1 to 128 letters, digits, '.', '_' and '-'");
}

absl::Status CheckDevice(int index, v1::DeviceRequest* device) {
  const auto path = [index](absl::string_view field) {
    return absl::StrCat("resources.devices[", index, "]", field);
  };
  RETURN_IF_ERROR(CheckKnown("resources.devices", *device));
  if (!FromProto("", device->kind()).ok()) {
    return FromProto(path(".kind"), device->kind()).status();
  }
  if (device->count() == 0) device->set_count(1);
  if (device->count() > 64) {
    return CheckWhole(path(".count"), device->count(), 1, 64);
  }
  if (device->count() > 1 && device->kind() != v1::DEVICE_KIND_CUDA) {
    return WrongValue(path(".count"), absl::StrCat(device->count()),
                      "1: a machine has one device of this kind");
  }
  return absl::OkStatus();
}

absl::Status CheckResources(v1::ResourceRequest* resources) {
  RETURN_IF_ERROR(CheckKnown("resources", *resources));
  RETURN_IF_ERROR(CheckCount("resources.devices",
                             static_cast<size_t>(resources->devices_size()),
                             kMaxAlternatives));
  if (resources->devices().empty()) {
    for (const v1::DeviceKind kind :
         {v1::DEVICE_KIND_CUDA, v1::DEVICE_KIND_MPS, v1::DEVICE_KIND_CPU}) {
      resources->add_devices()->set_kind(kind);
    }
  }
  for (int i = 0; i < resources->devices_size(); ++i) {
    RETURN_IF_ERROR(CheckDevice(i, resources->mutable_devices(i)));
  }
  return CheckLabels("resources.worker_labels", resources->worker_labels());
}

absl::Status CheckRetry(v1::RetryPolicy* retry) {
  RETURN_IF_ERROR(CheckKnown("retry", *retry));
  if (!retry->has_max_retries()) retry->set_max_retries(2);
  RETURN_IF_ERROR(
      CheckWhole("retry.max_retries", retry->max_retries(), 0, 100));
  if (!retry->has_backoff()) retry->mutable_backoff()->set_seconds(1);
  ASSIGN_OR_RETURN(const absl::Duration backoff,
                   FromProto("retry.backoff", retry->backoff()));
  if (backoff >= absl::ZeroDuration() && backoff <= kMaxLimit) {
    return absl::OkStatus();
  }
  return WrongValue("retry.backoff", absl::FormatDuration(backoff),
                    "at least 0 and below 100 years");
}

absl::Status CheckLimit(absl::string_view path,
                        const google::protobuf::Duration& proto) {
  ASSIGN_OR_RETURN(const absl::Duration limit, FromProto(path, proto));
  if (limit > absl::ZeroDuration() && limit <= kMaxLimit) {
    return absl::OkStatus();
  }
  return WrongValue(path, absl::FormatDuration(limit),
                    "above 0 and below 100 years, or left out for no limit");
}

absl::Status CheckLimits(const v1::Limits& limits) {
  RETURN_IF_ERROR(CheckKnown("limits", limits));
  if (limits.has_run_time()) {
    RETURN_IF_ERROR(CheckLimit("limits.run_time", limits.run_time()));
  }
  if (!limits.has_queue_time()) return absl::OkStatus();
  return CheckLimit("limits.queue_time", limits.queue_time());
}

}  // namespace

absl::Status ValidateAndComplete(v1::JobSpec* spec) {
  if (const size_t bytes = spec->ByteSizeLong(); bytes > kMaxSpecBytes) {
    return WrongValue("spec", absl::StrCat(WithCommas(bytes), " bytes"),
                      "at most 1 MiB");
  }
  RETURN_IF_ERROR(CheckKnown("spec", *spec));
  if (!spec->has_training() && !spec->has_ensemble()) {
    return NotSet("training", "there, or ensemble: it says what to do");
  }
  RETURN_IF_ERROR(CheckName(spec));
  if (spec->has_training()) {
    RETURN_IF_ERROR(ValidateAndComplete(spec->mutable_training()));
  } else {
    RETURN_IF_ERROR(ValidateAndComplete(spec->mutable_ensemble()));
  }
  RETURN_IF_ERROR(CheckResources(spec->mutable_resources()));
  RETURN_IF_ERROR(CheckRetry(spec->mutable_retry()));
  if (spec->has_limits()) RETURN_IF_ERROR(CheckLimits(spec->limits()));
  if (spec->queue().empty()) spec->set_queue(core::kDefaultQueue);
  if (!IsQueueName(spec->queue())) {
    return WrongValue("queue", Quoted(spec->queue()),
                      "1 to 63 lower-case letters, digits and '-'");
  }
  RETURN_IF_ERROR(CheckUser("user", spec->user()));
  if (spec->priority() < -1000 || spec->priority() > 1000) {
    return WrongValue("priority", absl::StrCat(spec->priority()),
                      "-1000 to 1000");
  }
  return CheckLabels("labels", spec->labels());
}

}  // namespace trainyard::rpc
