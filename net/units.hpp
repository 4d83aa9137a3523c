// Units in which the limits of this room are written, and those limits that both ends of a link
// share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bftmeta::net {

constexpr std::size_t kMiB = 1024 * 1024;
constexpr std::int64_t kSecond = 1'000'000;  // in the microseconds of steady_us()

// An unfinished message is cut off at this many frames' worth of bytes.
constexpr std::uint64_t kUndeliveredFrames = 16;

}  // namespace bftmeta::net
