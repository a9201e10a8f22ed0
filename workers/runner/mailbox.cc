#include "workers/runner/mailbox.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include "nlohmann/json.hpp"
#include "spdlog/spdlog.h"
#include "workers/runner/data/file.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr size_t kLongestLine = 64 << 10;

}  // namespace

void ObeyLine(absl::string_view line, Mailbox* mailbox) {
  const Json command = Json::parse(line.begin(), line.end(), nullptr,
                                   /*allow_exceptions=*/false);
  if (!command.is_object() || !command.contains("command") ||
      !command["command"].is_string()) {
    spdlog::warn("a line on the commands channel is no command: {}",
                 data::CleanUtf8(line.substr(0, 80)));
    return;
  }
  const std::string name = command["command"].get<std::string>();
  if (name == "checkpoint") {
    mailbox->AskForCheckpoint();
  } else if (name == "stop") {
    mailbox->AskToStop();
  } else {
    spdlog::warn("the command \"{}\" is not known and ignored",
                 data::CleanUtf8(name.substr(0, 80)));
  }
}

CommandReader::CommandReader(int descriptor, Mailbox* mailbox,
                             std::function<void()> on_end)
    : descriptor_(descriptor), mailbox_(mailbox), on_end_(std::move(on_end)) {
  if (pipe(wake_) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  fcntl(wake_[0], F_SETFD, FD_CLOEXEC);
  fcntl(wake_[1], F_SETFD, FD_CLOEXEC);
  thread_ = std::thread([this] { Run(); });
}

CommandReader::~CommandReader() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
}

void CommandReader::Run() {
  while (true) {
    pollfd waited[2] = {{.fd = descriptor_, .events = POLLIN, .revents = 0},
                        {.fd = wake_[0], .events = POLLIN, .revents = 0}};
    if (poll(waited, 2, /*timeout=*/-1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (waited[1].revents != 0) return;
    if (waited[0].revents != 0 && !ReadSome()) break;
  }
  on_end_();
}

bool CommandReader::ReadSome() {
  char buffer[4096];
  const ssize_t got = read(descriptor_, buffer, sizeof(buffer));
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return false;
  for (const char c : absl::string_view(buffer, static_cast<size_t>(got))) {
    if (c != '\n') {
      if (line_.size() < kLongestLine) {
        line_.push_back(c);
      } else {
        skipping_ = true;
      }
      continue;
    }
    if (skipping_) {
      spdlog::warn("a command longer than {} bytes is ignored", kLongestLine);
    } else if (!line_.empty()) {
      ObeyLine(line_, mailbox_);
    }
    line_.clear();
    skipping_ = false;
  }
  return true;
}

}  // namespace trainyard::runner
