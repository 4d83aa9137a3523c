// The largest legal message of each kind fits a frame, at the largest cluster. What can be longer
// by its caps alone (HISTORY, READ-REPLY) is cut by its sender, and the room left for that is here.
#include <doctest/doctest.h>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

constexpr std::size_t kN = limits::kMaxReplicas;
constexpr std::size_t kF = (kN - 1) / 3;
constexpr std::size_t kFrameHeader = 4 + 1 + 32 + 8;

RootCert largest_cert() {
  RootCert cert;
  cert.signatures.resize(2 * kF + 1);
  return cert;
}

std::size_t frame_size(const PeerMessage& m) { return encode_frame({}, m).size(); }
std::size_t frame_size(const ReplicaMessage& m) { return encode_frame({}, m).size(); }

}  // namespace

TEST_CASE("VIEW-CHANGE with a full window at n = 31") {
  ViewChange vc;
  vc.base = largest_cert();
  vc.prepared.resize(limits::kWindow);
  for (PreparedCert& p : vc.prepared) p.signatures.resize(2 * kF);
  const std::size_t size = frame_size(vc);
  CHECK(size == 180'952);
  CHECK(size <= limits::kMaxFrame / 4);
}

TEST_CASE("NEW-VIEW with a full window at n = 31") {
  NewView nv;
  nv.votes.resize(2 * kF + 1);
  nv.proposals.resize(limits::kWindow);
  CHECK(frame_size(nv) <= limits::kMaxFrame / 4);
}

TEST_CASE("EVIDENCE of two VIEW-CHANGEs with full windows at n = 31") {
  ViewChange vc;
  vc.base = largest_cert();
  vc.prepared.resize(limits::kWindow);
  for (PreparedCert& p : vc.prepared) p.signatures.resize(2 * kF);
  CHECK(frame_size(Evidence{vc, vc}) <= limits::kMaxFrame / 2);
  CHECK(frame_size(EvidenceReply{0, 1, KeptEvidence{0, {vc, vc}}}) <= limits::kMaxFrame / 2);
}

TEST_CASE("PRE-PREPARE, BATCH and FORWARD of the largest batch and item") {
  Item item;
  item.body.resize(limits::kMaxBundleBytes);
  CHECK(frame_size(Forward{item}) <= limits::kMaxFrame);
  Batch batch;
  while (encoded_size(batch) + encoded_size(item) <= limits::kMaxBatchBytes)
    batch.items.push_back(item);
  CHECK(batch.items.size() == 7);  // an eighth would not leave room for the headers
  Batch too_long = batch;
  too_long.items.push_back(item);
  CHECK_FALSE(parse_batch({}, too_long).has_value());
  // parse_batch refuses anything longer than kMaxBatchBytes, so this bounds every batch.
  constexpr std::size_t kAround = kFrameHeader + 1 + 48 + 64;
  CHECK(frame_size(PrePrepare{{}, {}, batch}) <= limits::kMaxBatchBytes + kAround);
  static_assert(limits::kMaxBatchBytes + kAround <= limits::kMaxFrame);
}

TEST_CASE("STATUS with every slot of a window") {
  PeerStatus s;
  s.slots.resize(limits::kWindow);
  CHECK(frame_size(s) <= 8 * 1024);
}

TEST_CASE("HISTORY: all headers and one largest batch fit together") {
  HistoryData h;
  h.headers.resize(limits::kMaxHeaderChain);
  h.cert = largest_cert();
  CHECK(frame_size(h) + limits::kMaxBatchBytes <= limits::kMaxFrame);
}

TEST_CASE("REPLY with the results of a full bundle, and READ-REPLY with the largest proof") {
  schema::BundleResult results;
  results.results.resize(limits::kMaxOpsPerBundle);
  for (auto& r : results.results) r.inode.emplace();
  Reply reply;
  reply.results = encode(results);
  reply.path.resize(32);
  reply.headers.resize(limits::kMaxHeaderChain);
  reply.cert = largest_cert();
  CHECK(frame_size(reply) <= limits::kMaxFrame);
  CHECK(frame_size(FreshReply{{}, 0, largest_cert()}) <= 4 * 1024);
  ReadReply read;
  read.cert = largest_cert();
  read.proof.resize(limits::kMaxProof);
  CHECK(frame_size(read) <= limits::kMaxFrame);
}
