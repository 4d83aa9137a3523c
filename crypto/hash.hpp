// SHA-256 (FIPS 180-4) from OpenSSL with an EVP_MD fetched once and one context reused per thread
// (an implicit fetch costs three times the hash of a tree node). Thread-safety: every thread has
// its own context; a Hasher value must stay on the thread that made it, one live Hasher per thread.
#pragma once

#include "base/bytes.hpp"
#include "base/codec.hpp"
#include "base/tags.hpp"

namespace bftmeta::crypto {

// H(bytes). Plain SHA-256, no domain byte.
Hash sha256(ByteView bytes);

// H(domain || parts...), the only way in which consensus and tree hash anything.
class Hasher {
 public:
  explicit Hasher(tags::Domain domain);
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  Hasher& update(ByteView bytes);
  Hasher& update_u8(std::uint8_t v);
  Hasher& update_u16(std::uint16_t v);  // little-endian, as everything but tree keys
  Hasher& update_u32(std::uint32_t v);
  Hasher& update_u64(std::uint64_t v);
  Hash finish();

 private:
  // Small inputs are gathered here, so that a tree node is one call into OpenSSL.
  std::array<std::uint8_t, 256> buffer_;
  std::size_t used_ = 0;
  bool streaming_ = false;
};

// H(domain || canonical encoding of v).
template <class T>
Hash hash_of(tags::Domain domain, const T& v) {
  const Bytes encoded = encode(v);
  return Hasher(domain).update(encoded).finish();
}

}  // namespace bftmeta::crypto
