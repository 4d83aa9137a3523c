// A stream of operations that meet each other: small pools of names, users, sessions and numbers,
// every operation, errors as likely as successes. Deterministic in the seed.
#pragma once

#include <random>

#include "crypto/signer.hpp"
#include "schema/operations.hpp"

namespace bftmeta::test {

// Signatures that anybody can make and check: H(key || preimage), twice. For tests of what admins
// sign, at the speed of a hash.
class IdealVerifier final : public crypto::Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override {
    return signature == sign(key, preimage);
  }
  using Verifier::verify;
  static Signature sign(const PublicKey& key, ByteView preimage);
};

class RandomOperations {
 public:
  RandomOperations(std::uint64_t seed, const config::Genesis& genesis);

  // A principal that may be anything: gateway or not, squashed or not, strict or not.
  config::ClientRules rules();
  Id16 session();
  schema::Operation next(std::uint64_t time_us);
  // Answers feed the pools: numbers of inodes and their versions.
  void learn(const schema::OpResult& result);

  // Uniform in [0, n).
  std::uint64_t below(std::uint64_t n) {
    return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random_);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  struct Known {
    std::uint64_t ino = 0;
    std::uint64_t version = 0;
    schema::FileType type = schema::FileType::regular;
  };

  schema::OperationBody body(std::uint64_t time_us);
  schema::SetAttributes set_attributes();
  schema::MakeNode make_node();
  schema::Rename rename();
  schema::CommitData commit_data();
  schema::RegisterClient register_client(std::uint64_t time_us);
  schema::RegisterClient registration(std::uint64_t time_us);
  std::uint64_t ino();
  std::uint64_t ino_of(schema::FileType type);
  std::uint64_t file();
  std::uint64_t size();
  schema::Target target();
  schema::Target directory();
  schema::Name name();
  Bytes xattr_name();
  Bytes bytes(std::uint64_t max);
  std::uint32_t id();
  std::uint64_t version(std::uint64_t ino);

  std::mt19937_64 random_;
  const config::Genesis& genesis_;
  std::vector<Known> known_;
  std::uint64_t file_ = 0;  // whose contents change now
  std::vector<PublicKey> clients_;
  std::vector<schema::RegisterClient> registrations_;  // the last ones that were sent
};

}  // namespace bftmeta::test
