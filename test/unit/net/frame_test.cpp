#include "net/frame.hpp"

#include <doctest/doctest.h>

using namespace bftmeta;
using namespace bftmeta::net;

namespace {
Bytes frame_of(const std::vector<std::string>& messages) {
  Bytes frame;
  for (const auto& message : messages) append_message(frame, view(message));
  return frame;
}
}  // namespace

TEST_CASE("messages come out of a frame as they went in") {
  const Bytes frame = frame_of({"one", "twenty-two", "3"});
  CHECK(frame.size() == 3 * kMessageHeader + 3 + 10 + 1);
  std::vector<ByteView> out;
  REQUIRE(split_frame(frame, out));
  REQUIRE(out.size() == 3);
  CHECK(text(out[0]) == "one");
  CHECK(text(out[1]) == "twenty-two");
  CHECK(text(out[2]) == "3");
}

TEST_CASE("a frame that is not exactly messages gives none of them") {
  std::vector<ByteView> out;
  CHECK_FALSE(split_frame({}, out));
  const Bytes good = frame_of({"one", "two"});
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    const ByteView half = ByteView(good).first(cut);
    CHECK(split_frame(half, out) == (cut == kMessageHeader + 3));
    CHECK(out.size() == (cut == kMessageHeader + 3 ? 1 : 0));
  }
  Bytes trailing = good;
  trailing.push_back(0);
  CHECK_FALSE(split_frame(trailing, out));
  CHECK(out.empty());
  CHECK_FALSE(split_frame(Bytes{0, 0, 0, 0}, out));                 // an empty message
  CHECK_FALSE(split_frame(Bytes{0xff, 0xff, 0xff, 0xff, 1}, out));  // a length beyond the end
}

TEST_CASE("a frame holds at most kMaxMessagesPerFrame messages") {
  Bytes frame;
  for (std::size_t i = 0; i < kMaxMessagesPerFrame; ++i) append_message(frame, view("x"));
  std::vector<ByteView> out;
  CHECK(split_frame(frame, out));
  append_message(frame, view("x"));
  CHECK_FALSE(split_frame(frame, out));
}
