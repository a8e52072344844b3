// main() of tests that run under mpirun: checks the number of ranks against --expect-ranks=N, so that a
// launcher that starts N jobs of one rank each cannot pass, and fails when any rank fails or ran nothing.
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "comm/session.h"

int main(int argc, char** argv) {
  const lockstep::comm::Session session(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);

  const std::string flag = "--expect-ranks=";
  int expected = 0;
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]).starts_with(flag)) expected = std::atoi(argv[i] + flag.size());
  if (ranks != expected) {
    std::fprintf(stderr, "expected %d ranks, mpirun started %d\n", expected, ranks);
    return EXIT_FAILURE;
  }
  if (rank != 0)
    delete ::testing::UnitTest::GetInstance()->listeners().Release(
        ::testing::UnitTest::GetInstance()->listeners().default_result_printer());

  int failed = RUN_ALL_TESTS();
  if (::testing::UnitTest::GetInstance()->successful_test_count() == 0) failed = 1;
  if (failed != 0 && rank != 0) std::fprintf(stderr, "a test failed on rank %d\n", rank);
  int any_failed = 0;
  MPI_Allreduce(&failed, &any_failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  return any_failed;
}
