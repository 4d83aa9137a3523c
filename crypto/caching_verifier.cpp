#include "crypto/caching_verifier.hpp"

#include "base/assert.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::crypto {

namespace {
// Key and signature have fixed lengths and come first, so different triples never hash alike.
Hash entry_of(const PublicKey& key, ByteView preimage, const Signature& signature) {
  Bytes all;
  all.reserve(key.size() + signature.size() + preimage.size());
  all.insert(all.end(), key.begin(), key.end());
  all.insert(all.end(), signature.begin(), signature.end());
  all.insert(all.end(), preimage.begin(), preimage.end());
  return sha256(all);
}
}  // namespace

CachingVerifier::SecretBucket::SecretBucket() {
  std::array<std::uint8_t, 16> random{};
  random_bytes(random);
  mask = load_be64(random.data());
  factor = load_be64(random.data() + 8) | 1;
}

// The entry is a hash already.
std::size_t CachingVerifier::SecretBucket::operator()(const Hash& entry) const {
  return (load_be64(entry.data()) ^ mask) * factor >> 20;
}

CachingVerifier::CachingVerifier(const Verifier& verifier, std::size_t capacity)
    : verifier_(verifier), capacity_(capacity) {
  BFTMETA_ASSERT(capacity > 0);
  young_.reserve(capacity);
}

bool CachingVerifier::verify(const PublicKey& key, ByteView preimage,
                             const Signature& signature) const {
  const Hash entry = entry_of(key, preimage, signature);
  if (remembered(entry)) return true;
  if (!verifier_.verify(key, preimage, signature)) return false;
  remember(entry);
  return true;
}

std::size_t CachingVerifier::size() const {
  const std::lock_guard lock(mutex_);
  return young_.size() + old_.size();
}

bool CachingVerifier::remembered(const Hash& entry) const {
  const std::lock_guard lock(mutex_);
  if (young_.contains(entry)) return true;
  if (!old_.contains(entry)) return false;
  insert(entry);
  return true;
}

void CachingVerifier::remember(const Hash& entry) const {
  const std::lock_guard lock(mutex_);
  insert(entry);
}

void CachingVerifier::insert(const Hash& entry) const {
  if (young_.size() >= capacity_) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.insert(entry);
}

}  // namespace bftmeta::crypto
