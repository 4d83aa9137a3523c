#include "crypto/caching_verifier.hpp"

#include <doctest/doctest.h>

using namespace bftmeta;

namespace {

class CountingVerifier final : public crypto::Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override {
    ++calls;
    return real_.verify(key, preimage, signature);
  }
  mutable int calls = 0;

 private:
  crypto::Ed25519Verifier real_;
};

struct Fixture {
  crypto::Ed25519Signer signer{{7}};
  CountingVerifier counting;
  Bytes message(std::uint8_t n) const { return {'m', n}; }
  bool check(const crypto::CachingVerifier& cache, std::uint8_t n) const {
    return cache.verify(signer.public_key(), message(n), signer.sign(message(n)));
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a valid signature is verified once") {
  const crypto::CachingVerifier cache(counting, 8);
  for (int i = 0; i < 5; ++i) CHECK(check(cache, 1));
  CHECK(counting.calls == 1);
  CHECK(cache.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "nothing bad is remembered, neither as bad nor as good") {
  const crypto::CachingVerifier cache(counting, 8);
  Signature broken = signer.sign(message(1));
  broken[3] ^= 1;
  CHECK_FALSE(cache.verify(signer.public_key(), message(1), broken));
  CHECK_FALSE(cache.verify(signer.public_key(), message(1), broken));
  CHECK(counting.calls == 2);
  CHECK(cache.size() == 0);
  CHECK(check(cache, 1));  // garbage under the same message does no harm to the good one
}

TEST_CASE_FIXTURE(Fixture, "key, message and signature all count") {
  const crypto::CachingVerifier cache(counting, 8);
  CHECK(check(cache, 1));
  const Signature good = signer.sign(message(1));
  const crypto::Ed25519Signer other({8});
  CHECK_FALSE(cache.verify(other.public_key(), message(1), good));
  CHECK_FALSE(cache.verify(signer.public_key(), message(2), good));
  // A byte that moves from the message into the signature is another triple.
  Bytes longer = message(1);
  longer.push_back(0);
  CHECK_FALSE(cache.verify(signer.public_key(), longer, good));
}

TEST_CASE_FIXTURE(Fixture, "memory is bounded and what is in use stays") {
  const crypto::CachingVerifier cache(counting, 4);
  CHECK(check(cache, 0));
  for (std::uint8_t n = 1; n < 100; ++n) {
    CHECK(check(cache, n));
    CHECK(check(cache, 0));
    CHECK(cache.size() <= 8);
  }
  CHECK(counting.calls == 100);  // entry 0 never fell out
  CHECK(check(cache, 1));        // entry 1 did, long ago
  CHECK(counting.calls == 101);
}
