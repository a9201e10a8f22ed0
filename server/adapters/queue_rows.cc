#include "server/adapters/queue_rows.h"

#include "base/status_macros.h"
#include "server/adapters/stored.h"

namespace trainyard::adapters {

absl::StatusOr<std::vector<std::pair<core::QueueName, core::QueueSettings>>>
ReadQueues(Database* db) {
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare(
          "SELECT name,settings FROM queues WHERE settings IS NOT NULL"));
  Statement::Use use(select);
  std::vector<std::pair<core::QueueName, core::QueueSettings>> queues;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return queues;
    ASSIGN_OR_RETURN(core::QueueSettings settings,
                     DecodeQueueSettings(select->Bytes(1)));
    queues.emplace_back(select->Text(0), std::move(settings));
  }
}

absl::StatusOr<std::vector<core::AccountPast>> ReadPastUsage(Database* db) {
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare("SELECT queue,is_user,user,past FROM past_usage"));
  Statement::Use use(select);
  std::vector<core::AccountPast> accounts;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return accounts;
    core::AccountPast& account = accounts.emplace_back();
    account.queue = core::QueueName(select->Text(0));
    if (select->Int(1) != 0) account.user = core::UserName(select->Text(2));
    ASSIGN_OR_RETURN(account.past, DecodePastUsages(select->Bytes(3)));
  }
}

}  // namespace trainyard::adapters
