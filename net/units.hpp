// Units in which the limits of this room are written, and those limits that both ends of a link
// share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bftmeta::net {

constexpr std::size_t kMiB = 1024 * 1024;
constexpr std::int64_t kSecond = 1'000'000;  // in the microseconds of steady_us()

}  // namespace bftmeta::net
