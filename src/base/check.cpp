#include "base/check.h"

#include "base/error.h"

namespace lockstep {

void check(bool holds, std::string_view invariant, std::source_location where) {
  if (holds) return;
  fail(ExitCode::internal, "internal error at {}:{}: {}", where.file_name(), where.line(), invariant);
}

}  // namespace lockstep
