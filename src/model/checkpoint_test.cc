#include "model/checkpoint.h"

#include <cstring>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/safetensors.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string file_bytes(const std::string& header, const std::string& data) {
  std::string out;
  for (size_t i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return out + header + data;
}

// Parses bytes that end exactly where an allocation ends, so that a sanitizer sees any read beyond.
std::vector<HeaderEntry> parse(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return parse_safetensors_header(std::as_bytes(std::span(exact)), "x.safetensors");
}

std::string error_of(const std::string& header, const std::string& data) {
  try {
    (void)parse(file_bytes(header, data));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

constexpr const char* kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
    R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";

TEST(Safetensors, ReadsEntriesInOrderOfPlace) {
  const auto entries = parse(file_bytes(kTwo, "0123456789ab"));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].dtype, DType::kF32);
  EXPECT_EQ(entries[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(entries[1].name, "b");
  EXPECT_EQ(entries[1].begin, 8 + std::strlen(kTwo) + 8);
  EXPECT_EQ(entries[1].bytes, 4u);
}

TEST(Safetensors, ScalarsAndEmptyTensorsAreTensors) {
  const auto entries = parse(file_bytes(
      R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F16","shape":[0,9],"data_offsets":[4,4]}})",
      "1234"));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(parse(file_bytes("{}", "")).size(), 0u);
}

TEST(Safetensors, HeaderWrittenIsHeaderRead) {
  std::vector<HeaderEntry> entries = {{"x", DType::kE4m3, {3}, 0, 3}, {"quote\"\n", DType::kF32, {1}, 0, 4}};
  const std::string header = safetensors_header(entries);
  EXPECT_EQ(header.size() % 8, 0u);
  const auto read = parse(header + "1234567");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].name, "quote\"\n");
  EXPECT_EQ(read[1].begin, header.size() + 3);
}

TEST(Safetensors, EveryFaultNamesFileAndTensor) {
  const auto tensor = [](const std::string& inner) { return "{\"t\":{" + inner + "}}"; };
  const std::string data = "12345678";
  const auto expect = [&](const std::string& header, const std::string& what) {
    EXPECT_THAT(error_of(header, data), AllOf(HasSubstr("x.safetensors"), HasSubstr(what))) << header;
  };
  expect(tensor(R"("dtype":"I64","shape":[1],"data_offsets":[0,8])"), "tensor \"t\": dtype: expected F32");
  expect(tensor(R"("dtype":1,"shape":[1],"data_offsets":[0,8])"), "dtype");
  expect(tensor(R"("shape":[1],"data_offsets":[0,8])"), "field \"dtype\" is missing");
  expect(tensor(R"("dtype":"F32","data_offsets":[0,8])"), "field \"shape\" is missing");
  expect(tensor(R"("dtype":"F32","shape":[2])"), "field \"data_offsets\" is missing");
  expect(tensor(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])"), "comes twice");
  expect(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)"), "unknown field \"x\"");
  expect(tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "shape");
  expect(tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "shape");
  expect(tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "shape");
  expect(tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"), "at most 8 dimensions");
  expect(tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"), "64 bits");
  expect(tensor(R"("dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,8])"), "takes 0 bytes");
  expect(tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
         "takes 12 bytes, but data_offsets give 8");
  expect(tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,12])"), "inside the file (0 to 8)");
  expect(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "data_offsets");
  expect(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"), "data_offsets");
  expect(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "data_offsets");
  expect(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])"), "data_offsets");
  expect(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "a hole");
  expect(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "ends at byte");
  expect(R"({"t":[1]})", "expected an object");
  expect(
      R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})",
      "tensor \"t\" comes twice");
  expect(
      R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"u":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}})",
      "overlap");
  expect(R"({"__metadata__":{"a":1}})", "__metadata__");
  expect(R"(["t"])", "no JSON object");
  expect(R"({"t")", "no JSON object");
  expect("", "no JSON object");
}

TEST(Safetensors, LengthsBeyondTheFileAreRefused) {
  for (const std::string& bytes :
       {std::string(), std::string("1234567"), std::string(8, '\xFF'), std::string("\x01\0\0\0\0\0\0\0", 8)})
    EXPECT_THROW((void)parse(bytes), Error) << bytes.size();
  // Any truncation of a good file is refused.
  const std::string good = file_bytes(kTwo, "0123456789ab");
  for (size_t n = 0; n < good.size(); ++n) EXPECT_THROW((void)parse(good.substr(0, n)), Error) << n;
}

// Whatever the bytes: an Error, or entries that lie inside the file and cover it.
TEST(Safetensors, MutatedHeadersAreRefusedOrHoldTogether) {
  std::mt19937 random(20261124);
  const std::string good = file_bytes(kTwo, "0123456789ab");
  const std::string alphabet = R"({}[]",:0123456789-.eEFB_8 \u)";
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (size_t edits = 1 + pick(3); edits > 0; --edits) {
      const size_t at = pick(bytes.size());
      switch (pick(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = alphabet[pick(alphabet.size())];
          break;
        case 2:
          bytes.erase(at, 1 + pick(8));
          break;
        case 3:
          bytes.insert(at, 1 + pick(4), alphabet[pick(alphabet.size())]);
          break;
        case 4:
          bytes.insert(at, bytes.substr(pick(bytes.size()), pick(40)));
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
    try {
      uint64_t covered = 0;
      for (const HeaderEntry& entry : parse(bytes)) {
        ASSERT_LE(entry.begin, bytes.size());
        ASSERT_LE(entry.bytes, bytes.size() - entry.begin);
        covered += entry.bytes;
      }
      ASSERT_LE(covered, bytes.size());
      ++accepted;
    } catch (const Error&) {
    }
  }
  // Changes of names, of metadata and of the data itself leave a good file.
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 19'000);
}

class Folder : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name, std::ios::binary) << text;
  }
  std::string error() {
    try {
      (void)Checkpoint::open(folder_.path());
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  void write_shard(const std::string& name, const std::string& tensor) {
    write(name,
          file_bytes("{\"" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"));
  }
  void write_index(const std::string& map) {
    write("model.safetensors.index.json", "{\"metadata\":{\"total_size\":8},\"weight_map\":" + map + "}");
  }
  TestFolder folder_;
};

TEST_F(Folder, ReadsShardsByIndex) {
  write_shard("1.safetensors", "a");
  write_shard("2.safetensors", "b");
  write_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  Checkpoint checkpoint = Checkpoint::open(folder_.path());
  const Checkpoint moved = std::move(checkpoint);  // views must survive a move
  ASSERT_NE(moved.find("b"), nullptr);
  EXPECT_EQ(std::memcmp(moved.find("b")->data, "1234", 4), 0);
  EXPECT_EQ(moved.find("b")->file_idx, 1);
  EXPECT_EQ(moved.find("c"), nullptr);
  EXPECT_EQ(moved.total_bytes(), 8u);
}

TEST_F(Folder, IndexAndShardsMustAgree) {
  write_shard("1.safetensors", "a");
  write_shard("2.safetensors", "b");
  write_index(R"({"a":"1.safetensors"})");
  EXPECT_EQ(error(), "") << "a file that the index does not name is not looked at";
  write_index(R"({"a":"1.safetensors","b":"3.safetensors"})");
  EXPECT_THAT(error(),
              HasSubstr("1 of 2 shards named by model.safetensors.index.json are missing: 3.safetens"));
  write_index(R"({"a":"1.safetensors","c":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor \"b\" of 2.safetensors is not in the index"));
  write_index(R"({"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor \"c\" should be in 2.safetensors, but it is not there"));
  write_index(R"({"a":"2.safetensors","b":"1.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("should be in 2.safetensors, but it is in 1.safetensors"));
  write_index(R"({"a":"1.safetensors","b":"2.safetensors","a":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor \"a\" comes twice"));
  write_shard("2.safetensors", "a");
  write_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("2.safetensors: tensor \"a\" is in"));
}

TEST_F(Folder, TheIndexCannotPointOutOfTheFolder) {
  for (const char* file : {"../1.safetensors", "/etc/passwd", "", "1.bin", "sub/1.safetensors"}) {
    write_index(std::string("{\"a\":\"") + file + "\"}");
    EXPECT_THAT(error(), HasSubstr("expected the name of a .safetensors file")) << file;
  }
  write_index(R"({"a":1})");
  EXPECT_THAT(error(), HasSubstr("expected a file name"));
  write_index(R"(["a"])");
  EXPECT_THAT(error(), HasSubstr("weight_map"));
  write_index("{}");
  EXPECT_THAT(error(), HasSubstr("\"weight_map\" is empty"));
  write("model.safetensors.index.json", "{}");
  EXPECT_THAT(error(), HasSubstr("weight_map"));
  write("model.safetensors.index.json", "");
  EXPECT_THAT(error(), HasSubstr("index.json"));
}

TEST_F(Folder, MissingOrAmbiguousFilesAreNamed) {
  EXPECT_THAT(error(),
              HasSubstr("expected model.safetensors or model.safetensors.index.json, found neither"));
  write("model.safetensors", "");
  EXPECT_THAT(error(), HasSubstr("model.safetensors: expected a safetensors file, found one of 0 bytes"));
  write_shard("model.safetensors", "a");
  EXPECT_EQ(error(), "");
  write_index(R"({"a":"model.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("holds both"));
  fs::remove(folder_.path() / "model.safetensors.index.json");
  fs::remove(folder_.path() / "model.safetensors");
  fs::create_directory(folder_.path() / "model.safetensors");
  EXPECT_THAT(error(), HasSubstr("model.safetensors: expected a regular file"));
}

}  // namespace
}  // namespace minimax::model
