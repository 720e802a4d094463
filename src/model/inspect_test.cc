#include "model/inspect.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void write_config(const std::filesystem::path& dir, const ModelShape& shape) {
  ModelConfig config;
  config.model_type = "minimax_m2";
  config.shape = shape;
  std::ofstream(dir / "config.json") << to_string(to_config_json(config));
}

TEST(Inspect, TellsThePublishedModelFromItsConfigAlone) {
  const TestFolder folder;
  write_config(folder.path(), m2_shape());
  InspectOptions options;
  options.layout.tp = 4;
  options.device_bytes = uint64_t{80} << 30;
  EXPECT_THAT(
      inspect(folder.path(), options),
      AllOf(HasSubstr("228.69 B total, 10.42 B active"), HasSubstr("No weights in this folder"),
            HasSubstr("230.1"), HasSubstr("96103 tensors"), HasSubstr("weights       57.6"),
            HasSubstr("63488 bytes a token"), HasSubstr("a replica"),
            HasSubstr("rank 1 of 4: query heads 12-23, KV heads 2-3, experts 0-255, columns 384-767 of "
                      "each, ids 50016-100031; weights 57.6")));
}

TEST(Inspect, SaysWhenTheWeightsDoNotFit) {
  const TestFolder folder;
  write_config(folder.path(), m2_shape());
  InspectOptions options;
  options.device_bytes = uint64_t{80} << 30;
  EXPECT_THAT(inspect(folder.path(), options), HasSubstr("too little for the weights"));
  options.layout.tp = 9;
  EXPECT_THROW(inspect(folder.path(), options), Error);
}

TEST(Inspect, CountsTheBytesOfACheckpoint) {
  SynthOptions synth{.shape = small_test_shape()};
  synth.file_bytes_max = 500'000;
  const TestCheckpoint made(synth);
  InspectOptions options;
  options.json = true;
  const Json report = parse_json(inspect(made.dir(), options)).value();
  const Json& checkpoint = *report.find("checkpoint");
  EXPECT_EQ(checkpoint.find("bytes")->as_int64(), static_cast<int64_t>(made.checkpoint().total_bytes()));
  EXPECT_EQ(checkpoint.find("files")->as_int64(), static_cast<int64_t>(made.checkpoint().files().size()));
  for (const char* kind : {"bytes_by_role", "bytes_by_dtype"}) {
    int64_t sum = 0;
    for (const auto& [name, bytes] : checkpoint.find(kind)->as_object()) sum += bytes.as_int64();
    EXPECT_EQ(sum, checkpoint.find("bytes")->as_int64()) << kind;
  }
  EXPECT_EQ(report.find("memory")->find("rank_weight_bytes")->as_int64(),
            checkpoint.find("bytes")->as_int64());
  EXPECT_THAT(inspect(made.dir(), {}),
              AllOf(HasSubstr("file(s)"), HasSubstr("fp8 e4m3, blocks of 128 x 128")));
}

TEST(Inspect, ABrokenCheckpointIsAnError) {
  const TestFolder folder;
  write_config(folder.path(), small_test_shape());
  std::ofstream(folder.path() / "model.safetensors") << "no safetensors";
  EXPECT_THROW(inspect(folder.path(), {}), Error);
}

}  // namespace
}  // namespace minimax::model
