// Several sources of series as one. A source that is gone is left out.
//
//   set.Add(registry);  set.Add(collector);
//   prometheus::TextSerializer().Serialize(set.Collect());
//
// Thread-safe.
#pragma once

#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace trainyard::adapters {

class CollectableSet : public prometheus::Collectable {
 public:
  void Add(std::weak_ptr<prometheus::Collectable> source) {
    absl::MutexLock lock(&mutex_);
    sources_.push_back(std::move(source));
  }

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<std::weak_ptr<prometheus::Collectable>> sources;
    {
      absl::MutexLock lock(&mutex_);
      sources = sources_;
    }
    std::vector<prometheus::MetricFamily> all;
    for (const auto& weak : sources) {
      const auto source = weak.lock();
      if (source == nullptr) continue;
      std::vector<prometheus::MetricFamily> some = source->Collect();
      all.insert(all.end(), std::make_move_iterator(some.begin()),
                 std::make_move_iterator(some.end()));
    }
    return all;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::weak_ptr<prometheus::Collectable>> sources_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::adapters
