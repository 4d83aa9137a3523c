#include "samples.hpp"

namespace bftmeta::test {

using namespace messages;

namespace {

constexpr std::uint64_t kTime = 1'700'000'000'500'000;

schema::Name name(std::string_view s) { return {to_bytes(s)}; }

schema::Target target(std::uint64_t base, std::string_view component) {
  return {base, {name(component)}};
}

std::vector<schema::OperationBody> every_operation(const Cluster& cluster) {
  schema::SetAttributes set;
  set.target = target(1, "a");
  set.mask = schema::set_mask::kMode | schema::set_mask::kSize;
  set.mode = 0644;
  set.uid = 1;
  set.gid = 2;
  set.size = 3;
  set.atime_ns = -4;
  set.mtime_ns = 5;
  set.expected_version = 6;
  schema::MakeNode make;
  make.parent = target(1, "d");
  make.name = name("n");
  make.type = schema::FileType::symlink;
  make.mode = 0777;
  make.rdev = 7;
  make.symlink = to_bytes("to");
  schema::CommitData data;
  data.ino = 9;
  data.expected_version = 1;
  data.new_size = 4;
  data.mtime_ns = 8;
  data.inline_data = schema::Content{schema::kRecordFormat, to_bytes("body")};
  data.extents.push_back({limits::kBlockSize, 17, pattern(3)});
  schema::RegisterClient reg;
  reg.body.client = cluster.genesis.clients[0];
  reg.body.client.rules.groups = {10, 20};
  reg.body.valid_until_us = kTime;
  reg.signatures.push_back(
      {0, cluster.admin->sign(tags::kAdmin, {cluster.context.cluster_id, 0}, encode(reg.body))});
  schema::ChangeConfig change;
  change.body = {cluster.config().hash(), cluster.config(), kTime};
  change.body.next.epoch = 1;
  change.signatures.push_back(
      {0,
       cluster.admin->sign(tags::kConfig, {cluster.context.cluster_id, 0}, encode(change.body))});
  return {schema::Noop{},
          set,
          make,
          schema::Link{target(1, "s"), target(1, "p"), name("l")},
          schema::Remove{target(1, "p"), name("r"), true},
          schema::Rename{target(1, "f"), name("x"), target(2, "t"), name("y"), 1},
          schema::SetXattr{target(1, "x"), to_bytes("user.k"), to_bytes("v"), 1},
          schema::RemoveXattr{target(1, "x"), to_bytes("user.k")},
          data,
          schema::Hold{12, true},
          schema::CloseSession{},
          reg,
          change};
}

}  // namespace

BatchHeader sample_header(Seq seq) {
  BatchHeader h;
  h.seq = seq;
  h.batch_digest = pattern(static_cast<std::uint8_t>(seq));
  h.time_us = kTime + seq;
  h.reply_root = pattern(static_cast<std::uint8_t>(seq + 64));
  h.reply_count = 3;
  h.state_root = pattern(static_cast<std::uint8_t>(seq + 128));
  return h;
}

CertBody sample_body(const Cluster& cluster, Seq seq) {
  const BatchHeader h = sample_header(seq);
  CertBody b;
  b.cluster_id = cluster.context.cluster_id;
  b.epoch = cluster.context.epoch;
  b.config_hash = cluster.config().hash();
  b.seq = seq;
  b.history_hash = pattern(0xa0);
  b.history_root = pattern(0xb0);
  b.state_root = h.state_root;
  b.reply_root = h.reply_root;
  b.reply_count = h.reply_count;
  b.time_us = h.time_us;
  return b;
}

EpochStep sample_step(const Cluster& cluster) {
  const Cluster seven(7);
  EpochStep step;
  step.next = seven.config();
  step.next.epoch = cluster.context.epoch + 1;
  CertBody body = sample_body(cluster, 6);
  body.epoch_end_seq = body.seq;
  body.next_config_hash = step.next.hash();
  step.cert = cluster.certify_jointly(body, cluster.quorum_bitmap(), seven, seven.quorum_bitmap());
  return step;
}

Bundle sample_bundle(const Cluster& cluster) {
  Bundle b;
  b.session_id = {0xde, 0xad};
  b.client = cluster.clients[0]->public_key();
  b.bundle_no = 5;
  b.ack_upto = 3;
  b.valid_until_us = kTime + 1;
  b.flags = bundle_flags::kAllOrNothing;
  for (auto& body : every_operation(cluster))
    b.operations.push_back({{1000, 100, {4, 24}}, std::move(body)});
  return b;
}

SessionOpen sample_open(const Cluster& cluster) {
  return {cluster.clients[1]->public_key(), {9, 8, 7}, kTime + 2};
}

Ready sample_ready(const Cluster& cluster) {
  return {cluster.config().hash(), cluster.replicas[2]->public_key(), 5};
}

Batch sample_batch(const Cluster& cluster) {
  Batch b;
  b.seq = 6;
  b.time_us = kTime;
  const Hash& id = cluster.context.cluster_id;
  b.items.push_back(sign_bundle(*cluster.clients[0], id, sample_bundle(cluster)));
  b.items.push_back(sign_session_open(*cluster.clients[1], id, sample_open(cluster)));
  b.items.push_back(sign_ready(*cluster.replicas[2], id, sample_ready(cluster)));
  return b;
}

schema::BundleResult sample_result() {
  schema::BundleResult r;
  schema::InodeReply inode;
  inode.ino = 17;
  inode.created = true;
  inode.attributes.mode = 0600;
  r.results = {{schema::Code::ok, inode}, {schema::Code::exists, std::nullopt}};
  return r;
}

ViewChange sample_view_change(const Cluster& cluster) {
  ViewChange vc;
  vc.new_view = 2;
  vc.replica = 1;
  vc.base = cluster.certify(sample_body(cluster, 4), cluster.quorum_bitmap());
  vc.prepared.push_back(cluster.prepared({0, 5, pattern(1)}, cluster.backups_bitmap(0)));
  vc.prepared.push_back(cluster.prepared({1, 7, pattern(2)}, cluster.backups_bitmap(1)));
  vc.reason = Reason::request_timeout;
  sign_view_change(*cluster.replicas[1], cluster.context, vc);
  return vc;
}

NewView sample_new_view(const Cluster& cluster) {
  NewView nv;
  nv.view = 1;
  for (ReplicaId r = 0; r < cluster.config().quorum(); ++r)
    nv.votes.push_back({r, pattern(static_cast<std::uint8_t>(r))});
  nv.base_seq = 4;
  for (Seq seq = 5; seq <= 6; ++seq) {
    const Proposal p{nv.view, seq, pattern(static_cast<std::uint8_t>(seq))};
    nv.proposals.push_back(
        {p.seq, p.digest, sign_pre_prepare(cluster.primary(nv.view), cluster.context, p)});
  }
  sign_new_view(cluster.primary(nv.view), cluster.context, nv);
  return nv;
}

HighestStatements sample_statements(const Cluster& cluster) {
  const Proposal own{1, 7, pattern(2)};
  const Proposal others{2, 8, pattern(3)};
  HighestStatements s;
  s.pre_prepare = SignedProposal{own, sign_pre_prepare(cluster.primary(1), cluster.context, own)};
  s.prepare = sign_prepare(*cluster.replicas[1], cluster.context, others, 1);
  s.commit = others;
  s.view_change = sample_view_change(cluster);
  s.new_view = sample_new_view(cluster);
  return s;
}

Evidence sample_evidence(const Cluster& cluster) {
  const RootCert cert = cluster.certify(sample_body(cluster, 6), cluster.quorum_bitmap());
  CertBody other = cert.body;
  other.state_root = pattern(0xc0);
  return {sign_share(*cluster.replicas[3], other, 3), cert};
}

Learning sample_learning() {
  return {true,
          6,
          {true, 7, 4, 5, 600, 70, 8},
          {true, false, 500, 9, 1, 2, 3000, 100, 5, 1'700'000'000}};
}

std::vector<PeerMessage> peer_samples(const Cluster& cluster) {
  const Batch batch = sample_batch(cluster);
  const Proposal proposal{0, batch.seq, batch_digest(cluster.context, batch)};
  const RootCert cert = cluster.certify(sample_body(cluster, 6), cluster.quorum_bitmap());
  PeerStatus status{3, false, 2, 10, 9, Reason::equivocation, 5, 4, {}};
  status.slots.push_back({11, true, true, 7, 3, 1});
  return {
      PrePrepare{proposal, sign_pre_prepare(cluster.primary(0), cluster.context, proposal), batch},
      sign_prepare(*cluster.replicas[2], cluster.context, proposal, 2),
      Commit{proposal},
      sign_share(*cluster.replicas[3], cert.body, 3),
      cert,
      sample_view_change(cluster),
      sample_new_view(cluster),
      status,
      FetchBatch{6, proposal.digest},
      BatchData{batch},
      FetchHistory{3},
      HistoryData{5, {sample_header(5), sample_header(6)}, {Batch::null(5)}, cert},
      FetchViewChange{pattern(5)},
      FetchNewView{},
      Forward{batch.items[0]},
      FetchPrepared{5},
      PreparedData{5, sample_view_change(cluster).prepared},
      Hello{{1, 2, 3}, 7},
      HelloReply{{1, 2, 3}, 8, sample_statements(cluster)},
      sample_evidence(cluster),
      FetchNodes{9, 5, {{{}, 0, pattern(6)}, {Key(Bytes{0x10, 0x80}), 9, pattern(7)}}},
      NodesData{9, CertifiedState{cert, sample_header(6), pattern(8)}, {{{1, 0}}, {}}},
      Epochs{{sample_step(cluster)}},
      sample_learning()};
}

std::vector<ClientMessage> client_samples(const Cluster& cluster) {
  const schema::Caller caller{1000, 100, {4}};
  Read read{77, 5, 4, {}};
  read.queries = {{caller, schema::GetInode{target(1, "a"), true}},
                  {caller, schema::ListDirectory{1, 3, 100, true}},
                  {caller, schema::GetXattr{5, to_bytes("user.k")}},
                  {caller, schema::ListXattrs{5}},
                  {caller, schema::GetData{5, 0, 1 << 20}},
                  {caller, schema::GetStatistics{}},
                  {caller, schema::ListPrincipals{}},
                  {caller, schema::GetSession{{1}, 2}},
                  {caller, schema::GetMembership{3}}};
  return {Submit{sample_batch(cluster).items[1]},
          Subscribe{{7}},
          read,
          StatusQuery{78, 5000},
          Fresh{{5, 6, 7}, 0, 4},
          EvidenceQuery{81, 2}};
}

std::vector<ReplicaMessage> replica_samples(const Cluster& cluster) {
  const RootCert cert = cluster.certify(sample_body(cluster, 6), cluster.quorum_bitmap());
  Reply reply;
  reply.request_digest = pattern(9);
  reply.session_id = {1};
  reply.bundle_no = 2;
  reply.results = encode(sample_result());
  reply.leaf_index = 1;
  reply.path = {pattern(10), pattern(11)};
  reply.history_before = pattern(12);
  reply.headers = {sample_header(5), sample_header(6)};
  reply.cert = cert;
  return {reply,
          ReadReply{77, ReadStatus::ok, 6, cert, to_bytes("proof")},
          Refusal{pattern(1), RefusalReason::busy, 250},
          StatusReply{78,
                      2,
                      4711,
                      3,
                      true,
                      10,
                      9,
                      8,
                      1'000'000,
                      1,
                      2,
                      3,
                      "0.1.0",
                      "ok",
                      {true, true, 250, 9, 1, 2, 3000, 100, 5, 1'700'000'000},
                      {true, 7, 4, 5, 600, 70, 8},
                      7000,
                      500,
                      4,
                      6,
                      5,
                      {{3, sample_learning()}}},
          FreshReply{{5, 6, 7}, 0, cert},
          EvidenceReply{81, 3, KeptEvidence{7, sample_evidence(cluster)}},
          Epochs{{sample_step(cluster)}}};
}

}  // namespace bftmeta::test
