// A BlobStore in memory, for tests. It takes any bytes for the ones a name
// stands for, but those that hold "damaged".
//
//   FakeBlobs blobs(&clock);
//
// Thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "server/engine/blobs.h"

namespace trainyard::engine {

class FakeBlobs : public BlobStore {
 public:
  explicit FakeBlobs(const Clock* clock) : clock_(clock) {}

  absl::StatusOr<BlobStat> Stat(const std::string& name) override {
    absl::MutexLock lock(&mutex_);
    if (const Blob* blob = Find(name)) {
      return BlobStat{blob->info, blob->info.size_bytes};
    }
    const auto partial = partials_.find(name);
    return BlobStat{std::nullopt,
                    partial == partials_.end() ? 0 : partial->second.size()};
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> Resume(
      const std::string& name, uint64_t size_bytes,
      const std::string& display_name) override {
    absl::MutexLock lock(&mutex_);
    const Blob* blob = Find(name);
    return std::make_unique<Writer>(
        this,
        blob != nullptr ? blob->info
                        : BlobInfo{name, size_bytes, {}, display_name},
        blob != nullptr, blob != nullptr ? 0 : partials_[name].size());
  }

  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& name,
                                                   uint64_t offset) override {
    absl::MutexLock lock(&mutex_);
    const Blob* blob = Find(name);
    if (blob == nullptr) return absl::NotFoundError(name);
    if (offset > blob->bytes.size()) return absl::OutOfRangeError("offset");
    return std::make_unique<Reader>(blob->bytes, offset);
  }

  absl::StatusOr<Page> List(size_t page_size,
                            const std::string& page_token) override {
    absl::MutexLock lock(&mutex_);
    size_t end = blobs_.size();
    if (!page_token.empty() && !absl::SimpleAtoi(page_token, &end)) {
      return absl::InvalidArgumentError("page_token");
    }
    Page page;
    while (end > 0 && page.blobs.size() < page_size) {
      page.blobs.push_back(blobs_[--end].info);
    }
    if (end > 0) page.next_page_token = absl::StrCat(end);
    return page;
  }

 private:
  struct Blob {
    BlobInfo info;
    std::string bytes;
  };

  class Writer : public BlobWriter {
   public:
    Writer(FakeBlobs* store, BlobInfo info, bool complete, uint64_t offset)
        : store_(store),
          info_(std::move(info)),
          complete_(complete),
          offset_(offset) {}
    bool complete() const override { return complete_; }
    uint64_t offset() const override { return offset_; }
    absl::Status Append(uint64_t offset, absl::string_view bytes) override {
      if (offset != offset_ || bytes.size() > info_.size_bytes - offset_) {
        return absl::OutOfRangeError(absl::StrCat("must be ", offset_));
      }
      absl::MutexLock lock(&store_->mutex_);
      store_->partials_[info_.name].append(bytes.data(), bytes.size());
      offset_ += bytes.size();
      return absl::OkStatus();
    }
    absl::StatusOr<BlobInfo> Finish() override {
      if (complete_) return info_;
      if (offset_ != info_.size_bytes) return absl::OutOfRangeError("short");
      absl::MutexLock lock(&store_->mutex_);
      std::string bytes = std::move(store_->partials_[info_.name]);
      store_->partials_.erase(info_.name);
      if (absl::StrContains(bytes, "damaged")) {
        return absl::DataLossError("another hash");
      }
      info_.create_time = store_->clock_->Now();
      store_->blobs_.push_back({info_, std::move(bytes)});
      return info_;
    }

   private:
    FakeBlobs* const store_;
    BlobInfo info_;
    const bool complete_;
    uint64_t offset_;
  };

  class Reader : public BlobReader {
   public:
    Reader(std::string bytes, uint64_t offset)
        : bytes_(std::move(bytes)), offset_(offset) {}
    uint64_t size_bytes() const override { return bytes_.size(); }
    uint64_t offset() const override { return offset_; }
    absl::StatusOr<std::string> Read(size_t limit) override {
      std::string part = bytes_.substr(offset_, limit);
      offset_ += part.size();
      return part;
    }

   private:
    const std::string bytes_;
    uint64_t offset_;
  };

  const Blob* Find(const std::string& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto it =
        std::find_if(blobs_.begin(), blobs_.end(),
                     [&](const Blob& blob) { return blob.info.name == name; });
    return it == blobs_.end() ? nullptr : &*it;
  }

  const Clock* const clock_;
  absl::Mutex mutex_;
  std::vector<Blob> blobs_ ABSL_GUARDED_BY(mutex_);  // oldest first
  std::map<std::string, std::string> partials_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::engine
