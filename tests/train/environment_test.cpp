#include "train/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "train/build_info.h"
#include "train/library_versions.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

Machine machine(const std::string& host, std::int64_t cores) {
  return {.host = host,
          .cpu = "a cpu of " + host,
          .cores = cores,
          .memory_bytes = cores << 30,
          .system = "Debian",
          .kernel = "Linux 6"};
}

Environment three_ranks() {
  return {.command_line = "lockstep train \"a file.yaml\"",
          .working_directory = "/home/ada",
          .started = std::chrono::system_clock::from_time_t(1770091506),
          .machines = {machine("alpha", 4), machine("beta", 8), machine("alpha", 4)},
          .threads = {2, 8, 3},
          .device = "cpu (avx2)",
          .instruction_set = "avx2",
          .arithmetic = 0x1234,
          .data = "60 samples",
          .exchange = "mpi"};
}

TEST(EnvironmentJson, SaysWhereEachRankRan) {
  const auto json = nlohmann::json::parse(environment_json(three_ranks()));
  EXPECT_EQ(json["command_line"], "lockstep train \"a file.yaml\"");
  EXPECT_EQ(json["started"], "2026-02-03T04:05:06Z");
  EXPECT_EQ(json["ranks"], 3);
  EXPECT_EQ(json["threads"], nlohmann::json({2, 8, 3}));
  EXPECT_EQ(json["device"], "cpu (avx2)");
  EXPECT_EQ(json["instruction_set"], "avx2");
  EXPECT_EQ(json["arithmetic"], "0000000000001234");
  EXPECT_EQ(json["data"], "60 samples");
  EXPECT_EQ(json["working_directory"], "/home/ada");
  EXPECT_EQ(json["exchange"], "mpi");
  ASSERT_EQ(json["hosts"].size(), 2U);
  EXPECT_EQ(json["hosts"][0]["name"], "alpha");
  EXPECT_EQ(json["hosts"][0]["ranks"], nlohmann::json({0, 2}));
  EXPECT_EQ(json["hosts"][1]["name"], "beta");
  EXPECT_EQ(json["hosts"][1]["ranks"], nlohmann::json::array({1}));
  EXPECT_EQ(json["hosts"][1]["cpu"], "a cpu of beta");
  EXPECT_EQ(json["hosts"][1]["cores"], 8);
  EXPECT_EQ(json["hosts"][1]["memory_bytes"], std::int64_t{8} << 30);
}

TEST(EnvironmentJson, SaysWhatWasBuiltAndLinked) {
  const auto json = nlohmann::json::parse(environment_json(three_ranks()));
  const BuildInfo& info = build_info();
  EXPECT_EQ(json["build"]["version"], info.version);
  EXPECT_EQ(json["build"]["revision"], info.revision);
  EXPECT_EQ(json["build"]["modified"], info.modified);
  EXPECT_EQ(json["build"]["compiler"], info.compiler);
  EXPECT_EQ(json["build"]["flags"], info.flags);
  EXPECT_EQ(json["libraries"].size(), library_versions().size());
  for (const auto& [name, version] : library_versions()) EXPECT_EQ(json["libraries"][name], version);
}

TEST(EnvironmentJson, NamesVariablesThatSteerLibrariesAndNoOthers) {
  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  ::setenv("LOCKSTEP_TEST_SECRET", "hunter2", 1);
  const std::string text = environment_json(three_ranks());
  ::unsetenv("ONEDNN_MAX_CPU_ISA");
  ::unsetenv("LOCKSTEP_TEST_SECRET");
  EXPECT_EQ(nlohmann::json::parse(text)["variables"]["ONEDNN_MAX_CPU_ISA"], "AVX2");
  EXPECT_EQ(text.find("hunter2"), std::string::npos);
}

TEST(EnvironmentJson, AnyBytesMayComeFromOutside) {
  Environment environment = three_ranks();
  environment.command_line = "lockstep train \xff\xfe.yaml";
  const auto json = nlohmann::json::parse(environment_json(environment));
  EXPECT_TRUE(json["command_line"].get<std::string>().ends_with(".yaml"));
}

TEST(BuildInfo, IsComplete) {
  const BuildInfo& info = build_info();
  EXPECT_THAT(info.version, MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(info.revision, MatchesRegex("unknown|[0-9a-f]{40}|[0-9a-f]{64}"));
  EXPECT_THAT(info.compiler, MatchesRegex("[A-Za-z]+ [0-9.]+"));
  EXPECT_NE(info.flags.find("-ffp-contract=off"), std::string::npos) << info.flags;
  EXPECT_FALSE(info.build_type.empty());
}

TEST(LibraryVersions, AreAllThere) {
  std::vector<std::string> names;
  for (const auto& [name, version] : library_versions()) {
    EXPECT_THAT(version, MatchesRegex("[0-9]+(\\.[0-9]+)+.*")) << name;
    names.push_back(name);
  }
  EXPECT_THAT(names, ElementsAre("Open MPI", "oneDNN", "HDF5", "yaml-cpp", "fmt", "spdlog", "CLI11",
                                 "nlohmann_json", "zlib", "xxHash"));
}

TEST(Machine, IsThisOne) {
  const Machine machine = this_machine();
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(machine.host, host.data());
  EXPECT_FALSE(machine.cpu.empty());
  EXPECT_EQ(machine.cpu.find_first_of("\t\n:\""), std::string::npos) << machine.cpu;
  EXPECT_GE(machine.cores, 1);
  EXPECT_GT(machine.memory_bytes, 1 << 26);
  EXPECT_THAT(machine.kernel, MatchesRegex("Linux .* .*"));
  EXPECT_FALSE(machine.system.empty());
}

TEST(Machine, TravelsAsText) {
  Machine sent = machine("al\"pha\n", 96);
  sent.memory_bytes = std::int64_t{1} << 42;
  const Machine received = parse_machine(text_of(sent));
  EXPECT_EQ(received.host, sent.host);
  EXPECT_EQ(received.cpu, sent.cpu);
  EXPECT_EQ(received.cores, 96);
  EXPECT_EQ(received.memory_bytes, std::int64_t{1} << 42);
  EXPECT_EQ(received.system, sent.system);
  EXPECT_EQ(received.kernel, sent.kernel);
}

}  // namespace
}  // namespace lockstep::train
