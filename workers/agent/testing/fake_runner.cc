// A runner for tests (docs/runner_protocol.md) without any training. What it
// does is the spec's training.model.architecture, the name of an ensemble's
// first member, or the only argument:
//
//   fake_runner crash
//   fake_runner --spec FILE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "nlohmann/json.hpp"

namespace {

using Json = nlohmann::json;

constexpr int kEvents = 3;
constexpr int kCommands = 4;

struct Work {
  std::string dir = ".";
  std::string resume;
};

void Send(const std::string& line) {
  const std::string text = line + "\n";
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t got = write(kEvents, text.data() + sent, text.size() - sent);
    if (got <= 0) _exit(9);
    sent += static_cast<size_t>(got);
  }
}

void Started(uint64_t step = 0) {
  Send(Json{{"event", "started"}, {"step", step}, {"total_steps", 100}}.dump());
}

void Metrics(uint64_t step) {
  Send(Json{{"event", "metrics"}, {"step", step}, {"loss", 0.5}}.dump());
}

void Checkpoint(const Work& work, uint64_t step) {
  const std::string dir = work.dir + "/checkpoints";
  mkdir(dir.c_str(), 0755);
  const std::string path = dir + "/" + std::to_string(step) + ".ckpt";
  std::ofstream(path) << step;
  Send(Json{{"event", "checkpoint"}, {"step", step}, {"path", path}}.dump());
}

void Finished(const Work& work) {
  const std::string dir = work.dir + "/output";
  mkdir(dir.c_str(), 0755);
  std::ofstream(dir + "/model.safetensors") << "weights";
  std::ofstream(dir + "/report.json") << "{}";
  Send(R"({"event":"finished","outputs":["model.safetensors","report.json"]})");
}

// The next command; "" at end of file.
std::string Command() {
  std::string line;
  char c;
  while (read(kCommands, &c, 1) == 1) {
    if (c == '\n') return Json::parse(line).value("command", "");
    line += c;
  }
  return "";
}

int Succeed(const Work& work) {
  Started();
  for (uint64_t step = 1; step <= 3; ++step) Metrics(step);
  std::cout << "hello from the runner" << std::endl;
  Checkpoint(work, 3);
  Finished(work);
  return 0;
}

// Works until it is told to stop; resumes where a checkpoint left off.
int Train(const Work& work) {
  uint64_t step = 0;
  if (!work.resume.empty()) std::ifstream(work.resume) >> step;
  Started(step);
  for (;;) {
    Metrics(++step);
    pollfd commands{kCommands, POLLIN, 0};
    if (poll(&commands, 1, 10) <= 0) continue;
    const std::string command = Command();
    if (command.empty()) return 9;
    Checkpoint(work, step);
    if (command == "stop") break;
  }
  Send(Json{{"event", "stopped"}, {"step", step}}.dump());
  return 0;
}

// Works until it is told to stop, and has nothing to go on from then.
int Predict(const Work&) {
  Started();
  for (uint64_t batch = 1;; ++batch) {
    Metrics(batch);
    pollfd commands{kCommands, POLLIN, 0};
    if (poll(&commands, 1, 10) <= 0) continue;
    const std::string command = Command();
    if (command.empty()) return 9;
    if (command == "stop") break;
  }
  Send(R"({"event":"stopped","step":0})");
  return 0;
}

// Takes a checkpoint, then dies by a signal.
int Crash(const Work& work) {
  Started();
  Checkpoint(work, 2);
  std::cerr << "something terrible happened" << std::endl;
  Command();  // until the test has seen enough
  abort();
}

int Fail(const Work&) {
  std::cerr << "bad labels" << std::endl;
  Send(R"({"event":"failed","category":"user_error","message":"labels: bad"})");
  return 1;
}

// Ignores what it can.
int Stubborn(const Work&) {
  signal(SIGTERM, SIG_IGN);
  Started();
  for (;;) pause();
}

int Polite(const Work&) {
  Started();
  for (;;) pause();  // SIGTERM ends it
}

int Talk(const Work&) {
  std::cout << std::string(20000, 'x') << "\n"
            << "caf\xc3\xa9 \xff\n"
            << "no newline" << std::flush;
  for (int i = 0; i < 4000; ++i) std::cerr << "line " << i << "\n";
  return 3;
}

// Sends what it must not.
int Babble(const Work& work) {
  Send("not json");
  Send("[]");
  Send(R"({"event":"metrics","loss":"high"})");
  Send(R"({"event":"dance"})");
  Send(R"({"event":")" + std::string(70000, 'x') + R"("})");
  Finished(work);
  return 0;
}

// Shows what it was given.
int Show(const Work&) {
  std::cout << "directory " << std::filesystem::current_path().string() << "\n"
            << "leads its group " << (getpgrp() == getpid()) << "\n";
  for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(fd, error);
    if (!error && target.string().find("/proc/") == std::string::npos) {
      std::cout << "fd " << fd.path().filename().string() << "\n";
    }
  }
  for (const char* name :
       {"TRAINYARD_SECRET", "TRAINYARD_JOB", "CUDA_VISIBLE_DEVICES"}) {
    const char* value = getenv(name);
    std::cout << name << "=" << (value != nullptr ? value : "(unset)") << "\n";
  }
  return 0;
}

// Leaves a child behind that ignores SIGTERM and keeps the pipes open.
int Orphan(const Work& work) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
  }
  std::cout << "child " << child << std::endl;
  Finished(work);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  static const std::map<std::string, std::function<int(const Work&)>> kModes = {
      {"succeed", Succeed}, {"train", Train},    {"crash", Crash},
      {"fail", Fail},       {"polite", Polite},  {"stubborn", Stubborn},
      {"talk", Talk},       {"babble", Babble},  {"show", Show},
      {"orphan", Orphan},   {"predict", Predict}};
  Work work;
  std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--spec" && argc > 2) {
    const Json spec = Json::parse(std::ifstream(argv[2]));
    mode = spec.contains("ensemble")
               ? spec["ensemble"]["members"][0].value("name", "")
               : spec["training"]["model"].value("architecture", "");
    work.dir = spec.value("work_dir", ".");
    work.resume = spec.value("resume", "");
  }
  const auto found = kModes.find(mode);
  if (found == kModes.end()) {
    std::cerr << "no mode \"" << mode << "\"" << std::endl;
    return 2;
  }
  return found->second(work);
}
