// Inputs from the artifact store, kept on disk by their hash up to a limit;
// what was used longest ago goes first, what is in use stays.
//
//   InputCache cache({.folder = …, .limit_bytes = …}, &source, RealClock());
//   RETURN_IF_ERROR(cache.Open());
//   ASSIGN_OR_RETURN(InputCache::Pin input, cache.GetFolder(artifact,
//   &cancel)); … input.path() … until `input` is destroyed
//
// blobs/HEX hold verified blobs, read-only; folders/HEX are trees of hard links
// to blobs; partial/HEX are transfers that go on after a break.
// Thread-safe; calls block, callers of the same artifact share one transfer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "workers/agent/blob_source.h"
#include "workers/agent/cancellation.h"
#include "workers/agent/manifest.h"

namespace trainyard::agent {

struct InputCacheOptions {
  std::string folder;  // must exist
  uint64_t limit_bytes = 0;
};

class InputCache {
 public:
  // Keeps an input in the cache while it lives. Must not outlive the cache.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept { *this = std::move(other); }
    Pin& operator=(Pin&& other) noexcept;
    ~Pin() { Reset(); }
    const std::string& path() const { return path_; }

   private:
    friend class InputCache;
    void Reset();

    InputCache* cache_ = nullptr;
    std::string entry_;
    std::string path_;
  };

  InputCache(InputCacheOptions options, BlobSource* source, Clock* clock);

  // Takes over the blobs that an earlier process left.
  absl::Status Open();

  // Errors: INVALID_ARGUMENT (name, manifest), NOT_FOUND, DATA_LOSS,
  // RESOURCE_EXHAUSTED (limit, disk), CANCELLED.
  absl::StatusOr<Pin> GetFile(const std::string& artifact,
                              Cancellation* cancellation);
  absl::StatusOr<Pin> GetFolder(const std::string& artifact,
                                Cancellation* cancellation);
  // A folder if the blob is a manifest, else a file.
  absl::StatusOr<Pin> GetAny(const std::string& artifact,
                             Cancellation* cancellation);

  uint64_t used_bytes() const;

 private:
  // "blobs/HEX" or "folders/HEX".
  using EntryName = std::string;
  // What a file costs beside its bytes; keeps a million empty files bounded.
  static constexpr uint64_t kEntryBytes = 512;
  struct Entry {
    uint64_t bytes = 0;
    absl::Time last_used;
    int pins = 0;
    int links = 0;                     // blobs: folders made of it
    std::vector<EntryName> linked_to;  // folders: their blobs
  };

  std::string PathOf(const EntryName& name) const;
  // Pins an entry that is there; else makes it, alone, with `make`.
  absl::StatusOr<Pin> Get(const EntryName& name, Cancellation* cancellation,
                          const std::function<absl::Status()>& make);
  absl::Status Download(const std::string& digits, Cancellation* cancellation);
  absl::Status DownloadTo(const std::string& path, const std::string& digits,
                          Cancellation* cancellation);
  absl::Status BuildFolder(const std::string& digits,
                           Cancellation* cancellation);
  // Makes room; counts `bytes` as used until they are given back.
  absl::Status Reserve(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unreserve(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes unused entries, the oldest first, out of the books until `target`
  // bytes are used at most; adds the paths to remove. False: not enough.
  bool Evict(uint64_t target, std::vector<std::string>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Forget(const EntryName& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(const EntryName& name);

  const InputCacheOptions options_;
  BlobSource* const source_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  std::map<EntryName, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::set<EntryName> making_ ABSL_GUARDED_BY(mutex_);
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // entries, reservations
  uint64_t next_doomed_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace trainyard::agent
