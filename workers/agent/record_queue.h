// A queue of byte strings that stays small in memory: its head and its tail are
// in memory, what lies between is in files ("segments"), written once and
// removed once read.
//
//   RecordQueue queue("/state/spool/17-1/points", 512 * 1024);
//   queue.Push(order, bytes);  …  Entry entry = queue.Pop();
//
// A queue dies with its process: files are a larger memory, not a record. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace trainyard::agent {

class RecordQueue {
 public:
  struct Entry {
    uint64_t order = 0;  // grows
    std::string bytes;
  };

  // Files are path_prefix-N. The folder must exist. Keeps about memory_bytes
  // in memory.
  RecordQueue(std::string path_prefix, size_t memory_bytes);
  ~RecordQueue();  // removes the files
  RecordQueue(const RecordQueue&) = delete;
  RecordQueue& operator=(const RecordQueue&) = delete;

  // How many entries were lost because the disk refused them: 0 but then.
  size_t Push(uint64_t order, std::string bytes);
  bool empty() const { return head_.empty(); }
  const Entry& front() const { return head_.front(); }  // not empty
  Entry Pop();                                          // not empty
  // Drops the oldest entries, a segment's worth. How many.
  size_t DropOldest();
  uint64_t disk_bytes() const { return disk_bytes_; }

 private:
  struct Segment {
    std::string path;
    uint64_t bytes = 0;
    size_t entries = 0;
  };

  size_t WriteTail();
  void Refill();

  const std::string path_prefix_;
  const size_t segment_bytes_;
  std::deque<Entry> head_;  // empty only when all is
  std::deque<Segment> segments_;
  std::deque<Entry> tail_;
  size_t head_bytes_ = 0;
  size_t tail_bytes_ = 0;
  uint64_t disk_bytes_ = 0;
  uint64_t next_segment_ = 1;
};

}  // namespace trainyard::agent
