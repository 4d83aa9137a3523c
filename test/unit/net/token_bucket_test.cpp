#include "net/token_bucket.hpp"

#include <doctest/doctest.h>

using bftmeta::net::TokenBucket;

TEST_CASE("a bucket gives its burst, then its rate") {
  TokenBucket bucket(1000, 50, 0);
  int taken = 0;
  while (bucket.take(1, 0)) ++taken;
  CHECK(taken == 50);
  for (std::int64_t us = 0; us < 1'000'000; us += 100)
    if (bucket.take(1, us)) ++taken;
  CHECK(taken >= 50 + 998);
  CHECK(taken <= 50 + 1000);
}

TEST_CASE("a refused take costs nothing, and a clock that goes back gives nothing") {
  TokenBucket bucket(10, 10, 1'000'000);
  CHECK_FALSE(bucket.take(11, 1'000'000));
  CHECK(bucket.take(10, 1'000'000));
  CHECK_FALSE(bucket.take(1, 500'000));
  CHECK_FALSE(bucket.take(11, 3'600'000'000'000));
  CHECK(bucket.take(10, 3'600'000'000'000));
}
