#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "config/known_keys.h"
#include "config/parse.h"
#include "config/print.h"
#include "examples.h"

namespace lockstep::config {
namespace {

const std::filesystem::path configs = std::filesystem::path(LOCKSTEP_PROJECT_FOLDER) / "configs";

Experiment load(const std::string& name) {
  const std::string path = (configs / name).string();
  return parse(read_text(path), path, {});
}

std::vector<std::string> readme_lines() {
  std::istringstream text(read_text((configs / "README.md").string()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(configs_readme, lists_exactly_the_keys_that_the_parser_knows) {
  std::set<std::string> listed;
  for (const std::string& line : readme_lines()) {
    if (!line.starts_with("| `")) continue;
    EXPECT_TRUE(listed.insert(line).second) << "twice in configs/README.md: " << line;
  }
  std::set<std::string> known;
  for (const KeyDoc& key : known_keys())
    known.insert(fmt::format("| `{}` | {} | {} | {} | {} |", key.path, key.values, key.unit,
                             key.default_value, key.effect));
  for (const std::string& row : known)
    EXPECT_TRUE(listed.contains(row)) << "configs/README.md lacks the row\n" << row;
  for (const std::string& row : listed)
    EXPECT_TRUE(known.contains(row)) << "configs/README.md has the outdated row\n" << row;
}

TEST(configs_readme, examples_of_overrides_work) {
  const std::string command = "    lockstep train configs/mnist_cnn.yaml ";
  const std::string path = (configs / "mnist_cnn.yaml").string();
  int examples = 0;
  for (const std::string& line : readme_lines()) {
    if (!line.starts_with(command) || line.find('=') == std::string::npos) continue;
    // As a shell would split it.
    std::vector<std::string> overrides = {""};
    bool quoted = false;
    for (const char c : line.substr(command.size(), line.find("  #") - command.size())) {
      if (c == '\'')
        quoted = !quoted;
      else if (c == ' ' && !quoted)
        overrides.emplace_back();
      else
        overrides.back() += c;
    }
    std::erase(overrides, "");
    EXPECT_NO_THROW(parse(read_text(path), path, overrides)) << line;
    ++examples;
  }
  EXPECT_EQ(examples, 9);
}

TEST(shipped_configs, all_are_named_like_their_files_and_round_trip) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(configs)) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const Experiment experiment = load(entry.path().filename().string());
    EXPECT_EQ(experiment.name, entry.path().stem().string());
    const std::string printed = print(experiment);
    EXPECT_EQ(print(parse_text(printed)), printed);
  }
  EXPECT_EQ(files, 7);
}

TEST(shipped_configs, cnn_is_the_published_one) {
  for (const char* name : {"mnist_cnn.yaml", "mnist_cnn_unshuffled.yaml"}) {
    const Experiment e = load(name);
    ASSERT_EQ(e.model.size(), 10U);
    const auto& conv1 = std::get<Conv2d>(e.model[0].spec);
    const auto& conv2 = std::get<Conv2d>(e.model[3].spec);
    const auto& fc1 = std::get<Dense>(e.model[7].spec);
    const auto& fc2 = std::get<Dense>(e.model[9].spec);
    EXPECT_EQ(conv1.filters, 24);
    EXPECT_EQ(conv2.filters, 48);
    for (const Conv2d* conv : {&conv1, &conv2}) {
      EXPECT_EQ(conv->kernel, (Extent2{5, 5}));
      EXPECT_EQ(conv->padding.kind, Padding::Kind::valid);
      EXPECT_EQ(std::get<UniformInit>(conv->init).limit, 0.1);
    }
    EXPECT_EQ(fc1.units, 512);
    EXPECT_EQ(fc2.units, 10);
    for (const Dense* dense : {&fc1, &fc2}) EXPECT_EQ(std::get<UniformInit>(dense->init).limit, 0.01);
    const auto& sgd = std::get<Sgd>(e.optimizer);
    EXPECT_EQ(sgd.learning_rate, 0.05);
    EXPECT_EQ(sgd.momentum, 0.9);
    EXPECT_TRUE(sgd.nesterov);
    EXPECT_EQ(e.training.epochs, 30);
    EXPECT_EQ(e.training.batch, 128);
    EXPECT_EQ(e.data.scale, 1.0 / 255);
  }
  EXPECT_EQ(load("mnist_cnn.yaml").data.shuffle, Shuffle::stripes);
  EXPECT_EQ(load("mnist_cnn_unshuffled.yaml").data.shuffle, Shuffle::none);
}

TEST(shipped_configs, softmax_is_the_published_one) {
  for (const char* name : {"mnist_softmax.yaml", "mnist_softmax_unshuffled.yaml"}) {
    const Experiment e = load(name);
    ASSERT_EQ(e.model.size(), 2U);
    const auto& dense = std::get<Dense>(e.model[1].spec);
    EXPECT_EQ(dense.units, 10);
    EXPECT_EQ(std::get<UniformInit>(dense.init).limit, 0.01);
    EXPECT_TRUE(std::holds_alternative<ZerosInit>(dense.bias_init));
    const auto& sgd = std::get<Sgd>(e.optimizer);
    EXPECT_EQ(sgd.learning_rate, 0.5);
    EXPECT_EQ(sgd.momentum, 0.0);
    EXPECT_EQ(e.training.epochs, 20);
    EXPECT_EQ(e.training.batch, 128);
    EXPECT_EQ(e.data.scale, 1.0 / 255);
  }
  EXPECT_EQ(load("mnist_softmax.yaml").data.shuffle, Shuffle::stripes);
  EXPECT_EQ(load("mnist_softmax_unshuffled.yaml").data.shuffle, Shuffle::none);
}

}  // namespace
}  // namespace lockstep::config
