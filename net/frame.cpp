#include "net/frame.hpp"

#include "base/codec.hpp"

namespace bftmeta::net {

void append_message(Bytes& frame, ByteView message) {
  codec::Encoder(frame).put(static_cast<std::uint32_t>(message.size()));
  frame.insert(frame.end(), message.begin(), message.end());
}

bool split_frame(ByteView frame, std::vector<ByteView>& out) {
  out.clear();
  while (!frame.empty()) {
    codec::Decoder header(frame);
    std::uint32_t size = 0;
    header.get("length", size);
    const ByteView rest = header.rest();
    if (!header.ok() || size == 0 || size > rest.size() || out.size() == kMaxMessagesPerFrame) {
      out.clear();
      return false;
    }
    out.push_back(rest.first(size));
    frame = rest.subspan(size);
  }
  return !out.empty();
}

}  // namespace bftmeta::net
