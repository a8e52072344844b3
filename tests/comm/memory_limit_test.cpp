// Ranks that get no memory, or cannot share it: all of them must say the same and go on together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "comm/collective.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t slab_blocks = 10 * 1024;
constexpr std::int64_t slab_bytes = std::int64_t{40} << 20;  // more than malloc ever keeps back for later
static_assert(slab_bytes == slab_blocks * Parameters::block * 4);

/// While it lives, this process has a lower limit. What was there before may exceed it.
class Limit {
 public:
  Limit(__rlimit_resource_t resource, std::int64_t bytes) : resource_(resource) {
    getrlimit(resource_, &before_);
    const rlimit limit{static_cast<rlim_t>(bytes), before_.rlim_max};
    setrlimit(resource_, &limit);
  }
  ~Limit() { setrlimit(resource_, &before_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  __rlimit_resource_t resource_;
  rlimit before_ = {};
};

/// A limit on address space that leaves room for less than a slab.
std::int64_t little_more_address_space() {
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE) + slab_bytes / 2;
}

/// What this rank is told when `rank` alone has so little of `resource` while it makes memory.
std::string make_under_limit(const World& world, int rank, __rlimit_resource_t resource, std::int64_t bytes,
                             const std::function<std::span<float>()>& make) {
  std::optional<Limit> limit;
  if (world.rank() == rank) limit.emplace(resource, bytes);
  try {
    static_cast<void>(make());
    return "a slab was made";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    return error.what();
  }
}

/// One rank, the last, gets too little of `resource` for a slab.
std::string make_slab_under_limit(const World& world, Collective& collective, __rlimit_resource_t resource,
                                  std::int64_t bytes) {
  return make_under_limit(world, world.size() - 1, resource, bytes, [&] { return collective.make_slab(); });
}

/// All ranks have the same text, and the collective still makes slabs and works.
void expect_together(World& world, Collective& collective, const std::string& text) {
  const std::vector<std::string> texts = world.all_gather(text);
  EXPECT_THAT(texts, ::testing::Each(text));
  const std::span<float> weights = collective.make_slab();
  const Range own = collective.own_slice();
  std::fill_n(weights.begin() + own.begin, own.size(), static_cast<float>(world.rank() + 1));
  collective.all_gather(weights);
  for (int rank = 0; rank < world.size(); ++rank) {
    const Range slice = collective.slice(rank);
    ASSERT_EQ(weights[static_cast<std::size_t>(slice.begin)], static_cast<float>(rank + 1));
    ASSERT_EQ(weights[static_cast<std::size_t>(slice.end) - 1], static_cast<float>(rank + 1));
  }
}

std::string name_of_last(const World& world) {
  return world.size() == 1 ? "" : fmt::format("rank {} on ", world.size() - 1);
}

class MemoryLimit : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(world_.host_count(), 1) << "these tests are for one host"; }
  std::unique_ptr<Collective> make() { return make_collective(world_, slab_blocks * Parameters::block, 8); }
  World world_;
};

TEST_F(MemoryLimit, TurnsToMessagesOnAllRanksWhereOneCannotShareAPage) {
  ::testing::internal::CaptureStderr();
  std::unique_ptr<Collective> collective;
  {
    std::optional<Limit> limit;
    if (world_.rank() == world_.size() - 1) limit.emplace(RLIMIT_FSIZE, 0);
    collective = make();
  }
  const std::string warning = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(collective->name(), world_.size() == 1 ? "self" : "mpi");
  if (world_.size() > 1 && world_.is_root())
    EXPECT_THAT(warning, AllOf(HasSubstr(name_of_last(world_)), HasSubstr("File too large"),
                               HasSubstr("cannot share memory"), HasSubstr("MPI messages instead")));
  else
    EXPECT_EQ(warning, "");
}

TEST_F(MemoryLimit, AllRanksReportASharedSlabThatOneCannotReserve) {
  const auto collective = make();
  static_cast<void>(collective->make_slab());
  const std::string text = make_slab_under_limit(world_, *collective, RLIMIT_FSIZE, slab_bytes - 1);
  if (world_.size() == 1)  // memory of its own, in no file
    EXPECT_EQ(text, "a slab was made");
  else
    EXPECT_THAT(text, AllOf(StartsWith(name_of_last(world_)),
                            HasSubstr("cannot reserve 41943040 bytes of shared memory: File too large"),
                            HasSubstr("ulimit -f"),
                            HasSubstr(fmt::format("and has 1 (ranks in the job: {})", world_.size())),
                            HasSubstr("fewer ranks"), HasSubstr("LOCKSTEP_COLLECTIVE=mpi")));
  expect_together(world_, *collective, text);
}

TEST_F(MemoryLimit, AllRanksReportASharedSlabThatOneCannotMap) {
  const auto collective = make();
  const std::string text = make_slab_under_limit(world_, *collective, RLIMIT_AS, little_more_address_space());
  EXPECT_THAT(text, StartsWith(name_of_last(world_)));
  if (world_.size() == 1)
    EXPECT_THAT(text, HasSubstr("cannot get 41943040 bytes of memory for a slab (ranks in the job: 1)"));
  else
    EXPECT_THAT(text, AllOf(HasSubstr("cannot map 41943040 bytes of shared memory: Cannot allocate memory"),
                            HasSubstr("ulimit -v"), HasSubstr("and has 0 (ranks")));
  expect_together(world_, *collective, text);
}

TEST_F(MemoryLimit, AllRanksReportCommonMemoryThatItsKeeperCannotReserveOrAnotherCannotMap) {
  if (world_.size() == 1) return;  // memory of its own: the test below covers it
  const auto collective = make();
  const auto make_common = [&] { return collective->make_common(slab_bytes / 4, "packed weights"); };
  const std::string text = make_under_limit(world_, 0, RLIMIT_FSIZE, slab_bytes - 1, make_common);
  EXPECT_THAT(text,
              AllOf(StartsWith("rank 0 on "), HasSubstr("cannot reserve 41943040 bytes of shared memory"),
                    HasSubstr(fmt::format("for the packed weights of its ranks (ranks in the job: {})",
                                          world_.size())),
                    HasSubstr("Use a smaller model or a higher limit")));
  expect_together(world_, *collective, text);
  EXPECT_THAT(
      make_under_limit(world_, world_.size() - 1, RLIMIT_AS, little_more_address_space(), make_common),
      AllOf(StartsWith(name_of_last(world_)), HasSubstr("cannot map 41943040 bytes")));
}

TEST_F(MemoryLimit, AllRanksReportAPrivateSlabThatOneCannotGet) {
  setenv("LOCKSTEP_COLLECTIVE", "mpi", 1);
  const auto collective = make();
  unsetenv("LOCKSTEP_COLLECTIVE");
  const std::string text = make_slab_under_limit(world_, *collective, RLIMIT_AS, little_more_address_space());
  EXPECT_THAT(
      text, AllOf(StartsWith(name_of_last(world_)),
                  HasSubstr(fmt::format("bytes of memory for a slab (ranks in the job: {})", world_.size())),
                  HasSubstr("ulimit -v")));
  expect_together(world_, *collective, text);
}

TEST_F(MemoryLimit, AllRanksReportABufferForMessagesThatOneCannotGet) {
  if (world_.size() == 1) return;  // alone it receives nothing: the three tests above cover it
  setenv("LOCKSTEP_COLLECTIVE", "mpi", 1);
  std::string text = "made";
  {
    std::optional<Limit> limit;
    if (world_.rank() == world_.size() - 1) limit.emplace(RLIMIT_AS, little_more_address_space());
    try {
      // Its buffer is the others' partial sums of its slice: about a slab for shards as ranks.
      static_cast<void>(make_collective(world_, 4 * slab_blocks * Parameters::block, 8));
    } catch (const AgreedError& error) {
      text = error.what();
    }
  }
  unsetenv("LOCKSTEP_COLLECTIVE");
  EXPECT_THAT(text, AllOf(StartsWith(name_of_last(world_)), HasSubstr("for the gradients of other ranks")));
  EXPECT_THAT(world_.all_gather(text), ::testing::Each(text));
}

}  // namespace
}  // namespace lockstep::comm
