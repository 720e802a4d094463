#include "model/resolve.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Resolve : public testing::Test {
 protected:
  void write(const fs::path& path, const std::string& text = "{}") {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string error(const std::string& model, const std::string& revision = "") {
    try {
      (void)resolve_model(model, revision, environment_);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  TestFolder folder_;
  HubEnvironment environment_{
      .hf_hub_cache = folder_.path() / "cache", .hf_home = {}, .xdg_cache_home = {}, .home = {}};
  fs::path repository_ = folder_.path() / "cache" / "models--MiniMaxAI--MiniMax-M2";
};

TEST_F(Resolve, AFolderIsItself) {
  write(folder_.path() / "m" / "config.json");
  const std::string dir = folder_.path() / "m";
  EXPECT_EQ(resolve_model(dir, "", environment_), fs::path(dir));
  EXPECT_THAT(error(folder_.path()), HasSubstr("expected a folder with config.json"));
  EXPECT_THAT(error(dir + "/config.json"), HasSubstr("found a file"));
  EXPECT_THAT(error(dir + "/absent"), HasSubstr("no such folder"));
  EXPECT_THAT(error(""), HasSubstr("empty"));
}

TEST_F(Resolve, AHubNameIsItsSnapshot) {
  write(repository_ / "refs" / "main", "0123abc\n");
  write(repository_ / "refs" / "pr" / "7", "4567def");
  write(repository_ / "snapshots" / "0123abc" / "config.json");
  write(repository_ / "snapshots" / "4567def" / "config.json");
  const auto resolved = [&](const std::string& revision) {
    return resolve_model("MiniMaxAI/MiniMax-M2", revision, environment_).filename();
  };
  EXPECT_EQ(resolved(""), "0123abc");
  EXPECT_EQ(resolved("main"), "0123abc");
  EXPECT_EQ(resolved("pr/7"), "4567def");
  EXPECT_EQ(resolved("4567def"), "4567def");
  EXPECT_THAT(error("MiniMaxAI/MiniMax-M2", "v9"),
              HasSubstr("hf download MiniMaxAI/MiniMax-M2 --revision v9"));
}

TEST_F(Resolve, WhatIsNotThereComesWithTheCommandThatDownloadsIt) {
  EXPECT_THAT(error("MiniMaxAI/MiniMax-M2"),
              AllOf(HasSubstr("hf download MiniMaxAI/MiniMax-M2\n"),
                    HasSubstr("huggingface-cli download MiniMaxAI/MiniMax-M2"), HasSubstr("/cache")));
  write(repository_ / "refs" / "main", "0123abc");
  EXPECT_THAT(error("MiniMaxAI/MiniMax-M2"), HasSubstr("hf download")) << "an unfinished download";
  write(repository_ / "refs" / "main", "../../../etc");
  EXPECT_THAT(error("MiniMaxAI/MiniMax-M2"), HasSubstr("expected a commit"));
  environment_ = {};
  EXPECT_THAT(error("MiniMaxAI/MiniMax-M2"), HasSubstr("HF_HUB_CACHE"));
}

TEST_F(Resolve, NamesAndRevisionsCannotLeaveTheCache) {
  for (const char* name : {"../x", "a/..", "a/b/c", "/a/b", "a/", "/b", "a b/c", "MiniMax-M2", "a/.b"})
    EXPECT_THAT(error(name), HasSubstr("no hub name")) << name;
  for (const char* revision : {"../main", "a/../b", "/main", "."})
    EXPECT_THAT(error("a/b", revision), HasSubstr("no branch, tag or commit")) << revision;
}

TEST(HubCacheDir, FollowsTheHubsOwnOrder) {
  HubEnvironment environment{.hf_hub_cache = "/c", .hf_home = "/h", .xdg_cache_home = "/x", .home = "/u"};
  EXPECT_EQ(hub_cache_dir(environment), "/c");
  environment.hf_hub_cache = "";
  EXPECT_EQ(hub_cache_dir(environment), "/h/hub");
  environment.hf_home = "";
  EXPECT_EQ(hub_cache_dir(environment), "/x/huggingface/hub");
  environment.xdg_cache_home = "";
  EXPECT_EQ(hub_cache_dir(environment), "/u/.cache/huggingface/hub");
  environment.home = "";
  EXPECT_EQ(hub_cache_dir(environment), "");
}

}  // namespace
}  // namespace minimax::model
