#include "device/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <thread>

#include "base/error.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using namespace device;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(CpuBackend, names_its_instruction_set_and_library) {
  EXPECT_EQ(make_cpu_backend()->describe(), "cpu (" + cpu_instruction_set() + ")");
  EXPECT_THAT(cpu_instruction_set(), MatchesRegex("(sse41|avx[0-9a-z_]*)"));
  EXPECT_THAT(onednn_version(), MatchesRegex("[23]\\.[0-9]+\\.[0-9]+"));
}

TEST(CpuBackend, keeps_the_library_on_one_thread) {
  std::thread([] {
    omp_set_num_threads(4);
    prepare_cpu_thread();
    EXPECT_EQ(omp_get_max_threads(), 1);
    omp_set_num_threads(4);
    const auto backend = make_cpu_backend();
    EXPECT_EQ(omp_get_max_threads(), 1);
  }).join();
}

TEST(CpuBackend, names_the_layer_that_the_library_refuses) {
  Network network = NetworkBuilder({3, 8, 8}).conv(4, 3).relu().flatten().dense(10).build();
  std::get<Conv2dOp>(network.nodes[0].op).kernel_height = 5;  // no longer what the output says
  try {
    (void)make_cpu_backend()->plan(network, 16, Mode::training);
    FAIL() << "planned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("layer conv_0 (3×8×8 to 4×6×6, shards of 16 samples)"));
    EXPECT_THAT(error.what(), HasSubstr("oneDNN " + onednn_version()));
  }
}

TEST(CpuBackend, refuses_a_chain_that_does_not_fit_together) {
  Network network = NetworkBuilder({3, 8, 8}).conv(4, 3).flatten().dense(10).build();
  network.nodes.erase(network.nodes.begin());
  EXPECT_THROW((void)make_cpu_backend()->plan(network, 1, Mode::training), Error);
}

TEST(CpuBackend, trains_with_a_training_plan_only) {
  const Network network = NetworkBuilder({4}).dense(3).build();
  const auto plan = make_cpu_backend()->plan(network, 1, Mode::evaluation);
  std::vector<float> slab(static_cast<std::size_t>(network.parameters.slab_size()));
  plan->load_weights(slab);
  const std::vector<float> image(4);
  const std::int32_t label = 0;
  EXPECT_THROW(plan->make_runner()->train({image.data(), &label, nullptr, 0}, slab), Error);
}

TEST(MultiplyAdds, are_those_of_the_mnist_network) {
  const Network network = NetworkBuilder({1, 28, 28})
                              .conv(24, 5)
                              .relu()
                              .max_pool(2)
                              .conv(48, 5)
                              .relu()
                              .max_pool(2)
                              .flatten()
                              .dense(512)
                              .relu()
                              .dense(10)
                              .build();
  MultiplyAdds sum;
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const MultiplyAdds one = multiply_adds(network.nodes[i].op, i == 0);
    sum.forward += one.forward;
    sum.weight_gradient += one.weight_gradient;
    sum.data_gradient += one.data_gradient;
  }
  EXPECT_EQ(sum.forward, 2587136);
  EXPECT_EQ(sum.weight_gradient, 2587136);
  EXPECT_EQ(sum.data_gradient, 2241536);
  EXPECT_EQ(network.parameters.count(), 428330);
}

TEST(Totals, add_member_by_member) {
  Totals totals{.loss = 1.5, .correct = 2, .samples = 3};
  totals += {.loss = 0.25, .correct = 1, .samples = 4};
  EXPECT_EQ(totals.loss, 1.75);
  EXPECT_EQ(totals.correct, 3);
  EXPECT_EQ(totals.samples, 7);
}

}  // namespace
}  // namespace lockstep::testing
