// Several messages in one frame: `u32 length || message` repeated, at least one, nothing between or
// behind them. A wake-up costs more than the bytes, so a sender puts what one turn of its loop
// produced for a peer into one frame. Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace bftmeta::net {

// More than a turn of any loop produces for one peer; bounds what one frame makes a receiver do.
constexpr std::size_t kMaxMessagesPerFrame = 4096;
constexpr std::size_t kMessageHeader = 4;
// What a frame counts for in a turn beside its bytes, so that tiny ones do not make it long.
constexpr std::size_t kFrameCost = 512;

void append_message(Bytes& frame, ByteView message);

// The messages, borrowed from `frame`; false, and `out` empty, unless every byte belongs to a
// non-empty message and there are 1..kMaxMessagesPerFrame of them.
bool split_frame(ByteView frame, std::vector<ByteView>& out);

}  // namespace bftmeta::net
