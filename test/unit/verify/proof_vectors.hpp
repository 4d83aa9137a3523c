// The golden and the forged proof files of test/vectors/proofs, made anew from fixed keys. Forged
// ones carry a right check sum, as an attacker's would, unless the check sum is what is wrong.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "support/cluster.hpp"
#include "tree/version.hpp"
#include "verify/proof_file.hpp"

namespace bftmeta::verify::testing {

struct ProofVector {
  std::string name;  // the attack, or what is proven
  bool verified = false;
  Bytes bytes;
};

// A small namespace: /docs/report.txt (inode 3) and files /f0 ... /f19.
class ProofWorld {
 public:
  ProofWorld();

  schema::Target target(const std::vector<std::string>& names) const;
  messages::CertBody body(messages::Seq seq) const;
  // What an honest replica and client make of it.
  ProofFile honest(const std::vector<std::string>& names) const;
  // The same two epochs later: replica 4 has taken the place of 3, then 5 that of 0.
  ProofFile later(const std::vector<std::string>& names) const;
  // Those who replace (position to key in the pool) end the epoch of `from` at `end`.
  messages::EpochStep step(const config::Config& from,
                           const std::map<std::uint32_t, std::uint32_t>& replaced,
                           messages::Seq end) const;
  // Signed by those members of `config` whose positions are in `signers`.
  messages::RootCert certify(const config::Config& config, const messages::CertBody& body,
                             std::uint32_t signers) const;

  test::Cluster cluster{4};
  test::Cluster pool{7};  // keys of those who come later, too
  tree::Version version = tree::Version::empty();
};

std::vector<ProofVector> make_proof_vectors(const ProofWorld& world);
// As the file holds them: "genesis HEX", then "NAME verified|refused HEX" per line.
std::string proof_vectors_text(const ProofWorld& world);

}  // namespace bftmeta::verify::testing
