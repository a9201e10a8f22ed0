// A FakeStore that tells what was committed since it was last asked.
//
//   WatchedStore store;
//   for (const core::Record& record : store.TakeCommitted()) …
//
// Not thread-safe.
#pragma once

#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "server/core/record.h"
#include "server/engine/fake_store.h"

namespace trainyard::sim {

class WatchedStore : public engine::FakeStore {
 public:
  using FakeStore::Commit;
  absl::Status Commit(absl::Span<const core::Record> records,
                      absl::Span<const core::AccountPast> past) override {
    absl::Status status = FakeStore::Commit(records, past);
    if (!status.ok()) return status;
    for (const core::Record& record : records) {
      if (IsDurable(record)) committed_.push_back(record);
    }
    return status;
  }
  std::vector<core::Record> TakeCommitted() {
    return std::exchange(committed_, {});
  }

 private:
  std::vector<core::Record> committed_;
};

}  // namespace trainyard::sim
