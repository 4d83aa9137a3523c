// The chain of epochs of one replica, in a directory of its own. Thread-safety: one thread.
#pragma once

#include "replica/membership.hpp"
#include "samples.hpp"
#include "support/temp_dir.hpp"

namespace bftmeta::test {

struct ChainDisk {
  Result<replica::Membership> load(const PublicKey& key) const {
    return replica::Membership::load(storage::posix_file_system(), path, four.genesis, verifier,
                                     key);
  }
  Status follow(replica::Membership& m, std::vector<messages::EpochStep> steps) const {
    return m.follow(storage::posix_file_system(), verifier, steps);
  }
  // One of `seven`, as member 3.
  config::Replica third(std::uint32_t number) const {
    config::Replica replica = seven.config().replicas[number];
    replica.id = 3;
    return replica;
  }
  // Member 3 gives way to one of `seven`; the others sign.
  messages::EpochStep replaced() const { return replaced(four.config(), 6); }
  messages::EpochStep replaced(const config::Config& before, std::uint32_t number) const {
    messages::EpochStep step;
    step.next = before;
    step.next.epoch = before.epoch + 1;
    step.next.replicas[3] = third(number);
    messages::CertBody body = sample_body(four, 6 * step.next.epoch);
    body.epoch = before.epoch;
    body.config_hash = before.hash();
    body.epoch_end_seq = body.seq;
    body.next_config_hash = step.next.hash();
    step.cert = four.certify_jointly(body, 0b0111, four, 0b0111);
    return step;
  }

  TempDir dir;
  const std::string path = dir.path() + "/epochs";
  const Cluster four{4};
  const Cluster seven{7};
  const crypto::Ed25519Verifier verifier;
};

}  // namespace bftmeta::test
