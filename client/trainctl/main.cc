// trainctl: the command line of Trainyard. Commands are in command_table.cc.
#include <csignal>
#include <string>
#include <vector>

#include "client/trainctl/app.h"
#include "proto/channel/channel.h"

int main(int argc, char** argv) {
  // `trainctl logs 17 | head`: a closed pipe is an error to end on, not a
  // crash.
  std::signal(SIGPIPE, SIG_IGN);
  trainyard::QuietGrpc();
  return trainyard::trainctl::RunApp(
      trainyard::trainctl::CommandTable(),
      std::vector<std::string>(argv + 1, argv + argc),
      trainyard::trainctl::RealConsole());
}
