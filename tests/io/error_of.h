#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace lockstep::testing {

/// The Error that `f` throws; a test failure and an empty message when it throws none.
template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return {ExitCode::success, ""};
}

/// Expects one line for a person, with the status and each of the parts in it.
inline void expect_error(const Error& error, ExitCode code, std::initializer_list<std::string> parts) {
  const std::string message = error.what();
  EXPECT_EQ(error.code(), code) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks: " << part;
}

}  // namespace lockstep::testing
