#include "workers/agent/record_queue.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::agent {
namespace {

// Before each entry's bytes in a segment.
struct EntryHeader {
  uint64_t order;
  uint64_t size;
};

}  // namespace

RecordQueue::RecordQueue(std::string path_prefix, size_t memory_bytes)
    : path_prefix_(std::move(path_prefix)), segment_bytes_(memory_bytes / 2) {}

RecordQueue::~RecordQueue() {
  for (const Segment& segment : segments_) unlink(segment.path.c_str());
}

size_t RecordQueue::Push(uint64_t order, std::string bytes) {
  const size_t size = bytes.size();
  const bool straight = segments_.empty() && tail_.empty() &&
                        (head_.empty() || head_bytes_ < segment_bytes_);
  if (straight) {
    head_bytes_ += size;
    head_.push_back({order, std::move(bytes)});
    return 0;
  }
  tail_bytes_ += size;
  tail_.push_back({order, std::move(bytes)});
  return tail_bytes_ >= segment_bytes_ ? WriteTail() : 0;
}

RecordQueue::Entry RecordQueue::Pop() {
  Entry entry = std::move(head_.front());
  head_.pop_front();
  head_bytes_ -= entry.bytes.size();
  if (head_.empty()) Refill();
  return entry;
}

size_t RecordQueue::DropOldest() {
  const size_t dropped = head_.size();
  head_.clear();
  head_bytes_ = 0;
  Refill();
  return dropped;
}

size_t RecordQueue::WriteTail() {
  Segment segment{.path = absl::StrCat(path_prefix_, "-", next_segment_++),
                  .entries = tail_.size()};
  std::ofstream file(segment.path, std::ios::binary | std::ios::trunc);
  for (const Entry& entry : tail_) {
    const EntryHeader header{entry.order, entry.bytes.size()};
    file.write(reinterpret_cast<const char*>(&header), sizeof(header));
    file.write(entry.bytes.data(),
               static_cast<std::streamsize>(entry.bytes.size()));
    segment.bytes += sizeof(header) + entry.bytes.size();
  }
  file.close();
  tail_.clear();
  tail_bytes_ = 0;
  if (!file.good()) {
    unlink(segment.path.c_str());
    return segment.entries;
  }
  disk_bytes_ += segment.bytes;
  segments_.push_back(std::move(segment));
  return 0;
}

void RecordQueue::Refill() {
  while (head_.empty() && !segments_.empty()) {
    const Segment segment = std::move(segments_.front());
    segments_.pop_front();
    disk_bytes_ -= segment.bytes;
    std::ifstream file(segment.path, std::ios::binary);
    EntryHeader header;
    while (file.read(reinterpret_cast<char*>(&header), sizeof(header)) &&
           header.size <= segment.bytes) {
      Entry entry{.order = header.order, .bytes = std::string(header.size, 0)};
      if (!file.read(entry.bytes.data(),
                     static_cast<std::streamsize>(header.size))) {
        break;
      }
      head_bytes_ += entry.bytes.size();
      head_.push_back(std::move(entry));
    }
    unlink(segment.path.c_str());
  }
  if (head_.empty()) {
    head_ = std::exchange(tail_, {});
    head_bytes_ = std::exchange(tail_bytes_, 0);
  }
}

}  // namespace trainyard::agent
