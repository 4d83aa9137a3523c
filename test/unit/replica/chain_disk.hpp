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
  // Member 3 gives way to one whose number in `seven` is 6.
  messages::EpochStep replaced() const {
    messages::EpochStep step;
    step.next = four.config();
    step.next.epoch = 1;
    step.next.replicas[3] = seven.config().replicas[6];
    step.next.replicas[3].id = 3;
    messages::CertBody body = sample_body(four, 6);
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
