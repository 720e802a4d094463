#include "server/access.h"

#include <gtest/gtest.h>

namespace minimax::server {
namespace {

Request request(std::string method, HeaderList headers) {
  return {std::move(method), "/v1/models", std::move(headers), {}};
}

std::string value_of(const HeaderList& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "(absent)";
}

TEST(AccessTest, WithoutKeysEveryoneMayAsk) {
  EXPECT_FALSE(Access({}).refusal(request("GET", {}), "/v1/models"));
}

TEST(AccessTest, WithKeysOneOfThemIsAskedFor) {
  AccessOptions options;
  options.api_keys = {"first", "second"};
  const Access access(options);
  EXPECT_FALSE(access.refusal(request("GET", {{"authorization", "Bearer first"}}), "/v1/models"));
  EXPECT_FALSE(access.refusal(request("GET", {{"authorization", "bearer second"}}), "/v1/models"));
  EXPECT_FALSE(access.refusal(request("GET", {{"x-api-key", "second"}}), "/v1/models"));
  for (const char* wrong :
       {"Bearer third", "Bearer firs", "Bearer first ", "Bearer ", "Basic first", "first", ""}) {
    EXPECT_TRUE(access.refusal(request("GET", {{"authorization", wrong}}), "/v1/models")) << wrong;
  }
  EXPECT_TRUE(access.refusal(request("GET", {{"x-api-key", ""}}), "/v1/models"));
  const std::optional<api::Reply> refusal = access.refusal(request("GET", {}), "/v1/models");
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
  EXPECT_NE(refusal->body.find("Authorization: Bearer KEY"), std::string::npos);
}

TEST(AccessTest, ProbesAndScrapersNeedNoKey) {
  AccessOptions options;
  options.api_keys = {"key"};
  const Access access(options);
  for (const char* path : {"/health", "/ping", "/version", "/load", "/metrics"}) {
    EXPECT_FALSE(access.refusal(request("GET", {}), path)) << path;
  }
  for (const char* path : {"/tokenize", "/v1/models", "/healthy", "/health/x", "/"}) {
    EXPECT_TRUE(access.refusal(request("GET", {}), path)) << path;
  }
}

TEST(AccessTest, AnyOriginIsAnsweredWithAStar) {
  const Access access({});
  EXPECT_TRUE(access.cors_headers(request("GET", {})).empty());
  EXPECT_EQ(
      value_of(access.cors_headers(request("GET", {{"origin", "http://a"}})), "access-control-allow-origin"),
      "*");
}

TEST(AccessTest, NamedOriginsAreAnsweredByName) {
  AccessOptions options;
  options.allowed_origins = {"http://a"};
  const Access access(options);
  const HeaderList headers = access.cors_headers(request("GET", {{"origin", "http://a"}}));
  EXPECT_EQ(value_of(headers, "access-control-allow-origin"), "http://a");
  EXPECT_EQ(value_of(headers, "vary"), "Origin");
  EXPECT_TRUE(access.cors_headers(request("GET", {{"origin", "http://b"}})).empty());
}

TEST(AccessTest, CredentialsNeverGoWithAStar) {
  AccessOptions options;
  options.allow_credentials = true;
  const HeaderList headers = Access(options).cors_headers(request("GET", {{"origin", "http://a"}}));
  EXPECT_EQ(value_of(headers, "access-control-allow-origin"), "http://a");
  EXPECT_EQ(value_of(headers, "access-control-allow-credentials"), "true");
}

TEST(AccessTest, APreflightIsAnswered) {
  const Access access({});
  const std::optional<api::Reply> reply = access.preflight(
      request("OPTIONS", {{"origin", "http://a"},
                          {"access-control-request-method", "POST"},
                          {"access-control-request-headers", "authorization, content-type"}}));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(value_of(reply->headers, "access-control-allow-headers"), "authorization, content-type");
  EXPECT_NE(value_of(reply->headers, "access-control-allow-methods").find("POST"), std::string::npos);
  EXPECT_FALSE(access.preflight(request("OPTIONS", {})));
  EXPECT_FALSE(access.preflight(request("GET", {{"origin", "a"}, {"access-control-request-method", "GET"}})));
}

TEST(AccessTest, APreflightOfAStrangerIsRefused) {
  AccessOptions options;
  options.allowed_origins = {"http://a"};
  options.allowed_methods = {"GET"};
  options.allowed_headers = {"content-type"};
  const Access access(options);
  EXPECT_EQ(
      access
          .preflight(request("OPTIONS", {{"origin", "http://b"}, {"access-control-request-method", "GET"}}))
          ->status,
      400);
  EXPECT_EQ(
      access
          .preflight(request("OPTIONS", {{"origin", "http://a"}, {"access-control-request-method", "POST"}}))
          ->status,
      400);
  EXPECT_EQ(value_of(access
                         .preflight(request("OPTIONS", {{"origin", "http://a"},
                                                        {"access-control-request-method", "GET"},
                                                        {"access-control-request-headers", "x-evil"}}))
                         ->headers,
                     "access-control-allow-headers"),
            "content-type");
}

}  // namespace
}  // namespace minimax::server
