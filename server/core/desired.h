// What a worker should be, derived from the cluster.
#pragma once

#include "server/core/cluster.h"
#include "server/core/types.h"

namespace trainyard::core {

// Every live attempt placed on the worker's present process: to be cancelled
// where its job's end was asked for, its time is over or it did not stop for
// another job in time, else to be preempted for that job or while the worker
// drains or leaves, else to be run. An unknown worker should
// hold nothing.
Desired DeriveDesired(const Cluster& cluster, const WorkerName& worker);

}  // namespace trainyard::core
