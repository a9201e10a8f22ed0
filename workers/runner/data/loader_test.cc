#include "workers/runner/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "workers/runner/data/sampler.h"

namespace trainyard::data {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kNone = 0xFFFFFFFF;

// Samples whose two pixels and label tell the index. Reads can be held, and
// fail.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(uint32_t num_samples, bool in_memory = false)
      : labels_(num_samples), in_memory_(in_memory) {}

  uint32_t num_samples() const override {
    return static_cast<uint32_t>(labels_.size());
  }
  SampleShape sample_shape() const override { return {1, 1, 2}; }
  const std::vector<std::string>& class_names() const override {
    return names_;
  }
  absl::Span<const int32_t> labels() const override { return labels_; }
  bool in_memory() const override { return in_memory_; }
  absl::Status Read(absl::Span<const uint32_t> indices, uint8_t* pixels,
                    int64_t* labels) const override {
    absl::MutexLock lock(&mutex_);
    for (uint32_t index : indices) {
      if (index == held_) {
        waiting_ = true;
        mutex_.Await(absl::Condition(this, &FakeDataset::IsReleased));
        waiting_ = false;
      }
      if (index == bad_)
        return absl::DataLossError(absl::StrCat("sample ", index, " is bad"));
      if (index == throwing_) throw std::bad_alloc();
      *pixels++ = static_cast<uint8_t>(index);
      *pixels++ = static_cast<uint8_t>(index >> 8);
      *labels++ = index;
      ++read_;
    }
    return absl::OkStatus();
  }

  void Hold(uint32_t index) {
    absl::MutexLock lock(&mutex_);
    held_ = index;
  }
  void WaitUntilHeld() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&waiting_));
  }
  void WaitUntilRead(uint32_t count) {
    wanted_ = count;
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &FakeDataset::HasRead));
  }
  uint32_t read() const {
    absl::MutexLock lock(&mutex_);
    return read_;
  }
  void Spoil(uint32_t index) {
    absl::MutexLock lock(&mutex_);
    bad_ = index;
  }
  void ThrowAt(uint32_t index) {
    absl::MutexLock lock(&mutex_);
    throwing_ = index;
  }

 private:
  bool IsReleased() const { return held_ == kNone; }
  bool HasRead() const { return read_ >= wanted_; }

  const std::vector<int32_t> labels_;
  const std::vector<std::string> names_ = {"a", "b"};
  const bool in_memory_;
  uint32_t wanted_ = 0;
  mutable absl::Mutex mutex_;
  uint32_t held_ = kNone;
  uint32_t bad_ = kNone;
  uint32_t throwing_ = kNone;
  mutable bool waiting_ = false;
  mutable uint32_t read_ = 0;
};

// All labels of an epoch in the order they come; checks the batches on the way.
std::vector<uint32_t> Drain(Loader& loader, uint32_t batch_size,
                            uint64_t first_batch = 0) {
  std::vector<uint32_t> labels;
  for (uint64_t index = first_batch;; ++index) {
    const absl::StatusOr<const Batch*> batch = loader.Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok() || *batch == nullptr) break;
    EXPECT_EQ((*batch)->index, index);
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*batch)->pixels) % 64, 0u);
    EXPECT_TRUE((*batch)->size == batch_size ||
                index + 1 == loader.num_batches());
    for (uint32_t i = 0; i < (*batch)->size; ++i) {
      const uint32_t label = static_cast<uint32_t>((*batch)->labels[i]);
      EXPECT_EQ((*batch)->pixels[2 * i], label & 0xFF);
      EXPECT_EQ((*batch)->pixels[2 * i + 1], label >> 8);
      labels.push_back(label);
    }
  }
  return labels;
}

TEST(LoaderTest, DeliversEverySampleInOrder) {
  for (bool in_memory : {false, true}) {
    FakeDataset dataset(1003, in_memory);
    for (int threads : {0, 1, 2, 7}) {
      for (uint32_t batch_size : {1u, 3u, 64u, 1003u, 5000u}) {
        Loader loader(dataset, {.batch_size = batch_size,
                                .threads = threads,
                                .prefetch_batches = 3});
        for (uint64_t epoch = 0; epoch < 2; ++epoch) {
          const std::vector<uint32_t> order = EpochOrder(1003, 1, epoch);
          ASSERT_TRUE(loader.Start(order).ok());
          EXPECT_EQ(loader.num_batches(), (1003 + batch_size - 1) / batch_size);
          EXPECT_EQ(Drain(loader, batch_size), order);
        }
      }
    }
  }
}

TEST(LoaderTest, BeginsInTheMiddle) {
  FakeDataset dataset(100);
  Loader loader(dataset, {.batch_size = 8, .threads = 2});
  const std::vector<uint32_t> order = EpochOrder(100, 1, 0);
  ASSERT_TRUE(loader.Start(order, 5).ok());
  EXPECT_EQ(Drain(loader, 8, 5),
            std::vector<uint32_t>(order.begin() + 40, order.end()));
  ASSERT_TRUE(loader.Start(order, 13).ok());
  EXPECT_EQ(*loader.Next(), nullptr);
  ASSERT_TRUE(loader.Start(order, 1000).ok());
  EXPECT_EQ(*loader.Next(), nullptr);
  EXPECT_EQ(*loader.Next(), nullptr);
}

TEST(LoaderTest, StartsAnewInTheMiddleAndWithOtherOrders) {
  FakeDataset dataset(500);
  Loader loader(dataset, {.batch_size = 16, .threads = 3});
  EXPECT_EQ(*loader.Next(), nullptr);  // before any Start
  for (uint32_t size : {10u, 0u, 500u, 100u, 300u}) {
    const std::vector<uint32_t> order = EpochOrder(size, 9, 0);
    ASSERT_TRUE(loader.Start(order).ok());
    if (size > 0) {
      ASSERT_NE(*loader.Next(), nullptr);
    }
    ASSERT_TRUE(loader.Start(order).ok());
    EXPECT_EQ(Drain(loader, 16), order);
  }
}

TEST(LoaderTest, ReadsNoFurtherAheadThanItsRing) {
  FakeDataset dataset(1000);
  Loader loader(dataset,
                {.batch_size = 10, .threads = 2, .prefetch_batches = 3});
  ASSERT_TRUE(loader.Start(SequentialOrder(1000)).ok());
  dataset.WaitUntilRead(30);
  const absl::StatusOr<const Batch*> first = loader.Next();
  EXPECT_EQ(dataset.read(), 30u);  // the lent batch keeps its place
  EXPECT_EQ((*first)->labels[9], 9);
  ASSERT_TRUE(loader.Next().ok());
  dataset.WaitUntilRead(40);
  EXPECT_LE(dataset.read(), 40u);
}

TEST(LoaderTest, DeliversAnErrorInThePlaceOfItsBatch) {
  FakeDataset dataset(100);
  dataset.Spoil(33);
  Loader loader(dataset, {.batch_size = 10, .threads = 4});
  ASSERT_TRUE(loader.Start(SequentialOrder(100)).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(loader.Next().ok()) << i;
  for (int i = 0; i < 3; ++i) {
    const absl::Status status = loader.Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("sample 33 is bad"));
  }
  dataset.Spoil(kNone);
  ASSERT_TRUE(loader.Start(SequentialOrder(100)).ok());
  EXPECT_EQ(Drain(loader, 10).size(), 100u);
}

TEST(LoaderTest, TurnsAnExceptionIntoAStatus) {
  FakeDataset dataset(100);
  dataset.ThrowAt(0);
  Loader loader(dataset, {.batch_size = 10, .threads = 2});
  ASSERT_TRUE(loader.Start(SequentialOrder(100)).ok());
  EXPECT_EQ(loader.Next().status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LoaderTest, GivesUpOnABatchThatDoesNotCome) {
  FakeDataset dataset(100);
  dataset.Hold(5);
  {
    Loader loader(
        dataset,
        {.batch_size = 10, .threads = 1, .timeout = absl::Milliseconds(1)});
    ASSERT_TRUE(loader.Start(SequentialOrder(100)).ok());
    dataset.WaitUntilHeld();
    const absl::Status status = loader.Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(status.message()), HasSubstr("batch 0"));
    EXPECT_GT(loader.wait_seconds(), 0);
    EXPECT_EQ(loader.Start(SequentialOrder(100)).code(),
              absl::StatusCode::kDeadlineExceeded);
    dataset.Hold(kNone);
  }
}

TEST(LoaderTest, EndsAtOnceWhileTheRingIsFull) {
  FakeDataset dataset(100000);
  for (int i = 0; i < 50; ++i) {
    Loader loader(dataset, {.batch_size = 4, .threads = 4});
    ASSERT_TRUE(loader.Start(SequentialOrder(100000)).ok());
    if (i % 2 == 0) {
      ASSERT_TRUE(loader.Next().ok());
    }
  }
  EXPECT_LE(dataset.read(), 50u * 4 * 6);
}

TEST(LoaderTest, EndsWithoutHavingStarted) {
  FakeDataset dataset(10);
  Loader loader(dataset, {});
  EXPECT_EQ(loader.num_batches(), 0u);
}

TEST(LoaderTest, RefusesWhatCannotBe) {
  FakeDataset dataset(10);
  Loader loader(dataset, {.batch_size = 4});
  EXPECT_THAT(std::string(loader.Start({1, 10}).message()),
              HasSubstr("sample 10"));
  EXPECT_EQ(*loader.Next(), nullptr);
  Loader none(dataset, {.batch_size = 0});
  EXPECT_EQ(none.Start({1}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trainyard::data
