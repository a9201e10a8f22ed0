// Walks a long queue page by page, one page a round, so that a look at a server
// with many queued jobs costs it no more than one with few. ListJobs gives the
// newest first; those to be placed next are known once the whole was seen.
//
//   QueueWalk walk(/*keep=*/100);
//   request.set_page_token(walk.page_token());
//   walk.Add(reply);
//   walk.view().count;
//
// Pure. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trainyard/v1/job_service.pb.h"

namespace trainyard::trainctl {

struct QueueView {
  uint64_t count = 0;
  bool complete = false;      // else there are more than count
  std::vector<v1::Job> next;  // by priority, then by age
};

class QueueWalk {
 public:
  explicit QueueWalk(size_t keep) : keep_(keep) {}

  // Of the page to ask for next; empty: the first.
  const std::string& page_token() const { return page_token_; }
  void Add(const v1::ListJobsResponse& page);
  // Goes on from the first page: the server was away.
  void Restart();
  // As the last whole walk saw it; before its end what was seen so far.
  const QueueView& view() const { return walked_ ? whole_ : part_; }

 private:
  const size_t keep_;
  std::string page_token_;
  bool walked_ = false;
  QueueView whole_;
  QueueView part_;
};

// The number of "jobs/17"; 0: not such a name.
uint64_t JobNumber(const v1::Job& job);

}  // namespace trainyard::trainctl
