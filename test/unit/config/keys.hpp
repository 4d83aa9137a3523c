// Real public keys from small numbers: registration refuses what is no point of the curve.
#pragma once

#include "crypto/signer.hpp"

namespace bftmeta::config::testing {

inline PublicKey key_of(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return crypto::Ed25519Signer(seed).public_key();
}

}  // namespace bftmeta::config::testing
