// Submits a small training job and watches it to its end.
//
//   submit_and_watch --server 127.0.0.1:7070 --data /data/glyphs
//
// --data is a folder on the worker or an artifact ("sha256:…"). Exit status: 0
// succeeded, 1 failed or cancelled, 2 bad usage or an error.
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "client/client.h"
#include "client/watch.h"

namespace {

namespace client = trainyard::client;
namespace v1 = trainyard::v1;

v1::JobSpec MakeSpec(const std::string& data) {
  v1::JobSpec spec;
  spec.set_name("example-cpp");
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_model()->set_architecture("mlp");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  v1::Source& source = *training.mutable_data()->mutable_source();
  data.rfind("sha256:", 0) == 0 ? source.set_artifact(data)
                                : source.set_path(data);
  training.set_epochs(1);
  return spec;
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int SubmitAndWatch(const std::string& server, const std::string& data) {
  client::ClientOptions options;
  options.server = server;
  options.security = {.tls_ca = Environment("TRAINYARD_TLS_CA"),
                      .tls_cert = Environment("TRAINYARD_TLS_CERT"),
                      .tls_key = Environment("TRAINYARD_TLS_KEY"),
                      .tls_server_name = "",
                      .token = Environment("TRAINYARD_TOKEN"),
                      .token_file = Environment("TRAINYARD_TOKEN_FILE")};
  if (const absl::Status checked =
          CheckSecurity(options.server, options.security);
      !checked.ok()) {
    std::cerr << checked.message() << "\n";
    return 2;
  }
  client::Client trainyard(options);

  // Retries of this call keep one request_id: the job is made once.
  const absl::StatusOr<v1::Job> submitted = trainyard.Submit(MakeSpec(data));
  if (!submitted.ok()) {
    std::cerr << "submit: " << submitted.status() << "\n";
    return 2;
  }

  // Reconnects by itself and goes on after the last revision seen.
  v1::Job last = *submitted;
  std::cout << last.name() << " submitted" << std::endl;
  v1::WatchJobsRequest watch;
  watch.mutable_filter()->add_names(last.name());
  watch.set_until_final(true);
  const absl::Status end =
      client::WatchJobs(trainyard, watch, {}, [&](const v1::Job& job) {
        const bool news =
            job.state() != last.state() || job.reason() != last.reason();
        last = job;
        if (news)
          std::cout << job.name() << " " << v1::Job::State_Name(job.state())
                    << " " << job.reason() << std::endl;
        return true;
      });
  if (!end.ok()) {
    std::cerr << "watch: " << end << "\n";
    return 2;
  }
  return last.state() == v1::Job::STATE_SUCCEEDED ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {{"--server", "127.0.0.1:7070"},
                                              {"--data", ""}};
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  if (flags.size() > 2 || flags["--data"].empty() || argc % 2 == 0) {
    std::cerr << "usage: submit_and_watch [--server HOST:PORT] --data "
                 "FOLDER|ARTIFACT\n";
    return 2;
  }
  return SubmitAndWatch(flags["--server"], flags["--data"]);
}
