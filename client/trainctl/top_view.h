// What `trainctl top` shows of a server, as lines. Pure.
//
//   for (const std::string& line : DrawTop(model, {.width = 80, .height = 24}))
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/trainctl/queue_walk.h"
#include "trainyard/v1/fleet.pb.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

struct TopModel {
  std::string server;   // host:port
  std::string version;  // empty: it was not heard yet
  absl::Time now;       // by the server's clock, when it was heard last
  std::string fault;    // why it is not heard now; empty: it is
  absl::Duration away;  // since when
  std::vector<v1::Worker> workers;
  bool more_workers = false;    // than those
  std::vector<v1::Job> active;  // starting and running
  bool more_active = false;
  QueueView queue;
};

struct TopScreen {
  int width = 80;
  int height = 0;  // 0: as many lines as there are
  bool colour = false;
  bool utf8 = true;
};

// Never more than `height` lines, nor columns than `width`.
std::vector<std::string> DrawTop(const TopModel& model,
                                 const TopScreen& screen);

}  // namespace trainyard::trainctl
