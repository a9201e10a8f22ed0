#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/artifacts.h"
#include "client/file.h"
#include "client/folder_manifest.h"
#include "client/sha256.h"
#include "client/transfer.h"

namespace trainyard::client {
namespace {

namespace fs = std::filesystem;

absl::Status SystemError(const std::string& path,
                         const std::error_code& error) {
  return absl::ErrnoToStatus(error.value(), path);
}

// The blob as far as it has come: "<path>.part-<hash>".
std::string PartPath(const std::string& path, const std::string& artifact) {
  return absl::StrCat(path, ".part-", artifact.substr(7, 12));
}

// One stream from the part's size to the blob's end.
absl::Status ReceiveRest(Client& client, const std::string& artifact,
                         File* part, uint64_t* moved, CancelToken* cancel,
                         ProgressMeter* meter) {
  ASSIGN_OR_RETURN(uint64_t offset, part->Size());
  grpc::ClientContext context;
  context.set_deadline(
      absl::ToChronoTime(absl::Now() + client.options().stream_lifetime));
  const CancelToken::Scope scope(cancel, &context);
  v1::DownloadArtifactRequest request;
  request.set_name(artifact);
  request.set_offset(offset);
  const auto stream = client.artifacts().DownloadArtifact(&context, request);
  v1::DownloadArtifactResponse chunk;
  absl::Status status;
  while (stream->Read(&chunk)) {
    if (!status.ok()) continue;  // drains what is left after TryCancel
    if (chunk.offset() != offset && !chunk.data().empty()) {
      status = absl::DataLossError(absl::StrCat(
          artifact, ": the server sent bytes from ", chunk.offset(),
          " where those from ", offset, " belong"));
    } else {
      status = part->Append(chunk.data());
    }
    if (!status.ok()) {
      context.TryCancel();
      continue;
    }
    offset += chunk.data().size();
    *moved += chunk.data().size();
    meter->Add(chunk.data().size());
  }
  const absl::Status end = FromGrpcStatus(stream->Finish());
  return status.ok() ? end : status;
}

// Brings the blob to its part file, whole and checked; leaves it synced.
absl::StatusOr<FileHash> DownloadPart(Client& client,
                                      const std::string& artifact,
                                      const std::string& part_path,
                                      CancelToken* cancel,
                                      ProgressMeter* meter) {
  const auto present = HashFile(part_path);
  if (present.ok() && present->name == artifact) return present;
  uint64_t moved = 0;
  absl::Status damage;  // of the first try
  for (const bool last_try : {false, true}) {
    absl::Status status =
        RetryTransfer(client, cancel, moved, [&]() -> absl::Status {
          ASSIGN_OR_RETURN(File part, File::OpenToAppend(part_path));
          RETURN_IF_ERROR(
              ReceiveRest(client, artifact, &part, &moved, cancel, meter));
          return part.Sync();
        });
    if (status.ok()) {
      ASSIGN_OR_RETURN(const FileHash hash, HashFile(part_path));
      if (hash.name == artifact) return hash;
      status = absl::DataLossError(
          absl::StrCat(artifact, ": the bytes that came are ", hash.name));
    }
    // A part of an earlier run may be bad: once more, from the start.
    const bool stale = status.code() == absl::StatusCode::kDataLoss ||
                       status.code() == absl::StatusCode::kOutOfRange;
    std::error_code ignored;
    if (stale || fs::file_size(part_path, ignored) == 0) {
      fs::remove(part_path, ignored);
    }
    // A server puts a damaged blob aside; then it is "not found", but why is
    // what the caller wants to know.
    if (last_try && absl::IsNotFound(status) && !damage.ok()) return damage;
    if (last_try || !stale) return status;
    damage = status;
  }
  return absl::InternalError("not reached");
}

absl::Status MakeParent(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  std::error_code error;
  if (!parent.empty()) fs::create_directories(parent, error);
  return error ? SystemError(parent.string(), error) : absl::OkStatus();
}

absl::Status DownloadFile(Client& client, const FolderEntry& entry,
                          const std::string& path, CancelToken* cancel,
                          ProgressMeter* meter) {
  const auto present = HashFile(path);
  if (present.ok() && present->name == entry.artifact) {
    meter->Add(present->size_bytes);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(MakeParent(path));
  const std::string part = PartPath(path, entry.artifact);
  ASSIGN_OR_RETURN(const FileHash hash,
                   DownloadPart(client, entry.artifact, part, cancel, meter));
  std::error_code error;
  fs::rename(part, path, error);
  return error ? SystemError(path, error) : absl::OkStatus();
}

// The manifest's entries if the blob in the file is one; else none.
absl::StatusOr<std::vector<FolderEntry>> ReadManifest(const std::string& path,
                                                      uint64_t size) {
  if (size > kMaxManifestBytes) return std::vector<FolderEntry>();
  ASSIGN_OR_RETURN(const File file, File::OpenToRead(path));
  ASSIGN_OR_RETURN(const std::string start, file.ReadAt(0, 64));
  if (!LooksLikeManifest(start)) return std::vector<FolderEntry>();
  ASSIGN_OR_RETURN(const std::string text, file.ReadAt(0, size));
  return ParseManifest(text);
}

absl::StatusOr<StoredPath> DownloadFolder(
    Client& client, const std::string& artifact,
    const std::vector<FolderEntry>& entries, const std::string& path,
    const TransferOptions& options) {
  uint64_t total = 0;
  for (const FolderEntry& entry : entries) total += entry.size_bytes;
  for (const FolderEntry& entry : entries) {
    if (options.overwrite) break;
    RETURN_IF_ERROR(
        CheckNotInTheWay(absl::StrCat(path, "/", entry.path), entry.artifact));
  }
  ProgressMeter meter(options, total);
  RETURN_IF_ERROR(ParallelFor(
      entries.size(), options.parallel, [&](size_t i) -> absl::Status {
        const std::string file = absl::StrCat(path, "/", entries[i].path);
        return WithContext(
            DownloadFile(client, entries[i], file, options.cancel, &meter),
            entries[i].path);
      }));
  return StoredPath{artifact, total, entries.size(), true};
}

}  // namespace

absl::Status CheckNotInTheWay(const std::string& path,
                              const std::string& artifact) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return absl::OkStatus();
  const auto present = HashFile(path);
  if (present.ok() && present->name == artifact) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(path, ": is there already, with other content"));
}

absl::StatusOr<StoredPath> DownloadPath(Client& client,
                                        const std::string& artifact,
                                        const std::string& path,
                                        const TransferOptions& options) {
  if (!IsArtifactName(artifact)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "artifact \"", artifact, "\": must be \"sha256:\" and 64 hex digits"));
  }
  const auto present = HashFile(path);
  if (present.ok() && present->name == artifact) {
    return StoredPath{artifact, present->size_bytes, 1, false};
  }
  std::error_code error;
  // A folder may be filled by a folder; that its files are free is seen there.
  if (!options.overwrite && !fs::is_directory(path, error)) {
    RETURN_IF_ERROR(CheckNotInTheWay(path, artifact));
  }
  ASSIGN_OR_RETURN(const auto stat, client.StatArtifact(artifact));
  if (!stat.has_artifact()) {
    return absl::NotFoundError(
        absl::StrCat(artifact, ": only ", stat.received_bytes(),
                     " bytes of it have been uploaded so far"));
  }
  RETURN_IF_ERROR(MakeParent(path));
  const std::string part = PartPath(path, artifact);
  ProgressMeter meter(options, stat.artifact().size_bytes());
  ASSIGN_OR_RETURN(const FileHash hash, DownloadPart(client, artifact, part,
                                                     options.cancel, &meter));
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries,
                   ReadManifest(part, hash.size_bytes));
  if (!entries.empty()) {
    fs::remove(part, error);
    return DownloadFolder(client, artifact, entries, path, options);
  }
  fs::rename(part, path, error);
  if (error) return SystemError(path, error);
  return StoredPath{artifact, hash.size_bytes, 1, false};
}

}  // namespace trainyard::client
