#include "io/process_limits.h"

#include <unistd.h>

#include "base/check.h"

/// On a full disk the library loses memory of its own, and NewFile leaves the file's behind on purpose.
extern "C" const char* __lsan_default_suppressions();   // NOLINT(bugprone-reserved-identifier,cert-dcl*)
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier,cert-dcl*)
  return "leak:libhdf5";
}

namespace lockstep::testing {

FileSizeLimit::FileSizeLimit(std::uint64_t bytes) : handler_before_(std::signal(SIGXFSZ, SIG_IGN)) {
  check(getrlimit(RLIMIT_FSIZE, &before_) == 0, "the limit on file sizes can be read");
  rlimit limited = before_;
  limited.rlim_cur = bytes;
  check(setrlimit(RLIMIT_FSIZE, &limited) == 0, "the limit on file sizes can be lowered");
}

FileSizeLimit::~FileSizeLimit() {
  setrlimit(RLIMIT_FSIZE, &before_);
  std::signal(SIGXFSZ, handler_before_);
}

OrdinaryUser::OrdinaryUser() : before_(geteuid()) {
  constexpr uid_t nobody = 65534;
  if (before_ == 0) check(seteuid(nobody) == 0, "root can act as another user");
}

OrdinaryUser::~OrdinaryUser() {
  if (before_ == 0) check(seteuid(before_) == 0, "and as root again");
}

}  // namespace lockstep::testing
