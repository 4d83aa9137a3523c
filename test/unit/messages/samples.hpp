// One message of every type with every field in use: what the codec tests and the vectors encode.
#pragma once

#include "messages/frame.hpp"
#include "support/cluster.hpp"

namespace bftmeta::test {

inline Hash pattern(std::uint8_t first) {
  Hash h;
  for (std::size_t i = 0; i < h.size(); ++i) h[i] = static_cast<std::uint8_t>(first + i);
  return h;
}

messages::BatchHeader sample_header(messages::Seq seq);
messages::CertBody sample_body(const Cluster& cluster, messages::Seq seq);
messages::Bundle sample_bundle(const Cluster& cluster);  // every kind of operation
messages::SessionOpen sample_open(const Cluster& cluster);
messages::EpochStep sample_step(const Cluster& cluster);  // of four members: to seven
messages::Ready sample_ready(const Cluster& cluster);
messages::Batch sample_batch(const Cluster& cluster);  // an item of every kind
schema::BundleResult sample_result();
messages::ViewChange sample_view_change(const Cluster& cluster);  // valid; to view 2, of replica 1
messages::NewView sample_new_view(const Cluster& cluster);        // valid; view 1
messages::Evidence sample_evidence(const Cluster& cluster);       // valid; of replica 3

std::vector<messages::PeerMessage> peer_samples(const Cluster& cluster);
std::vector<messages::ClientMessage> client_samples(const Cluster& cluster);
std::vector<messages::ReplicaMessage> replica_samples(const Cluster& cluster);

}  // namespace bftmeta::test
