#include "crypto/hash.hpp"

#include <openssl/evp.h>

#include "base/assert.hpp"

namespace bftmeta::crypto {

namespace {

const EVP_MD* sha256_md() {
  static const EVP_MD* const md =
      EVP_MD_fetch(nullptr, "SHA256", nullptr);  // lives as long as the process
  return md;
}

EVP_MD_CTX* thread_context() {
  struct Owner {
    EVP_MD_CTX* ctx = EVP_MD_CTX_new();
    ~Owner() { EVP_MD_CTX_free(ctx); }
  };
  thread_local Owner owner;
  return owner.ctx;
}

void check(int ok) { BFTMETA_ASSERT(ok == 1); }

}  // namespace

Hash sha256(ByteView bytes) {
  EVP_MD_CTX* ctx = thread_context();
  Hash out;
  check(EVP_DigestInit_ex2(ctx, sha256_md(), nullptr));
  check(EVP_DigestUpdate(ctx, bytes.data(), bytes.size()));
  check(EVP_DigestFinal_ex(ctx, out.data(), nullptr));
  return out;
}

Hasher::Hasher(tags::Domain domain) { update_u8(static_cast<std::uint8_t>(domain)); }

Hasher& Hasher::update(ByteView bytes) {
  if (used_ + bytes.size() <= buffer_.size()) {
    std::copy(bytes.begin(), bytes.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += bytes.size();
    return *this;
  }
  if (!streaming_) {
    check(EVP_DigestInit_ex2(thread_context(), sha256_md(), nullptr));
    streaming_ = true;
  }
  check(EVP_DigestUpdate(thread_context(), buffer_.data(), used_));
  used_ = 0;
  check(EVP_DigestUpdate(thread_context(), bytes.data(), bytes.size()));
  return *this;
}

Hasher& Hasher::update_u8(std::uint8_t v) { return update({&v, 1}); }

Hasher& Hasher::update_u16(std::uint16_t v) {
  const std::uint8_t raw[2] = {static_cast<std::uint8_t>(v), static_cast<std::uint8_t>(v >> 8)};
  return update(raw);
}

Hasher& Hasher::update_u32(std::uint32_t v) {
  std::uint8_t raw[4];
  for (int i = 0; i < 4; ++i) raw[i] = static_cast<std::uint8_t>(v >> (8 * i));
  return update(raw);
}

Hasher& Hasher::update_u64(std::uint64_t v) {
  std::uint8_t raw[8];
  for (int i = 0; i < 8; ++i) raw[i] = static_cast<std::uint8_t>(v >> (8 * i));
  return update(raw);
}

Hash Hasher::finish() {
  if (!streaming_) return sha256({buffer_.data(), used_});
  Hash out;
  check(EVP_DigestUpdate(thread_context(), buffer_.data(), used_));
  check(EVP_DigestFinal_ex(thread_context(), out.data(), nullptr));
  return out;
}

}  // namespace bftmeta::crypto
