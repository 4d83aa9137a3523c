// The frozen bytes of keys, records, messages and certificates: files of "name hex" lines in
// test/vectors. A change here breaks every stored cluster and every foreign verifier. New vectors
// are added by running this test with BFTMETA_WRITE_VECTORS=1 and looking at the difference.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "messages/merkle.hpp"
#include "samples.hpp"
#include "schema/keys.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;
namespace keys = schema::keys;

namespace {

using Vectors = std::vector<std::pair<std::string, Bytes>>;

std::string path_of(const std::string& name) { return BFTMETA_VECTORS "/" + name; }

void write(const std::string& name, const Vectors& vectors) {
  std::ofstream out(path_of(name));
  out << "# Frozen; docs/formats describes every line. Test keys, of no use elsewhere.\n";
  for (const auto& [label, bytes] : vectors)
    out << label << ' ' << (bytes.empty() ? "-" : to_hex(bytes)) << '\n';
}

Vectors read(const std::string& name) {
  std::ifstream in(path_of(name));
  REQUIRE_MESSAGE(in.is_open(), name);
  Vectors vectors;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string label, hex;
    REQUIRE(static_cast<bool>(words >> label >> hex));
    const auto bytes = hex == "-" ? Bytes{} : from_hex(hex);
    REQUIRE(bytes.has_value());
    vectors.emplace_back(label, *bytes);
  }
  return vectors;
}

void check_frozen(const std::string& name, const Vectors& made) {
  if (std::getenv("BFTMETA_WRITE_VECTORS") != nullptr) write(name, made);
  const Vectors frozen = read(name);
  REQUIRE(frozen.size() == made.size());
  for (std::size_t i = 0; i < made.size(); ++i) {
    CHECK(frozen[i].first == made[i].first);
    CHECK_MESSAGE(frozen[i].second == made[i].second, made[i].first);
  }
}

Bytes raw(const Hash& h) { return to_bytes(ByteView(h)); }
Bytes raw(const Key& k) { return to_bytes(k.view()); }

Vectors key_vectors() {
  const Id16 id{0xa0, 0xa1};
  const PublicKey sign_key = pattern(0x70);
  return {{"attributes", raw(keys::attributes(7))},
          {"dirent", raw(keys::dirent(7, pattern(1)))},
          {"xattr", raw(keys::xattr(7, pattern(1)))},
          {"extent", raw(keys::extent(7, 3ULL << 20))},
          {"inline_data", raw(keys::inline_data(7))},
          {"symlink", raw(keys::symlink(7))},
          {"hold", raw(keys::hold(7, id))},
          {"session", raw(keys::session(id))},
          {"session_result", raw(keys::session_result(id, 9))},
          {"session_hold", raw(keys::session_hold(id, 7))},
          {"open_digest", raw(keys::open_digest(1'700'000'000'000'000, pattern(2)))},
          {"tombstone", raw(keys::tombstone(id))},
          {"tombstone_expiry", raw(keys::tombstone_expiry(5, id))},
          {"lease", raw(keys::lease(5, id))},
          {"orphan", raw(keys::orphan(5, 7))},
          {"garbage", raw(keys::garbage(7))},
          {"principal", raw(keys::principal(sign_key))},
          {"config", raw(keys::config(0))},
          {"pending_change", raw(keys::pending_change())},
          {"retired", raw(keys::retired(sign_key))},
          {"used_statement", raw(keys::used_statement(1'700'000'000'000'000, pattern(2)))},
          {"counters", raw(keys::counters())},
          {"history_frontier", raw(keys::history_frontier())},
          {"name_hash", raw(keys::name_hash(pattern(3), view("name")))}};
}

Vectors record_vectors() {
  const Cluster c(4);
  constexpr std::uint8_t f = schema::kRecordFormat;
  schema::Attributes a;
  a.type = schema::FileType::directory;
  a.mode = 0755;
  a.nlink = 3;
  a.uid = 1000;
  a.gid = 100;
  a.size = 2;
  a.parent = 1;
  a.depth = 1;
  a.version = 5;
  a.atime_ns = -1;
  a.mtime_ns = 2;
  a.ctime_ns = 3;
  a.btime_ns = 4;
  a.salt = pattern(8);
  a.xattr_count = 1;
  schema::Principal principal;
  principal.name = "client 0";
  principal.link_key = c.genesis.clients[0].link_key;
  principal.rules = c.genesis.clients[0].rules;
  principal.rules.groups = {4, 24};
  principal.sessions = 2;
  const schema::Session session{f, pattern(9), 1, 2, 60'000'000, 5, 3};
  return {
      {"attributes", encode(a)},
      {"dirent", encode(schema::Dirent{f, 9, schema::FileType::regular, to_bytes("name")})},
      {"xattr", encode(schema::Xattr{f, to_bytes("user.k"), to_bytes("v")})},
      {"extent", encode(schema::Extent{f, 100, 200, 3, pattern(1)})},
      {"content", encode(schema::Content{f, to_bytes("content")})},
      {"marker", encode(schema::Marker{})},
      {"garbage", encode(schema::Garbage{f, true, 1 << 20})},
      {"session", encode(session)},
      {"stored_result",
       encode(schema::StoredResult{f, 6, pattern(1), pattern(2), true, encode(sample_result())})},
      {"remembered_open", encode(schema::RememberedOpen{f, pattern(9), {1, 2}})},
      {"tombstone", encode(schema::Tombstone{f, pattern(9), 5, 86'400'000'000})},
      {"principal", encode(principal)},
      {"config_record", encode(schema::ConfigRecord{f, c.config()})},
      {"pending_change", encode(schema::PendingChange{f, c.config(), 6, 0b1001, 134})},
      {"counters", encode(schema::Counters{f, 10, 8, 4096, 60'000'000, 2})},
      {"history_frontier", encode(schema::HistoryFrontier{f, 6, {pattern(1), pattern(2)}})},
  };
}

void add_frames(Vectors& v, const Cluster& c) {
  const auto add = [&](const auto& samples) {
    for (const auto& m : samples)
      v.emplace_back(std::string("frame.") + message_name(m), encode_frame(c.context, m));
  };
  add(peer_samples(c));
  add(client_samples(c));
  add(replica_samples(c));
}

// Of the operation of that kind in the sample bundle.
template <class Operation>
Bytes statement_digest(const Cluster& c, const tags::Tag& tag) {
  for (const schema::Operation& op : sample_bundle(c).operations)
    if (const auto* statement = std::get_if<Operation>(&op.body))
      return raw(schema::statement_digest(
          crypto::preimage(tag, {c.context.cluster_id, 0}, encode(statement->body))));
  return {};
}

Vectors message_vectors() {
  const Cluster c(4);
  const Hash& id = c.context.cluster_id;
  const Batch batch = sample_batch(c);
  const Proposal proposal{0, batch.seq, batch_digest(c.context, batch)};
  Vectors v = {
      {"cluster_id", raw(id)},
      {"bundle.body", encode(sample_bundle(c))},
      {"bundle.preimage", item_preimage(id, ItemKind::bundle, batch.items[0].body)},
      {"bundle.item", encode(batch.items[0])},
      {"bundle.request_digest", raw(batch.items[0].digest())},
      {"open.body", encode(sample_open(c))},
      {"open.preimage", item_preimage(id, ItemKind::session_open, batch.items[1].body)},
      {"open.item", encode(batch.items[1])},
      {"open.request_digest", raw(batch.items[1].digest())},
      {"open.digest", raw(open_digest(sample_open(c)))},
      {"ready.body", encode(sample_ready(c))},
      {"ready.preimage", item_preimage(id, ItemKind::ready, batch.items[2].body)},
      {"ready.item", encode(batch.items[2])},
      {"ready.request_digest", raw(batch.items[2].digest())},
      {"client_statement.digest", statement_digest<schema::RegisterClient>(c, tags::kAdmin)},
      {"config_statement.digest", statement_digest<schema::ChangeConfig>(c, tags::kConfig)},
      {"bundle_result", encode(sample_result())},
      {"batch", encode(batch)},
      {"batch.digest", raw(proposal.digest)},
      {"null_batch.6", encode(Batch::null(6))},
      {"null_batch.6.digest", raw(batch_digest(c.context, Batch::null(6)))},
      {"pre_prepare.preimage", crypto::preimage(tags::kPrePrepare, c.context, encode(proposal))},
      {"view_change.body_digest", raw(sample_view_change(c).body_digest())},
      {"view_change.digest", raw(sample_view_change(c).digest())},
      {"new_view.body_digest", raw(sample_new_view(c).body_digest())},
      {"fresh_reply.genesis", encode(FreshReply{{5}, 0, NothingCertified{}})},
      {"fresh_reply.digest", encode(FreshReply{{5}, 0, sample_body(c, 6).digest()})},
  };
  add_frames(v, c);
  return v;
}

// Well-formed lies, and bytes that are not a certificate at all. Every one has to be refused.
void add_forged(Vectors& v, const Cluster& c, const RootCert& good) {
  const auto add = [&](const char* what, const RootCert& cert) {
    v.emplace_back(std::string("forged.") + what, encode(cert));
  };
  const auto signed_lie = [&](const char* what, const auto& change) {
    CertBody body = good.body;
    change(body);
    add(what, c.certify(body, c.quorum_bitmap()));
  };
  RootCert x = good;
  x.signatures[1] = x.signatures[0];
  add("signer_twice", x);
  x = good;
  std::swap(x.signatures[0], x.signatures[1]);
  add("signatures_out_of_order", x);
  add("one_signature_too_few", c.certify(good.body, 0b0011));
  add("one_signature_too_many", c.certify(good.body, 0b1111));
  x = good;
  x.signers = 0b1011;
  add("another_signer_claimed", x);
  x = good;
  x.signers |= 1U << 4;
  add("signer_is_no_member", x);
  x = good;
  x.signatures[2] = sign_share(*test_signer("stranger"), x.body, 2).signature;
  add("foreign_key", x);
  x = good;
  x.body.state_root[31] ^= 1;
  add("state_root_changed", x);
  x = good;
  x.body.history_root[0] ^= 1;
  add("history_root_changed", x);
  x = good;
  x.next_signers = x.signers;
  x.next_signatures = x.signatures;
  add("joint_without_epoch_end", x);
  x = good;
  const auto prepare = tags::kPrepare;
  for (ReplicaId r = 0; r < 3; ++r)
    x.signatures[r] = c.replicas[r]->sign(prepare, c.context, encode(x.body));
  add("signed_as_prepare", x);
  signed_lie("another_cluster", [](CertBody& b) { b.cluster_id[0] ^= 1; });
  signed_lie("another_epoch", [](CertBody& b) { b.epoch = 1; });
  signed_lie("another_configuration", [](CertBody& b) { b.config_hash[0] ^= 1; });
  signed_lie("epoch_end_without_next", [](CertBody& b) { b.epoch_end_seq = 6; });
  signed_lie("beyond_the_epoch_end", [](CertBody& b) { b.epoch_end_seq = 5; });
  signed_lie("next_before_the_epoch_end", [](CertBody& b) {
    b.epoch_end_seq = 7;
    b.next_config_hash[0] = 1;
  });
  signed_lie("next_without_epoch_end", [](CertBody& b) { b.next_config_hash[0] = 1; });
  signed_lie("sequence_number_0", [](CertBody& b) { b.seq = 0; });
  signed_lie("another_sm_version", [](CertBody& b) { b.sm_version = 2; });
  Bytes bytes = encode(good);
  bytes.push_back(0);
  v.emplace_back("forged.trailing_byte", bytes);
  bytes.resize(bytes.size() - 2);
  v.emplace_back("forged.truncated", bytes);
}

// The end of the epoch by all seven of whom `c` has four; what is not joint enough is refused.
void add_epoch_end(Vectors& v, const Cluster& c) {
  const Cluster seven(7);
  config::Config next = seven.config();
  next.epoch = 1;
  CertBody body = sample_body(c, 6);
  body.epoch_end_seq = 6;
  body.next_config_hash = next.hash();
  v.emplace_back("next_config", encode(next));
  v.emplace_back("cert.epoch_end", encode(c.certify(body, 0b0111)));
  v.emplace_back("joint.epoch_end", encode(c.certify_jointly(body, 0b0111, seven, 0b1110011)));
  const auto refused = [&](const char* what, const RootCert& cert) {
    v.emplace_back(std::string("unjoint.") + what, encode(cert));
  };
  refused("plain", c.certify(body, 0b0111));
  refused("four_of_the_next", c.certify_jointly(body, 0b0111, seven, 0b0110011));
  refused("six_of_the_next", c.certify_jointly(body, 0b0111, seven, 0b1111110));
  refused("two_of_the_old", c.certify_jointly(body, 0b0011, seven, 0b1110011));
  RootCert x = c.certify_jointly(body, 0b0111, seven, 0b1110011);
  x.next_signatures[1] = x.next_signatures[0];
  refused("signer_twice", x);
  body.next_config_hash[0] ^= 1;
  refused("another_next", c.certify_jointly(body, 0b0111, seven, 0b1110011));
}

Vectors certificate_vectors() {
  const Cluster c(4);
  const CertBody body = sample_body(c, 6);
  const RootCert good = c.certify(body, c.quorum_bitmap());
  const Hash start = history_start(c.context.cluster_id);
  Vectors v = {
      {"genesis", encode(c.genesis)},
      {"cluster_id", raw(c.context.cluster_id)},
      {"config", encode(c.config())},
      {"config_hash", raw(c.config().hash())},
      {"header.5", encode(sample_header(5))},
      {"header.6", encode(sample_header(6))},
      {"history_start", raw(start)},
      {"history_hash.5", raw(extend_history(start, sample_header(5)))},
      {"history_hash.5.6",
       raw(extend_history(extend_history(start, sample_header(5)), sample_header(6)))},
      {"history_leaf.6", raw(history_leaf(sample_header(6)))},
      {"history_node", raw(history_node(pattern(1), pattern(2)))},
      {"body", encode(body)},
      {"body.digest", raw(body.digest())},
      {"body.preimage", crypto::preimage(tags::kRootShare, c.context, encode(body))},
      {"share", encode(sign_share(*c.replicas[3], body, 3))},
      {"results_digest", raw(results_digest(encode(sample_result())))},
      {"reply_leaf", raw(reply_leaf({0xde, 0xad}, 5, pattern(1), pattern(2)))},
      {"reply_node", raw(reply_node(pattern(1), pattern(2)))},
  };
  std::vector<Hash> leaves;
  for (std::uint8_t i = 0; i < 7; ++i) {
    leaves.push_back(pattern(i));
    v.emplace_back("reply_root." + std::to_string(i + 1), raw(merkle_root(leaves, reply_node)));
  }
  Bytes path;
  for (const Hash& h : merkle_path(leaves, 6, reply_node))
    path.insert(path.end(), h.begin(), h.end());
  v.emplace_back("reply_path.6.of.7", path);
  v.emplace_back("cert", encode(good));
  v.emplace_back("cert.other_signers", encode(c.certify(body, 0b1101)));
  add_epoch_end(v, c);
  add_forged(v, c, good);
  return v;
}

}  // namespace

TEST_CASE("frozen: tree keys") { check_frozen("keys.txt", key_vectors()); }
TEST_CASE("frozen: leaf records") { check_frozen("records.txt", record_vectors()); }
TEST_CASE("frozen: messages") { check_frozen("messages.txt", message_vectors()); }
TEST_CASE("frozen: certificates") {
  check_frozen("certificates/certificates.txt", certificate_vectors());
}

TEST_CASE("the frozen certificates hold, every forged one is refused") {
  const Vectors v = read("certificates/certificates.txt");
  const auto genesis = config::decode_genesis(v[0].second);
  REQUIRE(genesis.has_value());
  const crypto::Ed25519Verifier verifier;
  int good = 0, forged = 0;
  for (const auto& [label, bytes] : v) {
    const bool is_forged = label.starts_with("forged.");
    if (!is_forged && !label.starts_with("cert")) continue;
    const auto cert = decode<RootCert>(bytes, "certificate");
    const bool holds =
        cert && verify_cert(verifier, genesis->cluster_id(), genesis->config, *cert).has_value();
    CHECK_MESSAGE(holds == !is_forged, label);
    ++(is_forged ? forged : good);
  }
  CHECK(good == 3);
  CHECK(forged == 22);
}

TEST_CASE("the frozen epoch end holds jointly, everything less is refused") {
  const Vectors v = read("certificates/certificates.txt");
  const auto genesis = config::decode_genesis(v[0].second);
  REQUIRE(genesis.has_value());
  std::optional<config::Config> next;
  const crypto::Ed25519Verifier verifier;
  int joint = 0, refused = 0;
  for (const auto& [label, bytes] : v) {
    if (label == "next_config") next = *decode<config::Config>(bytes, "configuration");
    const bool good = label.starts_with("joint.");
    if (!good && !label.starts_with("unjoint.")) continue;
    REQUIRE(next.has_value());
    const auto cert = decode<RootCert>(bytes, "certificate");
    const bool holds =
        cert && verify_joint_cert(verifier, genesis->cluster_id(), genesis->config, *next, *cert);
    CHECK_MESSAGE(holds == good, label);
    ++(good ? joint : refused);
  }
  CHECK(joint == 1);
  CHECK(refused == 6);
}
