// Every message goes round through its frame, and no changed byte survives unnoticed: it does not
// decode, or it decodes to something else that encodes to exactly those bytes.
#include <doctest/doctest.h>

#include <set>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

template <class Message, class Decode>
void check_round_trip(const Cluster& cluster, const Message& message, const Decode& decode_frame) {
  const Bytes frame = encode_frame(cluster.context, message);
  CAPTURE(message.index());
  auto back = decode_frame(cluster.context, frame);
  REQUIRE_MESSAGE(back.has_value(), back.error().message);
  CHECK(*back == message);
  CHECK(encode_frame(cluster.context, *back) == frame);
  CHECK_FALSE(print(message).empty());

  Bytes longer = frame;
  longer.push_back(0);
  CHECK_FALSE(decode_frame(cluster.context, longer).has_value());
  for (std::size_t size = 0; size < frame.size(); ++size)
    if (decode_frame(cluster.context, ByteView(frame).first(size)).has_value())
      FAIL("a frame cut to ", size, " bytes decodes");
}

template <class Message, class Decode>
void check_mutations(const Cluster& cluster, const Message& message, const Decode& decode_frame) {
  Bytes frame = encode_frame(cluster.context, message);
  CAPTURE(message.index());
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < frame.size(); ++i) {
    const std::uint8_t original = frame[i];
    for (int value = 0; value < 256; ++value) {
      if (value == original) continue;
      frame[i] = static_cast<std::uint8_t>(value);
      const auto decoded = decode_frame(cluster.context, frame);
      if (!decoded) continue;
      ++accepted;
      if (encode_frame(cluster.context, *decoded) != frame)
        FAIL("byte ", i, " as ", value, " decodes but encodes differently");
      if (*decoded == message) FAIL("byte ", i, " as ", value, " changes nothing");
    }
    frame[i] = original;
  }
  if (encoded_size(message) > 1) CHECK(accepted > 0);  // digests may be anything
}

const auto decode_peer = [](const auto& context, ByteView f) {
  return decode_peer_frame(context, f);
};
const auto decode_client = [](const auto& context, ByteView f) {
  return decode_client_frame(context, f);
};
const auto decode_replica = [](const auto& context, ByteView f) {
  return decode_replica_frame(context, f);
};

}  // namespace

TEST_CASE("there is a sample of every message") {
  const Cluster c(4);
  CHECK(client_samples(c).size() == std::variant_size_v<ClientMessage>);
  CHECK(replica_samples(c).size() == std::variant_size_v<ReplicaMessage>);
  CHECK(sample_bundle(c).operations.size() == std::variant_size_v<schema::OperationBody>);
  const auto peers = peer_samples(c);
  REQUIRE(peers.size() == std::variant_size_v<PeerMessage>);
  for (std::size_t i = 0; i < peers.size(); ++i) CHECK(peers[i].index() == i);
}

TEST_CASE("every message goes round; cut or longer frames are refused") {
  const Cluster c(4);
  for (const auto& m : peer_samples(c)) check_round_trip(c, m, decode_peer);
  for (const auto& m : client_samples(c)) check_round_trip(c, m, decode_client);
  for (const auto& m : replica_samples(c)) check_round_trip(c, m, decode_replica);
}

TEST_CASE("every single-byte mutation is refused or canonical") {
  const Cluster c(4);
  for (const auto& m : peer_samples(c)) check_mutations(c, m, decode_peer);
  for (const auto& m : client_samples(c)) check_mutations(c, m, decode_client);
  for (const auto& m : replica_samples(c)) check_mutations(c, m, decode_replica);
}

TEST_CASE("a frame of another link, cluster, epoch or version is refused") {
  const Cluster c(4);
  const Bytes peer = encode_frame(c.context, peer_samples(c)[2]);
  CHECK_FALSE(decode_client_frame(c.context, peer).has_value());
  CHECK_FALSE(decode_replica_frame(c.context, peer).has_value());
  const Bytes client = encode_frame(c.context, client_samples(c)[1]);
  CHECK_FALSE(decode_peer_frame(c.context, client).has_value());
  CHECK_FALSE(decode_replica_frame(c.context, client).has_value());

  crypto::Context other = c.context;
  other.cluster_id[0] ^= 1;
  auto refused = decode_peer_frame(other, peer);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::identity);
  other = c.context;
  other.epoch = 1;
  refused = decode_peer_frame(other, peer);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::identity);
  Bytes version = peer;
  version[4] ^= 3;
  CHECK_FALSE(decode_peer_frame(c.context, version).has_value());
  CHECK_FALSE(decode_peer_frame(c.context, {}).has_value());
}

TEST_CASE("static validity of items and batches") {
  const Cluster c(4);
  const Batch good = sample_batch(c);
  const auto parsed = parse_batch(c.context, good);
  REQUIRE(parsed.has_value());
  CHECK(parsed->digest == batch_digest(c.context, good));
  CHECK(parsed->items[0].bundle() != nullptr);
  CHECK(parsed->items[1].session_open() != nullptr);
  REQUIRE(parsed->items[2].ready() != nullptr);
  CHECK(*parsed->items[2].ready() == sample_ready(c));
  CHECK(parsed->items[2].client == c.replicas[2]->public_key());

  const auto refused = [&](const Batch& b) { return !parse_batch(c.context, b).has_value(); };
  Batch bad = good;
  bad.items.push_back(bad.items[0]);
  CHECK(refused(bad));  // the same item twice
  bad = good;
  bad.flags = BatchFlags::config;
  CHECK(refused(bad));
  bad.flags = BatchFlags::null;
  CHECK(refused(bad));  // a null batch has no time and no items
  CHECK_FALSE(refused(Batch::null(6)));
  bad = good;
  bad.items[0].kind = ItemKind::reserved;
  CHECK(refused(bad));
  bad = good;
  bad.items[0].body.push_back(0);
  CHECK(refused(bad));

  const auto bundle_refused = [&](const Bundle& x) {
    return !parse_item(sign_bundle(*c.clients[0], c.context.cluster_id, x)).has_value();
  };
  Bundle b = sample_bundle(c);
  CHECK_FALSE(bundle_refused(b));
  b.flags = 2;
  CHECK(bundle_refused(b));
  b = sample_bundle(c);
  b.bundle_no = 0;
  CHECK(bundle_refused(b));
  b = sample_bundle(c);
  b.operations.clear();
  CHECK(bundle_refused(b));
}

TEST_CASE("the batch digest is bound to everything but the view") {
  const Cluster c(4);
  const Batch b = sample_batch(c);
  std::set<Hash> digests{batch_digest(c.context, b)};
  Batch x = b;
  x.seq += 1;
  digests.insert(batch_digest(c.context, x));
  x = b;
  x.time_us += 1;
  digests.insert(batch_digest(c.context, x));
  x = b;
  std::swap(x.items[0], x.items[1]);
  digests.insert(batch_digest(c.context, x));
  x = b;
  x.items.pop_back();
  digests.insert(batch_digest(c.context, x));
  x = b;
  x.items[0].signature[0] ^= 1;  // the request digest covers the client's signature
  digests.insert(batch_digest(c.context, x));
  digests.insert(batch_digest({c.context.cluster_id, 1}, b));
  digests.insert(batch_digest({pattern(1), 0}, b));
  CHECK(digests.size() == 8);
}

TEST_CASE("who has to be shown the way: senders of an older epoch, but never for EPOCHS") {
  const Cluster c(4);
  const crypto::Context old{c.context.cluster_id, 1};
  const Bytes status = encode_frame(old, PeerMessage(PeerStatus{}));
  CHECK(epoch_to_show(c.context.cluster_id, 2, status) == 1);
  CHECK(epoch_to_show(c.context.cluster_id, 3, status) == 1);
  CHECK_FALSE(epoch_to_show(c.context.cluster_id, 1, status));
  CHECK_FALSE(epoch_to_show(c.context.cluster_id, 0, status));
  CHECK_FALSE(epoch_to_show(pattern(1), 2, status));
  CHECK_FALSE(epoch_to_show(c.context.cluster_id, 2, ByteView(status).first(45)));
  CHECK_FALSE(epoch_to_show(c.context.cluster_id, 2, encode_frame(old, PeerMessage(Epochs{}))));
  CHECK(epoch_to_show(c.context.cluster_id, 2, encode_frame(old, ClientMessage(Fresh{}))) == 1);
}
