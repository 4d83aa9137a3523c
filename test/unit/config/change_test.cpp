#include "config/change.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "keys.hpp"

using namespace bftmeta;
using namespace bftmeta::config;
using testing::key_of;

namespace {

Replica member(std::uint32_t id, std::uint8_t key) {
  return {id, key_of(key), key_of(static_cast<std::uint8_t>(100 + key)), "h",
          static_cast<std::uint16_t>(7000 + 4 * key)};
}

// Members with these keys, at positions in that order.
Config config_of(std::uint64_t epoch, const std::vector<std::uint8_t>& keys) {
  Config c;
  c.epoch = epoch;
  for (const std::uint8_t k : keys)
    c.replicas.push_back(member(static_cast<std::uint32_t>(c.replicas.size()), k));
  c.admins.push_back({"root", key_of(90)});
  return c;
}

std::string refusal(const Config& from, const Config& to) {
  const Status s = check_step(from, to);
  if (s) return "";
  CHECK(s.error().code == Errc::config);
  return s.error().message;
}

}  // namespace

TEST_CASE("a step replaces at most f members, or adds or removes three") {
  const Config four = config_of(0, {1, 2, 3, 4});
  const Config seven = config_of(0, {1, 2, 3, 4, 5, 6, 7});
  CHECK(refusal(four, config_of(1, {1, 2, 3, 5})).empty());
  CHECK(refusal(four, config_of(1, {5, 2, 3, 4})).empty());
  CHECK(refusal(four, config_of(1, {4, 3, 2, 1})).empty());
  CHECK(refusal(four, config_of(1, {1, 2, 3, 4, 5, 6, 7})).empty());
  CHECK(refusal(seven, config_of(1, {1, 2, 3, 4, 5, 8, 9})).empty());
  CHECK(refusal(seven, config_of(1, {7, 2, 5, 3})).empty());

  CHECK_FALSE(refusal(four, config_of(1, {1, 2, 5, 6})).empty());
  CHECK_FALSE(refusal(four, config_of(1, {5, 2, 3, 4, 6, 7, 8})).empty());
  CHECK_FALSE(refusal(seven, config_of(1, {1, 2, 3, 8})).empty());
  CHECK_FALSE(refusal(four, config_of(1, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10})).empty());
  CHECK_FALSE(refusal(seven, config_of(1, {1, 2, 3, 4, 8, 9, 10})).empty());
}

TEST_CASE("a refused step says why, with the quorums before and after") {
  const Config four = config_of(0, {1, 2, 3, 4});
  const std::string five = refusal(four, config_of(1, {1, 2, 3, 4, 5}));
  CHECK(five.find("4 replicas (quorum 3) to 5 replicas") != std::string::npos);
  CHECK(five.find("since n = 3f + 1; name three at once") != std::string::npos);
  CHECK(refusal(four, config_of(1, {1, 2, 5, 6})).find("at most f = 1") != std::string::npos);
  CHECK(refusal(four, config_of(2, {1, 2, 3, 4})).find("the next epoch is 1") != std::string::npos);
}

TEST_CASE("the chain of epochs has an end: no step leads beyond it, and it says so") {
  const std::vector<std::uint8_t> members = {1, 2, 3, 4};
  const Config last = config_of(limits::kMaxEpochs, members);
  CHECK(refusal(config_of(limits::kMaxEpochs - 1, members), last).empty());
  CHECK(refusal(last, config_of(limits::kMaxEpochs + 1, members)).find("at most 4096 changes") !=
        std::string::npos);
}

TEST_CASE("addresses, link keys and admins change in any step, versions in none") {
  const Config four = config_of(3, {1, 2, 3, 4});
  const std::pair<bool, std::function<void(Config&)>> changes[] = {
      {true, [](Config&) {}},
      {true, [](Config& c) { c.replicas[2].port = 9000; }},
      {true, [](Config& c) { c.replicas[2].host = "elsewhere"; }},
      {true, [](Config& c) { c.replicas[2].link_key = key_of(77); }},
      {true,
       [](Config& c) {
         c.admins.push_back({"second", key_of(91)});
       }},
      {false, [](Config& c) { c.admins.clear(); }},
      {false, [](Config& c) { c.protocol_version = 2; }},
      {false, [](Config& c) { c.sm_version = 2; }},
      {false, [](Config& c) { c.replicas[2].link_key = c.replicas[1].link_key; }},
      {false, [](Config& c) { c.epoch = 3; }},
  };
  for (std::size_t i = 0; i < std::size(changes); ++i) {
    CAPTURE(i);
    Config next = config_of(4, {1, 2, 3, 4});
    changes[i].second(next);
    CHECK(check_step(four, next).has_value() == changes[i].first);
  }
}

TEST_CASE("a member is its vote key, wherever it stands") {
  const Config four = config_of(0, {1, 2, 3, 4});
  const Difference d = difference(four, config_of(1, {4, 9, 2, 3}));
  CHECK(d.joining == std::vector<std::uint32_t>{1});
  CHECK(d.leaving == std::vector<std::uint32_t>{0});
  CHECK(position_of(four, key_of(3)) == 2);
  CHECK_FALSE(position_of(four, key_of(9)));
}
