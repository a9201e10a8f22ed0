// Where each value of a plan lies in one piece of memory: values that do not
// live at the same time share bytes.
//
//   Arena arena;
//   size_t x = arena.Take(4096);   // an offset
//   arena.Give(x);                 // from here on free for others
//   arena.size();                  // bytes of the whole piece
#pragma once

#include <cstddef>
#include <map>

namespace trainyard::runner::onednn {

class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  // The first gap that is wide enough.
  size_t Take(size_t bytes) {
    const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    size_t offset = 0;
    for (const auto& [begin, end] : taken_) {
      if (begin - offset >= whole) break;
      offset = end;
    }
    taken_[offset] = offset + whole;
    if (offset + whole > size_) size_ = offset + whole;
    return offset;
  }
  void Give(size_t offset) { taken_.erase(offset); }
  size_t size() const { return size_; }

 private:
  std::map<size_t, size_t> taken_;  // begin, end
  size_t size_ = 0;
};

}  // namespace trainyard::runner::onednn
