#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/artifacts.h"
#include "client/file.h"
#include "client/folder_manifest.h"
#include "client/sha256.h"
#include "client/transfer.h"
#include "proto/json/utf8.h"

namespace trainyard::client {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestDisplayName = 255;

// A blob to send, wherever its bytes are.
struct Blob {
  FileHash hash;
  std::string display_name;
  std::function<absl::StatusOr<std::string>(uint64_t offset, size_t size)> read;
};

struct LocalFile {
  std::string path;      // to open it
  std::string relative;  // in the folder
  uint64_t size_bytes = 0;
};

std::string DisplayName(const fs::path& path) {
  std::string name = fs::absolute(path).lexically_normal().filename().string();
  if (name.empty()) {  // "folder/"
    name = fs::absolute(path).lexically_normal().parent_path().filename();
  }
  if (name.size() > kLongestDisplayName) name.resize(kLongestDisplayName);
  while (!IsUtf8(name)) name.pop_back();  // of a cut character at least
  // It is only for show: better none than one that a server refuses.
  return CheckRelativePath(name).ok() ? name : "";
}

// Bytes the server has of the blob; its size: all of it, checked.
absl::StatusOr<uint64_t> ReceivedBytes(Client& client, const Blob& blob,
                                       bool* complete) {
  const auto stat = client.StatArtifact(blob.hash.name);
  *complete = stat.ok() && stat->has_artifact();
  if (stat.ok()) return stat->received_bytes();
  if (stat.status().code() == absl::StatusCode::kNotFound) return 0;
  return stat.status();
}

// One stream from `offset` to the end.
absl::Status SendFrom(Client& client, const Blob& blob, uint64_t offset,
                      CancelToken* cancel,
                      const std::function<void(uint64_t)>& sent) {
  grpc::ClientContext context;
  context.set_deadline(
      absl::ToChronoTime(absl::Now() + client.options().stream_lifetime));
  const CancelToken::Scope scope(cancel, &context);
  v1::UploadArtifactResponse response;
  const auto stream = client.artifacts().UploadArtifact(&context, &response);
  v1::UploadArtifactRequest chunk;
  chunk.set_name(blob.hash.name);
  chunk.set_size_bytes(blob.hash.size_bytes);
  chunk.set_display_name(blob.display_name);
  absl::Status read_error;
  do {  // an empty blob is one empty chunk
    absl::StatusOr<std::string> bytes = blob.read(
        offset, std::min<uint64_t>(kChunkBytes, blob.hash.size_bytes - offset));
    if (!bytes.ok() || (bytes->empty() && offset < blob.hash.size_bytes)) {
      read_error =
          bytes.ok()
              ? absl::AbortedError(absl::StrCat(
                    blob.display_name, " became shorter while it was uploaded"))
              : bytes.status();
      context.TryCancel();
      break;
    }
    const size_t size = bytes->size();
    chunk.set_offset(offset);
    chunk.set_data(*std::move(bytes));
    if (!stream->Write(chunk)) break;  // Finish says why
    offset += size;
    sent(offset);
    chunk.Clear();
  } while (offset < blob.hash.size_bytes);
  stream->WritesDone();
  absl::Status status = FromGrpcStatus(stream->Finish());
  if (!read_error.ok()) return read_error;
  return status.code() == absl::StatusCode::kDataLoss
             ? WithContext(status, absl::StrCat(blob.display_name,
                                                " (changed while it was "
                                                "uploaded?)"))
             : status;
}

absl::Status UploadBlob(Client& client, const Blob& blob, CancelToken* cancel,
                        ProgressMeter* meter) {
  uint64_t reported = 0;  // sent, as far as we know
  uint64_t moved = 0;     // received, as the server says
  const auto report = [&](uint64_t offset) {
    if (offset > reported) meter->Add(offset - reported);
    reported = std::max(reported, offset);
  };
  RETURN_IF_ERROR(RetryTransfer(client, cancel, moved, [&]() -> absl::Status {
    bool complete = false;
    ASSIGN_OR_RETURN(const uint64_t received,
                     ReceivedBytes(client, blob, &complete));
    if (complete) return absl::OkStatus();
    if (received > blob.hash.size_bytes) {
      return absl::InternalError(
          absl::StrCat("the server says it has ", received, " of ",
                       blob.hash.size_bytes, " bytes of ", blob.hash.name));
    }
    moved = std::max(moved, received);
    report(received);
    meter->SetSent();
    return SendFrom(client, blob, received, cancel, report);
  }));
  meter->Add(blob.hash.size_bytes - reported);  // what was there already
  return absl::OkStatus();
}

absl::StatusOr<FileHash> UploadFile(Client& client, const std::string& path,
                                    CancelToken* cancel, ProgressMeter* meter) {
  ASSIGN_OR_RETURN(const FileHash hash, HashFile(path));
  ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
  const Blob blob{hash, DisplayName(path), [&](uint64_t offset, size_t size) {
                    return file.ReadAt(offset, size);
                  }};
  RETURN_IF_ERROR(WithContext(UploadBlob(client, blob, cancel, meter), path));
  return hash;
}

// All files below a folder, by relative path.
absl::StatusOr<std::vector<LocalFile>> ListFolder(const std::string& folder) {
  std::vector<LocalFile> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    const std::string shown = absl::CHexEscape(path.string());
    if (it->is_directory(error) && !it->is_symlink(error)) continue;
    if (!it->is_regular_file(error)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path.string(), ": must be a file or folder, or a link to a file"));
    }
    LocalFile file{path.string(),
                   path.lexically_relative(folder).generic_string(),
                   it->file_size(error)};
    RETURN_IF_ERROR(CheckRelativePath(file.relative));
    if (!IsUtf8(file.relative)) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown, ": the name must be valid UTF-8"));
    }
    files.push_back(std::move(file));
    if (files.size() > kMaxFolderFiles) {
      return absl::InvalidArgumentError(absl::StrCat(
          folder, ": holds more than ", kMaxFolderFiles, " files"));
    }
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": ", error.message()));
  }
  if (files.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": holds no files"));
  }
  return files;
}

// Hashes (and, with a client, uploads) each file, then the manifest.
absl::StatusOr<StoredPath> StoreFolder(Client* client, const std::string& path,
                                       const TransferOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<LocalFile> files, ListFolder(path));
  uint64_t total = 0;
  for (const LocalFile& file : files) total += file.size_bytes;
  ProgressMeter meter(options, total);
  std::vector<FolderEntry> entries(files.size());
  RETURN_IF_ERROR(ParallelFor(
      files.size(), options.parallel, [&](size_t i) -> absl::Status {
        ASSIGN_OR_RETURN(const FileHash hash,
                         client != nullptr ? UploadFile(*client, files[i].path,
                                                        options.cancel, &meter)
                                           : HashFile(files[i].path));
        entries[i] = {files[i].relative, hash.name, hash.size_bytes};
        return absl::OkStatus();
      }));
  StoredPath stored{"", 0, entries.size(), true};
  for (const FolderEntry& entry : entries)
    stored.size_bytes += entry.size_bytes;
  const std::string manifest = FormatManifest(std::move(entries));
  Sha256 hash;
  hash.Update(manifest);
  stored.artifact = hash.Name();
  if (client != nullptr) {
    const Blob blob{
        {stored.artifact, manifest.size()},
        DisplayName(path),
        [&](uint64_t offset, size_t size) {
          return absl::StatusOr<std::string>(manifest.substr(offset, size));
        }};
    const TransferOptions quiet;
    ProgressMeter manifest_meter(quiet, 0);
    RETURN_IF_ERROR(UploadBlob(*client, blob, options.cancel, &manifest_meter));
    stored.sent = meter.sent() || manifest_meter.sent();
  }
  return stored;
}

absl::StatusOr<StoredPath> Store(Client* client, const std::string& path,
                                 const TransferOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": ", error ? error.message() : "does not exist"));
  }
  if (fs::is_directory(status)) return StoreFolder(client, path, options);
  if (client == nullptr) {
    ASSIGN_OR_RETURN(const FileHash hash, HashFile(path));
    return StoredPath{hash.name, hash.size_bytes, 1, false};
  }
  ASSIGN_OR_RETURN(const uint64_t size, [&]() -> absl::StatusOr<uint64_t> {
    ASSIGN_OR_RETURN(const File file, File::OpenToRead(path));
    return file.Size();
  }());
  ProgressMeter meter(options, size);
  ASSIGN_OR_RETURN(const FileHash hash,
                   UploadFile(*client, path, options.cancel, &meter));
  return StoredPath{hash.name, hash.size_bytes, 1, false, meter.sent()};
}

}  // namespace

absl::StatusOr<StoredPath> UploadPath(Client& client, const std::string& path,
                                      const TransferOptions& options) {
  return Store(&client, path, options);
}

absl::StatusOr<StoredPath> DescribePath(const std::string& path) {
  return Store(nullptr, path, {});
}

}  // namespace trainyard::client
