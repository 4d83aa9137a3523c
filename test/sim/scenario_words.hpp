// The words of scenario files: numbers, durations, sets of replicas, links, conditions. Every
// function fails on what it does not understand. Thread-safety: pure functions.
#pragma once

#include <charconv>

#include "sim/scenario.hpp"

namespace bftmeta::sim::scenario {

using Words = std::vector<std::string>;
using Ids = std::vector<Endpoint>;

struct Links {
  Ids from;
  Ids to;
};

Words split(std::string_view line);
// "key=value" of the words behind the first `fixed`; each key must be in `known`, once.
Result<std::map<std::string, std::string>> options(const Words& words, std::size_t fixed,
                                                   const std::vector<std::string>& known);

Result<std::uint64_t> number(const std::string& word);
// 5us, 20ms, 3s, 10m, 1h
Result<std::uint64_t> duration_us(const std::string& word);
// all, 2, 0,1, 0-2, last, low and high (the first and the last f), and !... for all others.
Result<Ids> replicas(const std::string& word, std::uint32_t n);
// The same, or c0, c1, ..., clients.
Result<Ids> endpoints(const std::string& word, std::uint32_t n, std::uint32_t clients);
// A->B
Result<Links> links(const std::string& word, std::uint32_t n, std::uint32_t clients);
// PRE-PREPARE or PREPREPARE: the name as messages have it. "" for "*".
Result<std::string> message_type(const std::string& word);
// What stands behind "expect" and "until".
Result<Condition> condition(const Words& words, std::uint32_t n, std::uint32_t clients);

}  // namespace bftmeta::sim::scenario
