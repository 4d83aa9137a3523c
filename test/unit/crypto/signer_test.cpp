#include <doctest/doctest.h>

#include "crypto/signer.hpp"

using namespace bftmeta;

namespace {

template <std::size_t N>
std::array<std::uint8_t, N> hex(const std::string& text) {
  const auto bytes = from_hex(text);
  REQUIRE(bytes.has_value());
  REQUIRE(bytes->size() == N);
  std::array<std::uint8_t, N> out{};
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

struct Vector {
  const char* seed;
  const char* key;
  const char* message;
  const char* signature;
};

// RFC 8032, 7.1: TEST 1, 2, 3.
const Vector kRfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
};

}  // namespace

TEST_CASE("Ed25519: the vectors of RFC 8032") {
  for (const Vector& v : kRfc8032) {
    const crypto::Ed25519Signer signer(hex<32>(v.seed));
    const Bytes message = *from_hex(v.message);
    CHECK(to_hex(signer.public_key()) == v.key);
    const Signature signature = signer.sign(message);
    CHECK(to_hex(signature) == v.signature);
    CHECK(crypto::Ed25519Verifier().verify(signer.public_key(), message, signature));
  }
}

TEST_CASE("a signature holds for one key, tag, cluster, epoch and body only") {
  const crypto::Ed25519Signer signer(hex<32>(kRfc8032[0].seed));
  const crypto::Ed25519Signer other(hex<32>(kRfc8032[1].seed));
  const crypto::Ed25519Verifier verifier;
  crypto::Context context;
  context.cluster_id[0] = 1;
  context.epoch = 7;
  const Bytes body = {1, 2, 3};
  const Signature s = signer.sign(tags::kPrepare, context, body);
  CHECK(verifier.verify(signer.public_key(), tags::kPrepare, context, body, s));

  CHECK_FALSE(verifier.verify(other.public_key(), tags::kPrepare, context, body, s));
  CHECK_FALSE(verifier.verify(signer.public_key(), tags::kPrePrepare, context, body, s));
  crypto::Context elsewhere = context;
  elsewhere.cluster_id[31] ^= 1;
  CHECK_FALSE(verifier.verify(signer.public_key(), tags::kPrepare, elsewhere, body, s));
  crypto::Context later = context;
  ++later.epoch;
  CHECK_FALSE(verifier.verify(signer.public_key(), tags::kPrepare, later, body, s));
  CHECK_FALSE(verifier.verify(signer.public_key(), tags::kPrepare, context, Bytes{1, 2}, s));
  for (std::size_t i = 0; i < s.size(); ++i) {
    Signature flipped = s;
    flipped[i] ^= 0x10;
    CHECK_FALSE(verifier.verify(signer.public_key(), tags::kPrepare, context, body, flipped));
  }
}

TEST_CASE("a signature whose scalar is not reduced is refused") {
  // S + L verifies under a sloppy implementation: a second signature for the same message.
  const crypto::Ed25519Signer signer(hex<32>(kRfc8032[1].seed));
  const Bytes message = {0x72};
  Signature s = signer.sign(message);
  const auto order = hex<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned sum = s[32 + i] + order[i] + carry;
    s[32 + i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
  }
  CHECK(carry == 0);
  CHECK_FALSE(crypto::Ed25519Verifier().verify(signer.public_key(), message, s));
}

TEST_CASE("public keys: small order, non-canonical and off-curve points are refused") {
  CHECK(crypto::valid_public_key(hex<32>(kRfc8032[0].key)));
  const char* const bad[] = {
      // order 1, 2, 4, 4, 8, 8
      "0100000000000000000000000000000000000000000000000000000000000000",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000080",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      // p and p + 1: the same points again, not canonical
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      // y = 2 is not on the curve
      "0200000000000000000000000000000000000000000000000000000000000000",
  };
  for (const char* point : bad) {
    CAPTURE(point);
    CHECK_FALSE(crypto::valid_public_key(hex<32>(point)));
  }
}
