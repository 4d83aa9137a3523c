// The words that stand for values in TOML files, in the order of their enumerators. Private to this
// room: reader and writer share them.
#pragma once

#include <array>
#include <string_view>

namespace bftmeta::config {

constexpr std::array<std::string_view, 5> kLogLevels = {"trace", "debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> kReadModes = {"verified", "linearizable"};
constexpr std::array<std::string_view, 3> kCardKinds = {"replica", "admin", "client"};  // as Card

}  // namespace bftmeta::config
