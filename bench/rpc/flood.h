// Keeps a fixed number of unary calls of one method under way and counts what
// comes back.
//
//   Flood<Empty, Empty> flood(channels, "/grpc.health.v1.Health/Check",
//                             [](Empty*) {}, [](const Empty&) { return 1; });
//   ASSIGN_OR_RETURN(double per_second, flood.Run({.in_flight = 256}));
//
// Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"

namespace trainyard::bench {

struct FloodOptions {
  int in_flight = 256;
  int threads = 1;
  absl::Duration duration = absl::Seconds(3);
};

template <typename Request, typename Response>
class Flood {
 public:
  // Writes the next request; called on all threads.
  using Fill = std::function<void(Request*)>;
  // How much the response counts for.
  using Count = std::function<absl::StatusOr<uint64_t>(const Response&)>;

  Flood(std::vector<std::shared_ptr<grpc::Channel>> channels,
        std::string method, Fill fill, Count count)
      : channels_(std::move(channels)),
        method_(std::move(method)),
        fill_(std::move(fill)),
        count_(std::move(count)) {}

  // Counts per second, the first tenth of the time left out. The first call
  // that fails is the error.
  absl::StatusOr<double> Run(const FloodOptions& options) {
    const auto duration = absl::ToChronoNanoseconds(options.duration);
    const Clock::time_point begin = Clock::now();
    const Window window = {begin + duration / 10, begin + duration};
    std::vector<Part> parts(static_cast<size_t>(options.threads));
    std::vector<std::thread> threads;
    for (size_t i = 0; i < parts.size(); ++i) {
      const int share =
          options.in_flight / options.threads +
          (static_cast<int>(i) < options.in_flight % options.threads ? 1 : 0);
      threads.emplace_back([this, share, window, part = &parts[i]] {
        RunPart(share, window, part);
      });
    }
    for (std::thread& thread : threads) thread.join();
    uint64_t count = 0;
    for (const Part& part : parts) {
      if (!part.status.ok()) return part.status;
      count += part.count;
    }
    return static_cast<double>(count) /
           std::chrono::duration<double>(window.end - window.begin).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Stub = grpc::TemplatedGenericStub<Request, Response>;

  struct Window {
    Clock::time_point begin;
    Clock::time_point end;
  };
  struct Part {
    uint64_t count = 0;
    absl::Status status;
  };
  // One call under way, then the next in its place.
  struct Slot {
    Stub* stub = nullptr;
    std::optional<grpc::ClientContext> context;
    Request request;
    Response response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  };

  void RunPart(int in_flight, Window window, Part* part) {
    grpc::CompletionQueue queue;
    std::vector<std::unique_ptr<Stub>> stubs;
    for (const auto& channel : channels_) {
      stubs.push_back(std::make_unique<Stub>(channel));
    }
    std::vector<Slot> slots(static_cast<size_t>(in_flight));
    for (size_t i = 0; i < slots.size(); ++i) {
      slots[i].stub = stubs[i % stubs.size()].get();
      Start(&slots[i], &queue);
    }
    void* tag = nullptr;
    bool ok = false;
    for (int running = in_flight; running > 0; --running) {
      while (queue.Next(&tag, &ok)) {
        Slot* const slot = static_cast<Slot*>(tag);
        const Clock::time_point now = Clock::now();
        part->status.Update(Take(*slot, now, window, part));
        if (now >= window.end || !part->status.ok()) break;
        Start(slot, &queue);
      }
    }
    slots.clear();
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
  }

  void Start(Slot* slot, grpc::CompletionQueue* queue) {
    slot->reader.reset();
    slot->context.emplace();
    slot->context->set_deadline(std::chrono::system_clock::now() +
                                std::chrono::seconds(60));
    fill_(&slot->request);
    slot->reader = slot->stub->PrepareUnaryCall(&*slot->context, method_,
                                                slot->request, queue);
    slot->reader->StartCall();
    slot->reader->Finish(&slot->response, &slot->status, slot);
  }

  absl::Status Take(const Slot& slot, Clock::time_point now, Window window,
                    Part* part) {
    if (!slot.status.ok()) {
      return absl::UnavailableError(absl::StrCat(method_, " failed with code ",
                                                 slot.status.error_code(), ": ",
                                                 slot.status.error_message()));
    }
    const absl::StatusOr<uint64_t> count = count_(slot.response);
    if (!count.ok()) return count.status();
    if (now >= window.begin && now < window.end) part->count += *count;
    return absl::OkStatus();
  }

  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  const std::string method_;
  const Fill fill_;
  const Count count_;
};

}  // namespace trainyard::bench
