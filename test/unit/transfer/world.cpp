#include "world.hpp"

#include "tree/fragment.hpp"

namespace bftmeta::test {

using messages::FetchNodes;
using messages::NodesData;

World::World(std::uint64_t seed, std::uint32_t n, std::uint64_t inodes)
    : cluster_(n),
      rng_(seed),
      keys_(inodes),
      history_(messages::history_start(cluster_.context.cluster_id)) {}

void World::grow(std::size_t updates, unsigned erase_percent) {
  const tree::Version base = states_.empty() ? tree::Version::empty() : newest().version;
  certify(tree::test::applied(
      base, tree::test::random_batch(rng_, model_, keys_, updates, erase_percent)));
}

void World::clear() {
  model_.clear();
  certify(tree::Version::empty());
}

void World::certify(tree::Version version) {
  State s;
  messages::BatchHeader& h = s.state.header;
  h.seq = states_.size() + 1;
  h.batch_digest[0] = static_cast<std::uint8_t>(rng_());
  h.time_us = h.seq;
  h.state_root = version.state_root(cluster_.context.cluster_id, limits::kSmVersion);
  s.state.history_before = history_;
  history_ = messages::extend_history(history_, h);
  messages::CertBody body;
  body.cluster_id = cluster_.context.cluster_id;
  body.config_hash = cluster_.config().hash();
  body.seq = h.seq;
  body.history_hash = history_;
  body.state_root = h.state_root;
  body.time_us = h.time_us;
  s.state.cert = cluster_.certify(body, cluster_.quorum_bitmap());
  s.version = std::move(version);
  states_.push_back(std::move(s));
}

std::shared_ptr<tree::MemoryPageStore> stored(const tree::Version& version) {
  std::vector<tree::Update> updates;
  REQUIRE(version.read_range(Key(), std::nullopt, [&](const Key& key, ByteView value) {
    updates.push_back({key, to_bytes(value)});
    return true;
  }));
  auto store = std::make_shared<tree::MemoryPageStore>();
  tree::Version copy = tree::test::applied(tree::Version::empty(), updates);
  tree::WriteSet set = tree::begin_flush(copy);
  auto writer = store->begin();
  REQUIRE(writer);
  while (!*set.write_some(**writer, 10'000)) {
  }
  REQUIRE((*writer)->commit(set.root_record(), {}));
  return store;
}

Transfer::Transfer(World& world, std::shared_ptr<tree::MemoryPageStore> store, Setup setup)
    : world_(world),
      store_(std::move(store)),
      setup_(std::move(setup)),
      floor_(world.newest().state.cert.body.seq),
      rng_(world.rng()()) {
  for (const Behaviour b : setup_.peers) {
    peers_.push_back(
        {b, std::make_unique<transfer::Source>(world.cluster().context.cluster_id), std::nullopt});
    const bool old = b == Behaviour::old_target;
    const World::State& s = old ? world.state(0) : world.newest();
    peers_.back().newest = transfer::Served{s.state, s.version};
  }
  start();
  if (setup_.load_us != 0) at(setup_.load_us, [this] { load(); });
  if (setup_.crash_every_us != 0) at(setup_.crash_every_us, [this] { crash(); });
}

void Transfer::at(std::uint64_t delay_us, std::function<void()> f) {
  events_.emplace(now_us_ + delay_us, std::move(f));
}

void Transfer::start() {
  const auto snapshot = store_->snapshot();
  REQUIRE(snapshot);
  auto own = tree::Version::open(*snapshot, {.pinned_nodes = setup_.damaged.empty() ? 64U : 0U});
  REQUIRE(own);
  transfer::Options options;
  options.self = static_cast<messages::ReplicaId>(peers_.size());
  options.cluster_id = world_.cluster().context.cluster_id;
  options.config = world_.cluster().config();
  options.floor = floor_;
  if (setup_.epoch_over) {
    ++options.config.epoch;
    options.epoch_start = world_.newest().state.cert;
  }
  options.first_id = rng_();
  options.write_bytes = setup_.write_bytes;
  options.damaged = setup_.damaged;
  if (setup_.restore) options.restore = world_.state(*setup_.restore).state.cert.body;
  receiver_ = std::make_unique<transfer::Receiver>(options, world_.cluster().verifier, *own);
  at(1, [this, life = ++life_] {
    if (life != life_) return;
    transfer::Actions actions;
    receiver_->tick(now_us_, actions);
    perform(actions);
  });
}

void Transfer::crash() {
  if (receiver_->done()) return;
  ++crashes_;
  received_ += receiver_->received_bytes();
  lost_ += receiver_->received_bytes() - std::exchange(stored_, 0);
  start();
  if (setup_.crash_every_us != 0) at(setup_.crash_every_us, [this] { crash(); });
}

bool Transfer::run(std::uint64_t limit_us) {
  const std::uint64_t end = now_us_ + limit_us;
  while (!receiver_->done() && !receiver_->failure()) {
    const std::uint64_t next = events_.empty() ? ~std::uint64_t{0} : events_.begin()->first;
    const std::uint64_t due = std::min(next, receiver_->deadline());
    if (due > end) return false;
    now_us_ = std::max(now_us_, due);
    if (next == due) {
      const auto f = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      f();
      continue;
    }
    transfer::Actions actions;
    receiver_->tick(now_us_, actions);
    perform(actions);
    REQUIRE(receiver_->deadline() > now_us_);  // else it would turn for ever
  }
  return receiver_->done();
}

void Transfer::perform(transfer::Actions& actions) {
  if (const auto& target = receiver_->target()) targets_.insert(target->cert.body.seq);
  for (transfer::Action& action : actions) {
    if (auto* send = std::get_if<transfer::action::Send>(&action))
      at(latency(), [this, to = send->to, m = std::move(send->message)] { ask(to, m); });
    else
      write(std::move(std::get<transfer::action::Write>(action)));
  }
}

void Transfer::ask(messages::ReplicaId to, const FetchNodes& question) {
  Peer& peer = peers_.at(to);
  // Peers do not know of crashes: what comes back is for whoever is there then.
  FetchNodes asked = question;
  if (peer.behaviour == Behaviour::trickle) asked.levels = 0;
  auto answer = peer.source->answer(static_cast<messages::ReplicaId>(peers_.size()), asked,
                                    &*peer.newest, now_us_);
  REQUIRE_FALSE(peer.source->take_fault());
  if (answer) answer = bend(peer, question, std::move(*answer));
  if (!answer) return;
  const std::uint64_t extra = peer.behaviour == Behaviour::trickle ? 900'000 : 0;
  at(latency() + extra, [this, to, m = std::move(*answer)] {
    transfer::Actions actions;
    receiver_->on(to, m, now_us_, actions);
    perform(actions);
  });
}

std::optional<NodesData> Transfer::bend(Peer& peer, const FetchNodes& question, NodesData honest) {
  const World::State& newest = world_.newest();
  switch (peer.behaviour) {
    case Behaviour::silent: return std::nullopt;
    case Behaviour::flips_bits:
      for (auto& f : honest.fragments)
        if (!f.bytes.empty())
          f.bytes[rng_() % f.bytes.size()] ^= static_cast<std::uint8_t>(1U << rng_() % 8);
      break;
    case Behaviour::other_subtree:
      for (auto& f : honest.fragments) {
        tree::NodeCache cache;
        const tree::Version other =
            tree::test::applied(tree::Version::empty(),
                                {{Key(Bytes{1, 2, 3}), Bytes{static_cast<std::uint8_t>(rng_())}}});
        f.bytes = **tree::fragment(other, {{}, other.root_hash()}, {9, 999}, cache);
      }
      break;
    case Behaviour::redacts:
      for (std::size_t i = 0; i < honest.fragments.size(); ++i) {
        if (question.subtrees[i].bits != 0) continue;
        const tree::Recorder recorder(newest.version);
        newest.version.read_range(Key(), std::nullopt, [&](const Key& key, ByteView) {
          recorder.count(key);
          return false;
        });
        honest.fragments[i].bytes = *tree::prove(recorder);
      }
      break;
    case Behaviour::gone:
      for (auto& f : honest.fragments) f.bytes.clear();
      break;
    case Behaviour::empty: honest.fragments.clear(); break;
    case Behaviour::too_many:
      if (!question.subtrees.empty()) honest.fragments.resize(question.subtrees.size() + 1);
      break;
    case Behaviour::forged_target:
      if (honest.state) honest.state->cert.signatures[0][0] ^= 1;
      break;
    case Behaviour::mixed_target:
      if (honest.state) honest.state->header.batch_digest[5] ^= 1;
      break;
    default: break;
  }
  return honest;
}

void Transfer::write(transfer::action::Write write) {
  const std::size_t number = writes_++;
  at(1 + rng_() % 20'000, [this, number, life = life_, holds = receiver_->received_bytes(),
                           w = std::make_shared<transfer::action::Write>(std::move(write))] {
    if (life != life_) return;
    if (setup_.crash_before_write.contains(number)) return crash();
    transfer::Actions actions;
    if (setup_.failing_writes.contains(number)) {
      receiver_->not_written(now_us_, actions);
      return perform(actions);
    }
    auto writer = store_->begin();
    REQUIRE(writer);
    std::size_t records = 0;
    while (!*w->set.write_some(**writer, 1)) ++records;
    largest_write_ = std::max(largest_write_, records);
    Bytes meta = w->complete ? encode(*w->complete) : transfer::mixture_meta();
    if (w->restored) meta = encode(world_.state(*setup_.restore).state);
    auto snapshot = (*writer)->commit(w->set.root_record(), meta);
    REQUIRE(snapshot);
    stored_ = holds;
    if (setup_.crash_after_write.contains(number)) return crash();
    receiver_->written(w->set, *snapshot, now_us_, actions);
    perform(actions);
  });
}

void Transfer::load() {
  if (now_us_ - kBegin > setup_.load_until_us) return;
  world_.grow(setup_.load_updates, 10);
  const World::State s = world_.newest();
  for (Peer& peer : peers_)
    if (peer.behaviour != Behaviour::old_target)
      at(1 + rng_() % 30'000, [&peer, s] { peer.newest = transfer::Served{s.state, s.version}; });
  at(setup_.load_us, [this] { load(); });
}

void Transfer::check_store() const {
  REQUIRE(receiver_->done());
  const auto snapshot = store_->snapshot();
  REQUIRE(snapshot);
  CHECK((*snapshot)->meta() == encode(receiver_->state()));
  CHECK(receiver_->state().cert.body.seq >= floor_);
  check_holds(receiver_->state().cert.body);
}

void Transfer::check_holds(const messages::CertBody& body) const {
  const auto snapshot = store_->snapshot();
  REQUIRE(snapshot);
  CHECK_FALSE(transfer::is_mixture((*snapshot)->meta()));
  auto opened = tree::Version::open(*snapshot, {.pinned_nodes = 8});
  REQUIRE(opened);
  const Hash& cluster_id = world_.cluster().context.cluster_id;
  REQUIRE(opened->state_root(cluster_id, limits::kSmVersion) == body.state_root);
  REQUIRE(receiver_->version().root_hash() == opened->root_hash());
  const tree::Version& expected = world_.state(body.seq - 1).version;
  const auto fresh = stored(expected);  // reads all of it
  CHECK(store_->leaf_keys() == fresh->leaf_keys());
  CHECK(store_->node_ids() == fresh->node_ids());
  const auto copy = stored(*opened);  // reads and checks all of the store
  CHECK((*copy->snapshot())->root_record() == (*fresh->snapshot())->root_record());
}

}  // namespace bftmeta::test
