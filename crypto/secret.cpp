#include "crypto/secret.hpp"

#include <sodium.h>

namespace bftmeta::crypto {

void wipe(std::span<std::uint8_t> bytes) {
  if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
}

}  // namespace bftmeta::crypto
