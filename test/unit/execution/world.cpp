#include "world.hpp"

#include <doctest/doctest.h>

namespace bftmeta::test {

namespace keys = schema::keys;

namespace {

Engine genesis_engine(const Cluster& cluster) {
  auto engine = Engine::from_genesis(cluster.genesis, cluster.verifier);
  REQUIRE_MESSAGE(engine.has_value(), engine.error().message);
  return std::move(*engine);
}

template <class Record>
std::optional<Record> record(const Engine& engine, const Key& key) {
  Bytes value;
  if (engine.version().get(key, value) != tree::Found::value) return std::nullopt;
  auto decoded = schema::decode_record<Record>(value, "record");
  REQUIRE(decoded.has_value());
  return *decoded;
}

}  // namespace

World::World(std::uint32_t clients)
    : cluster(4, clients), engine(genesis_engine(cluster)), now(cluster.genesis.time_us) {}

messages::ParsedBatch World::next_batch(const std::vector<Item>& items, std::uint64_t step_us) {
  messages::Batch batch;
  batch.seq = engine.executed_seq() + 1;
  batch.time_us = now + step_us;
  batch.items = items;
  auto parsed = messages::parse_batch(context(), std::move(batch));
  REQUIRE_MESSAGE(parsed.has_value(), parsed.error().message);
  return std::move(*parsed);
}

Executed World::run(const std::vector<Item>& items, std::uint64_t step_us) {
  return execute(next_batch(items, step_us).batch);
}

Executed World::run_null() { return execute(messages::Batch::null(engine.executed_seq() + 1)); }

Executed World::execute(messages::Batch batch) {
  auto parsed = messages::parse_batch(context(), std::move(batch));
  REQUIRE(parsed.has_value());
  log_.push_back(std::move(*parsed));
  auto executed = engine.execute(log_.back());
  REQUIRE_MESSAGE(executed.has_value(), executed.error().message);
  now = executed->header.time_us;
  return std::move(*executed);
}

Item World::open_item(std::uint32_t client, std::uint64_t nonce, std::uint64_t valid_for_us) {
  messages::SessionOpen open;
  open.client = cluster.clients[client]->public_key();
  store_be64(open.nonce.data(), nonce);
  open.valid_until_us = now + valid_for_us;
  return sign_session_open(*cluster.clients[client], cluster.context.cluster_id, open);
}

Id16 World::open(std::uint32_t client) {
  const BundleResult r = result_of(run({open_item(client, nonces_++)}));
  REQUIRE(r.outcome == BundleOutcome::session_opened);
  return r.session_id;
}

Item World::bundle(std::uint32_t client, const Id16& session, std::uint64_t no,
                   std::vector<schema::OperationBody> operations, Options options) {
  messages::Bundle b;
  b.session_id = session;
  b.client = cluster.clients[client]->public_key();
  b.bundle_no = no;
  b.ack_upto = options.ack_upto;
  b.valid_until_us = now + options.valid_for_us;
  b.flags = options.all_or_nothing ? messages::bundle_flags::kAllOrNothing : std::uint8_t{0};
  for (auto& body : operations) b.operations.push_back({{0, 0, {}}, std::move(body)});
  return sign_bundle(*cluster.clients[client], cluster.context.cluster_id, b);
}

schema::OperationBody World::make(const std::string& name) {
  schema::MakeNode m;
  m.name.bytes = to_bytes(name);
  m.mode = 0644;
  return m;
}

crypto::Context World::context() const {
  return {cluster.context.cluster_id, engine.config().epoch};
}

schema::OperationBody World::registration(std::uint32_t client, bool remove) const {
  schema::RegisterClient r;
  r.body.client = cluster.genesis.clients[client];
  r.body.remove = remove;
  r.body.valid_until_us = now + kHour / 2;
  r.signatures.push_back(
      {0, cluster.admin->sign(tags::kAdmin, {cluster.context.cluster_id, 0}, encode(r.body))});
  return r;
}

void World::sign(schema::ChangeConfig& op) const {
  op.signatures = {
      {0, cluster.admin->sign(tags::kConfig, {cluster.context.cluster_id, 0}, encode(op.body))}};
}

schema::ChangeConfig World::change_to(const config::Config& next) const {
  schema::ChangeConfig op;
  op.body = {engine.config().hash(), next, now + kHour / 2};
  sign(op);
  return op;
}

bool World::exists(const std::string& name) const {
  const auto root = record<schema::Attributes>(engine, keys::attributes(schema::kRootIno));
  REQUIRE(root.has_value());
  const Key key = keys::dirent(schema::kRootIno, keys::name_hash(root->salt, view(name)));
  return record<schema::Dirent>(engine, key).has_value();
}

std::size_t World::leaves_under(const Key& prefix) const {
  const auto n = engine.version().count(prefix);
  REQUIRE(n.has_value());
  return static_cast<std::size_t>(*n);
}

std::optional<schema::Session> World::session_record(const Id16& id) const {
  return record<schema::Session>(engine, keys::session(id));
}

std::optional<schema::Tombstone> World::tombstone(const Id16& id) const {
  return record<schema::Tombstone>(engine, keys::tombstone(id));
}

std::uint64_t World::lease_left(const Id16& id) const {
  const auto s = session_record(id);
  const auto c = engine.counters();
  REQUIRE(s.has_value());
  REQUIRE(c.has_value());
  return s->lease_expiry_us - c->lease_time_us;
}

BundleResult result_of(const Executed& executed, std::size_t index) {
  REQUIRE(index < executed.results.size());
  auto r = decode<BundleResult>(executed.results[index].result, "bundle result");
  REQUIRE_MESSAGE(r.has_value(), r.error().message);
  return *r;
}

Engine reopened(const Cluster& cluster, Engine& engine, tree::MemoryPageStore& store) {
  tree::WriteSet set = tree::begin_flush(engine.head());
  auto writer = store.begin();
  REQUIRE(writer.has_value());
  for (bool done = false; !done;) {
    const auto written = set.write_some(**writer, 64);
    REQUIRE(written.has_value());
    done = *written;
  }
  const auto snapshot = (*writer)->commit(set.root_record(), encode(engine.checkpoint()));
  REQUIRE(snapshot.has_value());
  engine.rebase(tree::rebase(engine.version(), set, *snapshot));

  const auto newest = store.snapshot();
  REQUIRE(newest.has_value());
  auto checkpoint = execution::decode_checkpoint((*newest)->meta());
  REQUIRE_MESSAGE(checkpoint.has_value(), checkpoint.error().message);
  auto version = tree::Version::open(*newest);
  REQUIRE(version.has_value());
  auto again = Engine::from_checkpoint(cluster.genesis.cluster_id(), cluster.verifier,
                                       std::move(*checkpoint), std::move(*version));
  REQUIRE_MESSAGE(again.has_value(), again.error().message);
  return std::move(*again);
}

}  // namespace bftmeta::test
