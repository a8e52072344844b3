#include "support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "base/check.h"

namespace lockstep::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    check(pipe2(ends.data(), O_CLOEXEC) == 0, "a pipe can be made");
    read = ends[0];
    write = ends[1];
  }
};

[[noreturn]] void become(const std::vector<std::string>& arguments, const ProcessOptions& options,
                         const Pipe& out, const Pipe& err) {
  setpgid(0, 0);
  dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  dup2(out.write, STDOUT_FILENO);
  dup2(err.write, STDERR_FILENO);
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) _exit(127);
  for (const auto& [name, value] : options.environment) {
    if (value.empty())
      unsetenv(name.c_str());
    else
      setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  _exit(127);
}

/// Reads both pipes until they close or the time is over; true if they closed.
bool drain(int out, int err, Clock::time_point deadline, ProcessResult& result) {
  std::array<pollfd, 2> sources{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  const std::array<std::string*, 2> texts{&result.out, &result.err};
  for (int open_sources = 2; open_sources > 0;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    if (poll(sources.data(), sources.size(), static_cast<int>(left)) < 0) continue;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (sources[i].fd < 0 || sources[i].revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t count = read(sources[i].fd, buffer.data(), buffer.size());
      if (count > 0) {
        texts[i]->append(buffer.data(), static_cast<std::size_t>(count));
      } else {
        sources[i].fd = -1;
        --open_sources;
      }
    }
  }
  return true;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const Pipe out;
  const Pipe err;
  const pid_t child = fork();
  check(child >= 0, "a process can be started");
  if (child == 0) become(arguments, options, out, err);
  setpgid(child, child);
  close(out.write);
  close(err.write);
  if (options.started) options.started(child);

  ProcessResult result;
  if (!drain(out.read, err.read, Clock::now() + options.timeout, result)) {
    result.timed_out = true;
    kill(-child, SIGKILL);
  }
  close(out.read);
  close(err.read);
  int status = 0;
  waitpid(child, &status, 0);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::vector<std::string> mpirun(int ranks, const std::vector<std::string>& arguments,
                                const std::vector<std::string>& launcher_options) {
  std::vector<std::string> words{"mpirun", "--oversubscribe"};
  if (geteuid() == 0) words.emplace_back("--allow-run-as-root");
  words.insert(words.end(), launcher_options.begin(), launcher_options.end());
  words.insert(words.end(), {"-n", std::to_string(ranks)});
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

}  // namespace lockstep::testing
