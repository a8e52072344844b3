// The lockstep contract on two hosts: what they are is simulated (support/two_hosts.sh), what runs on them is
// not.
#include <gtest/gtest.h>

#include "system/contract.h"

namespace lockstep::testing {
namespace {

/// That something else would be noticed is for contract_test.cpp to show: the experiments are the same.
class TwoHostsTest : public ContractTest {
 protected:
  void SetUp() override {
    constexpr int cannot = 77;
    const ProcessResult attempt = run_process({source("tests/support/two_hosts.sh"), "--try"});
    if (attempt.status == cannot) GTEST_SKIP() << "not run: " << attempt.err;
    ASSERT_EQ(attempt.status, 0) << attempt.err;
  }
};

TEST_F(TwoHostsTest, SoftmaxShuffledWithinStripes) {
  expect_same_everywhere(train_shipped("mnist_softmax", small_file(), {"training.epochs=2"}),
                         {{4, 1, Carrier::chosen, {2, 2}},
                          {4, 2, Carrier::chosen, {2, 2}},
                          {4, 1, Carrier::chosen, {3, 1}},
                          {4, 2, Carrier::chosen, {3, 1}},
                          {4, 1, Carrier::messages, {2, 2}}},
                         {});
}

TEST_F(TwoHostsTest, ConvolutionalNetwork) {
  expect_same_everywhere(train_shipped("mnist_cnn", small_file(), {"training.epochs=1"}),
                         {{4, 1, Carrier::chosen, {2, 2}}, {4, 1, Carrier::chosen, {3, 1}}}, {});
}

TEST_F(TwoHostsTest, OddNetworkShuffledOverEverything) {
  expect_same_everywhere(train_odd_network(),
                         {{5, 1, Carrier::chosen, {2, 3}}, {4, 2, Carrier::chosen, {3, 1}}}, {});
}

}  // namespace
}  // namespace lockstep::testing
