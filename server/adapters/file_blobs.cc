#include "server/adapters/file_blobs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/adapters/file.h"
#include "server/adapters/file_blob_reader.h"
#include "server/adapters/sha256.h"

namespace trainyard::adapters {
namespace {

using engine::BlobInfo;
using engine::BlobStat;

constexpr absl::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;
constexpr size_t kChunk = 1 << 20;

constexpr const char* kSchema[] = {
    R"(
CREATE TABLE blobs(
  number INTEGER PRIMARY KEY, hex TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL,
  create_time INTEGER NOT NULL, display_name TEXT NOT NULL);
)",
};

bool IsHex(absl::string_view text) {
  return text.size() == kHexDigits &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

// The digits of "sha256:…".
absl::StatusOr<std::string> Hex(const std::string& name) {
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, kPrefix) && IsHex(rest))
    return std::string(rest);
  return absl::InvalidArgumentError(
      absl::StrCat("artifact name \"", name.substr(0, 100),
                   "\": must be \"sha256:\" and 64 lower-case hex digits"));
}

// Of a row of (hex, size_bytes, create_time, display_name).
BlobInfo ToInfo(const Statement& row) {
  return {absl::StrCat(std::string(kPrefix), row.Text(0)),
          static_cast<uint64_t>(row.Int(1)), row.Time(2), row.Text(3)};
}

}  // namespace

// Takes bytes into partial/, then moves them to their place.
class FileBlobs::Writer : public engine::BlobWriter {
 public:
  // There already.
  Writer(FileBlobs* store, BlobInfo info)
      : store_(store), info_(std::move(info)) {}
  Writer(FileBlobs* store, std::string hex, BlobInfo info,
         std::shared_ptr<Upload> upload, uint64_t number, File file,
         uint64_t offset)
      : store_(store),
        hex_(std::move(hex)),
        info_(std::move(info)),
        upload_(std::move(upload)),
        number_(number),
        file_(std::move(file)),
        offset_(offset),
        hashed_(offset == 0) {}
  ~Writer() override {
    if (upload_ != nullptr) store_->Release(hex_);
  }

  bool complete() const override { return upload_ == nullptr; }
  uint64_t offset() const override {
    return complete() ? info_.size_bytes : offset_;
  }

  absl::Status Append(uint64_t offset, absl::string_view bytes) override {
    if (complete()) return absl::OkStatus();
    absl::MutexLock lock(&upload_->mutex);
    RETURN_IF_ERROR(CheckNewest());
    if (offset != offset_) {
      return absl::OutOfRangeError(
          absl::StrCat("offset: ", offset, " is not the next byte of ",
                       info_.name, ": must be ", offset_));
    }
    if (bytes.size() > info_.size_bytes - offset_) {
      return absl::OutOfRangeError(
          absl::StrCat("data: ", bytes.size(), " bytes at ", offset,
                       " go beyond the size of ", info_.name, ": must end by ",
                       info_.size_bytes));
    }
    RETURN_IF_ERROR(file_.WriteAt(offset_, bytes));
    if (hashed_) hash_.Update(bytes);
    offset_ += bytes.size();
    return absl::OkStatus();
  }

  absl::StatusOr<BlobInfo> Finish() override {
    if (complete()) return info_;
    absl::MutexLock lock(&upload_->mutex);
    RETURN_IF_ERROR(CheckNewest());
    if (offset_ != info_.size_bytes) {
      return absl::OutOfRangeError(
          absl::StrCat("the upload of ", info_.name, " ended at byte ", offset_,
                       " of ", info_.size_bytes, ": go on from there"));
    }
    if (!hashed_) RETURN_IF_ERROR(HashAll());
    if (const std::string digest = hash_.HexDigest(); digest != hex_) {
      std::remove(store_->PartialPath(hex_).c_str());
      return absl::DataLossError(
          absl::StrCat("the ", info_.size_bytes, " bytes sent as ", info_.name,
                       " have the hash sha256:", digest,
                       ": they were dropped, send them again"));
    }
    RETURN_IF_ERROR(MoveToPlace());
    info_.create_time = store_->clock_->Now();
    absl::MutexLock store_lock(&store_->mutex_);
    RETURN_IF_ERROR(store_->Insert(hex_, info_));
    return info_;
  }

 private:
  absl::Status CheckNewest() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(upload_->mutex) {
    if (upload_->writer == number_) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat("a newer upload of ", info_.name,
                                           " took over from this one"));
  }

  // For an upload that did not begin at byte 0 of this writer.
  absl::Status HashAll() {
    for (uint64_t at = 0; at < offset_;) {
      ASSIGN_OR_RETURN(const std::string bytes, file_.ReadAt(at, kChunk));
      if (bytes.empty())
        return absl::DataLossError("the partial upload became shorter");
      hash_.Update(bytes);
      at += bytes.size();
    }
    return absl::OkStatus();
  }

  absl::Status MoveToPlace() {
    RETURN_IF_ERROR(file_.Sync());
    const std::string place = store_->BlobPath(hex_);
    const std::string folder = place.substr(0, place.rfind('/'));
    RETURN_IF_ERROR(MakeFolder(folder));
    if (std::rename(store_->PartialPath(hex_).c_str(), place.c_str()) != 0) {
      return absl::ErrnoToStatus(
          errno, absl::StrCat("moving ", info_.name, " to its place"));
    }
    RETURN_IF_ERROR(SyncFolder(folder));
    return SyncFolder(store_->folder_);
  }

  FileBlobs* const store_;
  const std::string hex_;
  BlobInfo info_;
  const std::shared_ptr<Upload> upload_;
  const uint64_t number_ = 0;
  File file_;
  uint64_t offset_ = 0;
  bool hashed_ = true;  // hash_ has all bytes up to offset_
  Sha256 hash_;
};

absl::StatusOr<std::unique_ptr<FileBlobs>> FileBlobs::Open(
    const std::string& folder, FileBlobsOptions options, const Clock* clock) {
  RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/partial")));
  const std::string path = absl::StrCat(folder, "/index.db");
  ASSIGN_OR_RETURN(std::unique_ptr<Database> index,
                   Database::Open(path, {.durable = true}));
  if (absl::Status status = Migrate(index.get(), kSchema); !status.ok()) {
    return WithContext(status, path);
  }
  ASSIGN_OR_RETURN(
      const int64_t used,
      index->QueryInt("SELECT COALESCE(SUM(size_bytes),0) FROM blobs"));
  auto blobs = std::unique_ptr<FileBlobs>(
      new FileBlobs(folder, options, clock, std::move(index)));
  blobs->DropOldPartials();
  absl::MutexLock lock(&blobs->mutex_);
  blobs->used_bytes_ = static_cast<uint64_t>(used);
  return blobs;
}

std::string FileBlobs::BlobPath(const std::string& hex) const {
  return absl::StrCat(folder_, "/", hex.substr(0, 2), "/", hex);
}

std::string FileBlobs::PartialPath(const std::string& hex) const {
  return absl::StrCat(folder_, "/partial/", hex);
}

void FileBlobs::DropOldPartials() const {
  std::error_code error;
  const absl::Time oldest = clock_->Now() - options_.keep_partial;
  for (std::filesystem::directory_iterator
           it(absl::StrCat(folder_, "/partial"), error),
       end;
       !error && it != end; it.increment(error)) {
    struct stat info = {};
    const std::string path = it->path().string();
    if (stat(path.c_str(), &info) == 0 &&
        absl::FromTimeT(info.st_mtime) < oldest) {
      spdlog::info("dropping the upload {}: no byte of it came for a long time",
                   path);
      std::remove(path.c_str());
    }
  }
}

absl::StatusOr<std::optional<BlobInfo>> FileBlobs::Find(
    const std::string& hex) {
  struct stat file = {};
  if (stat(BlobPath(hex).c_str(), &file) != 0) return std::nullopt;
  ASSIGN_OR_RETURN(
      Statement * select,
      index_->Prepare("SELECT hex,size_bytes,create_time,display_name FROM "
                      "blobs WHERE hex=?1"));
  {
    Statement::Use use(select);
    select->BindText(1, hex);
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (found) return ToInfo(*select);
  }
  // The server ended between the move to its place and the listing.
  BlobInfo info{absl::StrCat(std::string(kPrefix), hex),
                static_cast<uint64_t>(file.st_size),
                absl::FromTimeT(file.st_mtime), ""};
  RETURN_IF_ERROR(Insert(hex, info));
  return info;
}

absl::Status FileBlobs::Insert(const std::string& hex, const BlobInfo& info) {
  ASSIGN_OR_RETURN(
      Statement * insert,
      index_->Prepare("INSERT OR IGNORE INTO blobs(hex,size_bytes,create_time,"
                      "display_name) VALUES(?1,?2,?3,?4)"));
  insert->BindText(1, hex);
  insert->BindInt(2, static_cast<int64_t>(info.size_bytes));
  insert->BindTime(3, info.create_time);
  insert->BindText(4, info.display_name);
  RETURN_IF_ERROR(insert->Run());
  if (index_->Changes() == 1) used_bytes_ += info.size_bytes;
  return absl::OkStatus();
}

void FileBlobs::Release(const std::string& hex) {
  absl::MutexLock lock(&mutex_);
  ReleaseLocked(hex);
}

void FileBlobs::ReleaseLocked(const std::string& hex) {
  const auto found = uploads_.find(hex);
  if (found == uploads_.end() || --found->second.writers > 0) return;
  reserved_bytes_ -= found->second.size_bytes;
  uploads_.erase(found);
}

void FileBlobs::Discard(const std::string& hex) {
  spdlog::error("artifact sha256:{} is damaged on disk: its file is put aside",
                hex);
  absl::MutexLock lock(&mutex_);
  if (std::rename(BlobPath(hex).c_str(),
                  absl::StrCat(PartialPath(hex), ".damaged").c_str()) != 0) {
    return;
  }
  auto blob =
      index_->Prepare("DELETE FROM blobs WHERE hex=?1 RETURNING size_bytes");
  if (!blob.ok()) return;
  Statement::Use use(*blob);
  (*blob)->BindText(1, hex);
  const auto found = (*blob)->Step();
  if (found.ok() && *found)
    used_bytes_ -= static_cast<uint64_t>((*blob)->Int(0));
}

absl::StatusOr<BlobStat> FileBlobs::Stat(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string hex, Hex(name));
  BlobStat result;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(result.blob, Find(hex));
  }
  struct stat partial = {};
  if (result.blob.has_value()) {
    result.received_bytes = result.blob->size_bytes;
  } else if (stat(PartialPath(hex).c_str(), &partial) == 0) {
    result.received_bytes = static_cast<uint64_t>(partial.st_size);
  }
  return result;
}

absl::StatusOr<std::unique_ptr<engine::BlobWriter>> FileBlobs::Resume(
    const std::string& name, uint64_t size_bytes,
    const std::string& display_name) {
  ASSIGN_OR_RETURN(const std::string hex, Hex(name));
  std::shared_ptr<Upload> upload;
  uint64_t number = 0;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(std::optional<BlobInfo> blob, Find(hex));
    if (blob.has_value())
      return std::make_unique<Writer>(this, *std::move(blob));
    Reserved& reserved = uploads_[hex];
    const uint64_t others = used_bytes_ + reserved_bytes_ - reserved.size_bytes;
    if (options_.limit_bytes > 0 &&
        (size_bytes > options_.limit_bytes ||
         others > options_.limit_bytes - size_bytes)) {
      if (reserved.writers == 0) uploads_.erase(hex);
      return absl::ResourceExhaustedError(
          absl::StrCat("size_bytes: ", size_bytes,
                       " do not fit into the artifact store, which "
                       "holds ",
                       others, " of at most ", options_.limit_bytes, " bytes"));
    }
    if (reserved.upload == nullptr)
      reserved.upload = std::make_shared<Upload>();
    reserved_bytes_ += size_bytes - reserved.size_bytes;
    reserved.size_bytes = size_bytes;
    ++reserved.writers;
    upload = reserved.upload;
    number = ++last_writer_;
  }
  // Waits for the bytes that an older writer is just writing.
  absl::MutexLock lock(&upload->mutex);
  upload->writer = number;
  // It may have written the last of them.
  {
    absl::MutexLock store_lock(&mutex_);
    auto blob = Find(hex);
    if (!blob.ok() || blob->has_value()) {
      ReleaseLocked(hex);
      RETURN_IF_ERROR(blob.status());
      return std::make_unique<Writer>(this, **std::move(blob));
    }
  }
  auto file = File::Open(PartialPath(hex), O_RDWR | O_CREAT);
  auto offset = file.ok() ? file->Size() : file.status();
  if (offset.ok() && *offset > size_bytes) {
    const absl::Status status = file->Truncate(0);
    offset = status.ok() ? absl::StatusOr<uint64_t>(0) : status;
  }
  if (!offset.ok()) {
    Release(hex);
    return offset.status();
  }
  return std::make_unique<Writer>(this, hex,
                                  BlobInfo{name, size_bytes, {}, display_name},
                                  upload, number, *std::move(file), *offset);
}

absl::StatusOr<std::unique_ptr<engine::BlobReader>> FileBlobs::Open(
    const std::string& name, uint64_t offset) {
  ASSIGN_OR_RETURN(const std::string hex, Hex(name));
  auto file = File::Open(BlobPath(hex), O_RDONLY);
  if (absl::IsNotFound(file.status())) {
    return absl::NotFoundError(
        absl::StrCat("artifact ", name, " is not in this store"));
  }
  RETURN_IF_ERROR(file.status());
  return OpenBlobReader(name, hex, *std::move(file), offset,
                        [this, hex] { Discard(hex); });
}

absl::StatusOr<FileBlobs::Page> FileBlobs::List(size_t page_size,
                                                const std::string& page_token) {
  int64_t before = 0;
  if (!page_token.empty() &&
      (!absl::SimpleAtoi(page_token, &before) || before <= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_token \"", page_token.substr(0, 100),
                     "\": must be the next_page_token of a reply"));
  }
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(
      Statement * select,
      index_->Prepare(
          "SELECT hex,size_bytes,create_time,display_name,number FROM blobs "
          "WHERE ?1=0 OR number<?1 ORDER BY number DESC LIMIT ?2"));
  Statement::Use use(select);
  select->BindInt(1, before);
  select->BindInt(2, static_cast<int64_t>(page_size) + 1);
  Page page;
  int64_t last = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return page;
    if (page.blobs.size() == page_size) {
      page.next_page_token = absl::StrCat(last);
      return page;
    }
    last = select->Int(4);
    page.blobs.push_back(ToInfo(*select));
  }
}

}  // namespace trainyard::adapters
