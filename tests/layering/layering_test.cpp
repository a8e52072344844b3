#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "layering/include_rules.h"

namespace lockstep::layering {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Layering, EveryFileOfTheSourcesKeepsTheRules) {
  const std::filesystem::path source_folder = LOCKSTEP_SOURCE_FOLDER;
  std::vector<std::string> broken;
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source_folder)) {
    const auto extension = entry.path().extension();
    if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(text.empty()) << entry.path();
    const auto found =
        broken_include_rules(entry.path().lexically_relative(source_folder).generic_string(), text);
    broken.insert(broken.end(), found.begin(), found.end());
    ++files;
  }
  EXPECT_TRUE(broken.empty()) << fmt::format("{}", fmt::join(broken, "\n"));
  EXPECT_GT(files, 40) << "the sources were not found in " << source_folder;
}

struct BadInclude {
  const char* path;
  const char* line;
  const char* message;
};
void PrintTo(const BadInclude& bad, std::ostream* out) {
  *out << bad.path << " with " << bad.line;
}

class Broken : public ::testing::TestWithParam<BadInclude> {};

TEST_P(Broken, IsReportedWithFileAndLine) {
  const auto& [path, line, message] = GetParam();
  const auto text = fmt::format("#pragma once\n\n{}\n#include \"base/error.h\"\n", line);
  EXPECT_THAT(broken_include_rules(path, text),
              ElementsAre(HasSubstr(fmt::format("src/{}:3: {}", path, message))));
}

INSTANTIATE_TEST_SUITE_P(
    Includes, Broken,
    ::testing::Values(
        BadInclude{"nn/graph.cpp", "#include \"data/loader.h\"",
                   "nn/ (level 3) may not include \"data/loader.h\" (level 3)"},
        BadInclude{"base/log.h", "#include \"tensor/shape.h\"", "base/ (level 0) may not include"},
        BadInclude{"tensor/shape.cpp", "#include \"config/experiment.h\"",
                   "tensor/ (level 1) may not include"},
        BadInclude{"device/cpu/plan.cpp", "  #  include \"io/hdf5.h\"", "device/ (level 2) may not include"},
        BadInclude{"comm/world.h", "#include \"train/trainer.h\" // why not",
                   "comm/ (level 3) may not include"},
        BadInclude{"train/trainer.cpp", "#include <mpi.h>", "train/ may not include <mpi.h>: only comm/ may"},
        BadInclude{"nn/layers/dense.cpp", "#include <dnnl.hpp>",
                   "nn/ may not include <dnnl.hpp>: only device/ may"},
        BadInclude{"optim/sgd.cpp", "#include <cuda_runtime.h>",
                   "optim/ may not include <cuda_runtime.h>: only device/ and comm/ may"},
        BadInclude{"data/hdf5_dataset.cpp", "#include <hdf5.h>",
                   "data/ may not include <hdf5.h>: only io/ may"},
        BadInclude{"main.cpp", "#include <yaml-cpp/yaml.h>",
                   "cli/ may not include <yaml-cpp/yaml.h>: only config/ may"},
        BadInclude{"train/run.cpp", "#include <CLI/CLI.hpp>",
                   "train/ may not include <CLI/CLI.hpp>: only cli/ may"},
        BadInclude{"io/hdf5.cpp", "#include \"hash.h\"", "\"hash.h\" is no path below src/"},
        BadInclude{"io/hdf5.cpp", "#include \"gtest/gtest.h\"", "\"gtest/gtest.h\" is no path below src/"}));

TEST(Layering, AFolderWithoutALevelIsReported) {
  EXPECT_THAT(broken_include_rules("util/strings.cpp", "int x;\n"),
              ElementsAre(HasSubstr("util/ has no level")));
}

TEST(Layering, WhatTheLevelsAllowIsAccepted) {
  EXPECT_THAT(broken_include_rules("comm/mpi_world.cpp",
                                   "#include <mpi.h>\n#include \"comm/world.h\"\n"
                                   "#include \"io/hash.h\"\n#include <vector>\n"),
              IsEmpty());
  EXPECT_THAT(broken_include_rules("main.cpp", "#include <CLI/CLI.hpp>\n#include \"cli/command.h\"\n"),
              IsEmpty());
  EXPECT_THAT(broken_include_rules("train/library_versions.cpp", "#include <CLI/Version.hpp>\n"), IsEmpty());
  EXPECT_THAT(broken_include_rules("nn/graph.cpp", "// #include \"data/loader.h\"\n"), IsEmpty());
}

}  // namespace
}  // namespace lockstep::layering
