#include <doctest/doctest.h>

#include "crypto/hash.hpp"

using namespace bftmeta;

TEST_CASE("SHA-256: the examples of FIPS 180") {
  CHECK(to_hex(crypto::sha256(view(""))) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(crypto::sha256(view("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(crypto::sha256(view("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(to_hex(crypto::sha256(Bytes(1'000'000, 'a'))) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("Hasher is SHA-256 over the domain byte and the parts, however they are cut") {
  Bytes whole = {static_cast<std::uint8_t>(tags::Domain::trie_node)};
  for (std::size_t i = 0; i < 700; ++i) whole.push_back(static_cast<std::uint8_t>(i * 7));
  for (const std::size_t size : {0U, 1U, 255U, 256U, 257U, 511U, 700U}) {
    const ByteView data = ByteView(whole).subspan(1, size);
    const Hash expected = crypto::sha256(ByteView(whole).first(1 + size));
    for (const std::size_t step : {1U, 3U, 100U, 254U, 255U, 256U, 300U, 700U}) {
      crypto::Hasher h(tags::Domain::trie_node);
      for (std::size_t at = 0; at < size; at += step)
        h.update(data.subspan(at, std::min(step, size - at)));
      CHECK(h.finish() == expected);
    }
  }
}

TEST_CASE("Hasher writes integers little-endian") {
  const Bytes raw = {static_cast<std::uint8_t>(tags::Domain::batch),
                     0x01,
                     0x03,
                     0x02,
                     0x07,
                     0x06,
                     0x05,
                     0x04,
                     0x0f,
                     0x0e,
                     0x0d,
                     0x0c,
                     0x0b,
                     0x0a,
                     0x09,
                     0x08};
  CHECK(crypto::Hasher(tags::Domain::batch)
            .update_u8(0x01)
            .update_u16(0x0203)
            .update_u32(0x04050607)
            .update_u64(0x08090a0b0c0d0e0f)
            .finish() == crypto::sha256(raw));
}

TEST_CASE("a different domain is a different hash") {
  CHECK(crypto::Hasher(tags::Domain::genesis).finish() !=
        crypto::Hasher(tags::Domain::config).finish());
}
