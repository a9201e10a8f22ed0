// Submits one job many times, in one batch, and prints the accepted names:
//
//   submit_many ADDRESS COUNT < job.json
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "client/client.h"
#include "proto/json/job_json.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard {
namespace {

int Fail(const std::string& message) {
  std::fprintf(stderr, "submit_many: %s\n", message.c_str());
  return 1;
}

int Run(const std::string& address, int count) {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  v1::SubmitJobRequest request;
  const absl::Status parsed =
      FromJson(Json::parse(text, nullptr, false), request.mutable_spec());
  if (!parsed.ok()) return Fail(parsed.ToString());
  client::Client client({.server = address});
  const auto results = client.BatchSubmit(
      std::vector<v1::SubmitJobRequest>(static_cast<size_t>(count), request));
  if (!results.ok()) return Fail(results.status().ToString());
  for (const v1::BatchSubmitJobsResult& result : *results) {
    if (result.code() != 0) return Fail(result.message());
    std::printf("%s\n", result.job().c_str());
  }
  return 0;
}

}  // namespace
}  // namespace trainyard

int main(int argc, char** argv) {
  int count = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &count) || count < 1) {
    std::fprintf(stderr, "usage: submit_many ADDRESS COUNT < job.json\n");
    return 2;
  }
  return trainyard::Run(argv[1], count);
}
