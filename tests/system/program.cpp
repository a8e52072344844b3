#include "system/program.h"

#include <filesystem>
#include <thread>

#include "base/error.h"

namespace lockstep::testing {
namespace {

std::string data_file(const char* name) {
  const std::string path = std::string(LOCKSTEP_TEST_DATA) + "/" + name;
  if (!std::filesystem::exists(path))
    fail(ExitCode::no_input, "there is no {}: run these tests with ctest, which makes it first", path);
  return path;
}

}  // namespace

std::string program() {
  return LOCKSTEP_PROGRAM;
}

std::string source(const std::string& path) {
  return std::string(LOCKSTEP_SOURCE) + "/" + path;
}

std::string mnist_file() {
  return data_file("mnist.h5");
}

std::string small_file() {
  return data_file("mnist_small.h5");
}

Words command(const Words& arguments, const Job& job) {
  Words words = job.wrapper;
  words.push_back(program());
  words.insert(words.end(), arguments.begin(), arguments.end());
  if (!job.hosts.empty()) {
    words.insert(words.begin(), {source("tests/support/two_hosts.sh"), std::to_string(job.hosts.at(0)),
                                 std::to_string(job.hosts.at(1))});
    return words;
  }
  const bool alone = job.ranks == 1 && !job.always_mpirun;
  return alone ? words : mpirun(job.ranks, words, job.launcher_options);
}

std::map<std::string, std::string> environment(const Job& job) {
  std::map<std::string, std::string> variables{
      {"LOCKSTEP_COLLECTIVE", ""}, {"NO_COLOR", ""},           {"OMP_NUM_THREADS", ""},
      {"DNNL_MAX_CPU_ISA", ""},    {"ONEDNN_MAX_CPU_ISA", ""}, {"OMPI_MCA_mpi_yield_when_idle", "1"},
      {"CUDA_VISIBLE_DEVICES", ""}};
  for (const auto& [name, value] : job.environment) variables[name] = value;
  return variables;
}

ProcessResult run(const Words& arguments, const Job& job) {
  return run_process(command(arguments, job), {.timeout = job.timeout,
                                               .folder = job.folder,
                                               .environment = environment(job),
                                               .started = job.started});
}

Words train_shipped(const std::string& experiment, const std::string& data, const Words& overrides) {
  Words words{"train", source("configs/" + experiment + ".yaml"), "data.train.file=" + data,
              "data.validation.file=" + data};
  words.insert(words.end(), overrides.begin(), overrides.end());
  return words;
}

std::string quoted(const Words& words) {
  std::string line;
  for (const std::string& word : words) {
    line += line.empty() ? "'" : " '";
    for (const char letter : word) line += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    line += "'";
  }
  return line;
}

bool wait_until(const std::function<bool()>& ready) {
  constexpr auto limit = std::chrono::minutes(1);
  constexpr auto pause = std::chrono::milliseconds(20);
  const auto start = std::chrono::steady_clock::now();
  while (!ready()) {
    if (std::chrono::steady_clock::now() - start > limit) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

}  // namespace lockstep::testing
