#include <doctest/doctest.h>

#include "base/bytes.hpp"

using namespace bftmeta;

TEST_CASE("hex round trip and refusal") {
  CHECK(to_hex(Bytes{0x00, 0xab, 0xff}) == "00abff");
  CHECK(from_hex("00ABff") == Bytes{0x00, 0xab, 0xff});
  CHECK_FALSE(from_hex("0").has_value());
  CHECK_FALSE(from_hex("zz").has_value());
}

TEST_CASE("keys order as unsigned byte strings, a prefix before its extensions") {
  const Key a = Key().append_u8(0x10);
  const Key b = Key().append_u8(0x10).append_be64(1);
  const Key c = Key().append_u8(0x10).append_be64(256);
  CHECK(a < b);
  CHECK(b < c);
  CHECK(b.starts_with(a));
  CHECK_FALSE(a.starts_with(b));
  CHECK(a.bit(3));
  CHECK_FALSE(a.bit(4));
  CHECK_FALSE(a.bit(20));
}

TEST_CASE("prefix_end is the first key behind all keys of a prefix") {
  const Key p = Key().append_u8(0x10).append_u8(0xff);
  REQUIRE(p.prefix_end().has_value());
  CHECK(*p.prefix_end() == Key().append_u8(0x11));
  CHECK_FALSE(Key().append_u8(0xff).prefix_end().has_value());
}
