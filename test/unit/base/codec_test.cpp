#include <doctest/doctest.h>

#include "base/codec.hpp"

using namespace bftmeta;

namespace {

enum class Colour : std::uint8_t { red = 1, green = 2 };
bool valid_value(Colour c) { return c == Colour::red || c == Colour::green; }

struct Inner {
  std::uint16_t a = 0;
  std::optional<std::uint32_t> b;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("a", s.a);
    v.field("b", s.b);
  }
  friend bool operator==(const Inner&, const Inner&) = default;
};

struct Outer {
  std::uint64_t x = 0;
  std::int64_t y = 0;
  bool flag = false;
  Colour colour = Colour::red;
  std::array<std::uint8_t, 4> raw{};
  Bytes bytes;
  std::string name;
  std::vector<Inner> inner;
  std::variant<std::uint8_t, Inner> either;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("x", s.x);
    v.field("y", s.y);
    v.field("flag", s.flag);
    v.field("colour", s.colour);
    v.field("raw", s.raw);
    v.field("bytes", s.bytes, Cap{8});
    v.field("name", s.name, Cap{8});
    v.field("inner", s.inner, Cap{3});
    v.field("either", s.either);
  }
  friend bool operator==(const Outer&, const Outer&) = default;
};

Outer sample() {
  Outer o;
  o.x = 0x0102030405060708;
  o.y = -2;
  o.flag = true;
  o.colour = Colour::green;
  o.raw = {1, 2, 3, 4};
  o.bytes = {9, 8};
  o.name = "ab";
  o.inner = {{7, 5}, {8, std::nullopt}};
  o.either = Inner{1, 2};
  return o;
}

constexpr std::size_t kFlagAt = 16;
constexpr std::size_t kColourAt = 17;
constexpr std::size_t kBytesCountAt = 22;

}  // namespace

TEST_CASE("encoding is little-endian, sized exactly, and decodes to the same value") {
  const Bytes b = encode(sample());
  CHECK(b[0] == 0x08);
  CHECK(b[7] == 0x01);
  CHECK(b[8] == 0xfe);
  CHECK(b.size() == encoded_size(sample()));
  const auto back = decode<Outer>(b, "outer");
  REQUIRE(back.has_value());
  CHECK(*back == sample());
  CHECK(encode(*back) == b);
}

TEST_CASE("every truncation and every trailing byte is refused") {
  Bytes b = encode(sample());
  for (std::size_t n = 0; n < b.size(); ++n)
    CHECK_FALSE(decode<Outer>(ByteView(b).first(n), "outer").has_value());
  b.push_back(0);
  const auto r = decode<Outer>(b, "outer");
  REQUIRE_FALSE(r.has_value());
  CHECK(r.error().code == Errc::malformed);
  CHECK(r.error().message == "outer: field 'end': trailing bytes");
}

TEST_CASE("non-canonical booleans, enums, optionals and variants are refused") {
  const auto with = [](std::size_t at, std::uint8_t v) {
    Bytes b = encode(sample());
    b[at] = v;
    return decode<Outer>(b, "outer").has_value();
  };
  CHECK_FALSE(with(kFlagAt, 2));
  CHECK_FALSE(with(kColourAt, 3));
  const Bytes b = encode(sample());
  CHECK_FALSE(with(b.size() - 8, 2));  // variant index
  CHECK_FALSE(with(b.size() - 5, 2));  // optional byte
}

TEST_CASE("counts above the cap or the bytes left are refused before allocation") {
  Bytes b = encode(sample());
  b[kBytesCountAt] = 9;
  CHECK_FALSE(decode<Outer>(b, "outer").has_value());
  b[kBytesCountAt + 3] = 0xff;
  CHECK_FALSE(decode<Outer>(b, "outer").has_value());
}

TEST_CASE("whatever decodes encodes to the same bytes (mutations)") {
  const Bytes good = encode(sample());
  std::size_t decoded = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes b = good;
      b[at] = static_cast<std::uint8_t>(b[at] ^ (1 << bit));
      if (const auto r = decode<Outer>(b, "outer")) {
        ++decoded;
        CHECK(encode(*r) == b);
      }
    }
  }
  CHECK(decoded > 100);
}

TEST_CASE("print names every field") {
  const std::string s = print(sample());
  for (const char* name :
       {"x=", "y=-2", "flag=true", "bytes=0x0908", "name=\"ab\"", "inner=[{a=7 b=5}"})
    CHECK(s.find(name) != std::string::npos);
}
