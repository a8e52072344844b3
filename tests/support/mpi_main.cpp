// main() of tests that run under mpirun. A job passes only if it has the number of ranks that
// --expect-ranks=N names (a launcher that starts N jobs of one rank each does not), every rank ran the same
// tests, at least one, and none failed on any rank. A rank that fails a test ends the job: others may be
// waiting for it.
#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "comm/session.h"

namespace {

/// Names the rank in each failure, and ends the job once the test that failed is over.
class RankListener : public ::testing::EmptyTestEventListener {
 public:
  RankListener(int rank, int ranks) : rank_(rank), ranks_(ranks) {}

  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed() || rank_ == 0) return;  // rank 0 prints its own in full
    std::fprintf(stderr, "rank %d of %d: %s:%d: %s\n", rank_, ranks_,
                 result.file_name() != nullptr ? result.file_name() : "?", result.line_number(),
                 result.message());
  }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.result()->Failed() || ranks_ == 1) return;
    std::fprintf(stderr, "rank %d of %d: %s.%s FAILED\n", rank_, ranks_, test.test_suite_name(), test.name());
    std::fflush(nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // the others' messages
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  }

 private:
  int rank_;
  int ranks_;
};

int expected_ranks(int argc, char** argv) {
  constexpr std::string_view flag = "--expect-ranks=";
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]).starts_with(flag)) return std::atoi(argv[i] + flag.size());
  return 0;
}

bool same_on_all_ranks(int value) {
  int extremes[2] = {value, -value};
  MPI_Allreduce(MPI_IN_PLACE, extremes, 2, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return extremes[0] == -extremes[1];
}

}  // namespace

int main(int argc, char** argv) {
  const lockstep::comm::Session session(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (const int expected = expected_ranks(argc, argv); ranks != expected) {
    std::fprintf(stderr, "expected %d ranks, mpirun started %d\n", expected, ranks);
    return EXIT_FAILURE;
  }

  ::testing::UnitTest& tests = *::testing::UnitTest::GetInstance();
  if (rank != 0) delete tests.listeners().Release(tests.listeners().default_result_printer());
  tests.listeners().Append(new RankListener(rank, ranks));  // owned by GoogleTest

  int failed = RUN_ALL_TESTS();
  const int passed = tests.successful_test_count();
  if (passed == 0 || !same_on_all_ranks(passed)) {
    std::fprintf(stderr, "rank %d of %d passed %d tests: every rank must pass the same, at least one\n", rank,
                 ranks, passed);
    failed = 1;
  }
  int any_failed = 0;
  MPI_Allreduce(&failed, &any_failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return any_failed;
}
