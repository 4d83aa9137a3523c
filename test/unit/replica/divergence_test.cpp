// What a replica leaves behind that computed another result than the certified one (T4.2).
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "config/identity.hpp"
#include "replica/divergence.hpp"
#include "replica/replica.hpp"
#include "support/free_ports.hpp"
#include "support/temp_dir.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using consensus::RecordKind;
using consensus::action::Diverged;
namespace fs = std::filesystem;

namespace {

template <class T>
T read_record(const std::string& path) {
  auto value = decode<T>(view(read_text(path)), "file of a bundle");
  REQUIRE_MESSAGE(value.has_value(), path);
  return std::move(*value);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool contains(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

// A state in whose memory one bit of one value has flipped.
class Flipped final : public tree::Reader {
 public:
  Flipped(const tree::Reader& state, Key key) : state_(state), key_(std::move(key)) {}
  tree::Found get(const Key& key, Bytes& value) const override {
    const tree::Found found = state_.get(key, value);
    if (key == key_ && found == tree::Found::value) value.back() ^= 0x10;
    return found;
  }
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override {
    return state_.scan(from, to, visit);
  }
  std::optional<std::uint64_t> count(const Key& prefix) const override {
    return state_.count(prefix);
  }

 private:
  const tree::Reader& state_;
  Key key_;
};

// A session and a file in it; the machine executed both batches, neither is certified.
struct Executing {
  Executing() {
    const Id16 s = world.open();
    world.run({world.bundle(0, s, 1, {World::make("a")})});
    for (const messages::ParsedBatch& batch : world.log()) {
      const auto outcome = machine.execute(batch);
      REQUIRE(outcome.has_value());
      d.own = outcome->body;
      d.header = outcome->header;
      d.batch = std::make_shared<messages::ParsedBatch>(batch);
    }
    messages::CertBody certified = d.own;
    certified.state_root[31] ^= 1;
    certified.time_us += 7;
    d.cert = world.cluster.certify(certified, world.cluster.quorum_bitmap());
    d.agreed_upto = d.own.seq - 2;
  }
  replica::TouchedLeaves leaves() const {
    const replica::Machine::Entry& entry = *machine.entry(machine.executed_seq());
    REQUIRE(entry.version.has_value());
    return {&entry.executed.touched, &*entry.version};
  }

  World world;
  replica::Machine machine{
      std::move(*Engine::from_genesis(world.cluster.genesis, world.cluster.verifier))};
  Diverged d;
};

// A cluster of four on free ports, and the data directory of replica 2, which lost its process.
struct OnDisk {
  static constexpr std::uint32_t kSelf = 2;

  OnDisk() {
    const auto ports = free_port_blocks(4, 4);
    REQUIRE(ports.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) cluster.genesis.config.replicas[i].port = ports[i];
    cluster.context = {cluster.genesis.cluster_id(), 0};
    settings.id = kSelf;
    settings.data_dir = temp / "data";
    settings.log_segment_bytes = config::kDevLogSegmentBytes;
    settings.log_retain_bytes = 2 * config::kDevLogSegmentBytes;
    settings.lmdb_map_bytes = config::kDevLmdbMapBytes;
    fs::create_directory(settings.data_dir);
    fs::permissions(settings.data_dir, fs::perms::owner_all);
    REQUIRE(config::create_identity(settings.data_dir + "/" + config::kIdentityFile,
                                    cluster.replicas[kSelf]->public_key())
                .has_value());
    engine.emplace(std::move(*Engine::from_genesis(cluster.genesis, cluster.verifier)));
    messages::Batch b;
    b.seq = 1;
    b.time_us = cluster.genesis.time_us + kSecond;
    const messages::SessionOpen open{
        cluster.clients[0]->public_key(), {1}, cluster.genesis.time_us + kHour};
    b.items.push_back(
        messages::sign_session_open(*cluster.clients[0], cluster.context.cluster_id, open));
    batch = *messages::parse_batch(cluster.context, std::move(b));
    executed = *engine->execute(batch);
  }

  // What a life before left in the log: the batch, that it was executed, and this certificate.
  void write_log(const messages::RootCert& cert) const {
    const Hash& cluster_id = cluster.context.cluster_id;
    auto directory = storage::DataDirectory::open(
        settings.data_dir, cluster.replicas[kSelf]->public_key(), cluster_id, kSelf);
    REQUIRE(directory.has_value());
    auto opened = storage::Log::open(
        storage::posix_file_system(), directory->log_path(),
        {.segment_bytes = settings.log_segment_bytes, .retain_bytes = settings.log_retain_bytes},
        directory->identity().log_secret, 0);
    REQUIRE(opened.has_value());
    storage::Log& log = *opened->log;
    log.set_state_provider([] {
      return storage::to_state_group(
          {{RecordKind::entered, 0, encode(consensus::EnteredRecord{}), std::nullopt}});
    });
    log.append(storage::to_log({RecordKind::body, 1, encode(batch.batch), batch.digest}));
    log.append(storage::to_log({RecordKind::executed, 1, encode(executed.header), std::nullopt}));
    log.append(storage::to_log({RecordKind::certificate, 1, encode(cert), std::nullopt}));
    REQUIRE(log.commit().has_value());
  }

  // A process on this directory: whatever a replica stands on.
  struct Process {
    replica::Setup setup;
    std::optional<storage::DataDirectory> directory;
    std::optional<replica::Membership> membership;
    std::unique_ptr<replica::Replica> replica;
  };
  Result<std::unique_ptr<Process>> start() const {
    auto process = std::make_unique<Process>();
    replica::Setup& setup = process->setup;
    setup.settings = settings;
    setup.genesis = cluster.genesis;
    const std::string name = "replica " + std::to_string(kSelf);
    setup.signer = test_signer(name);
    setup.link_key =
        crypto::link_key_from_secret(crypto::sha256(view("bftmeta test link key: " + name)));
    BFTMETA_ASSIGN(process->directory,
                   storage::DataDirectory::open(settings.data_dir, setup.signer->public_key(),
                                                cluster.genesis.cluster_id(), kSelf));
    BFTMETA_ASSIGN(process->membership,
                   replica::Membership::load(
                       storage::posix_file_system(), storage::epochs_path(settings.data_dir),
                       cluster.genesis, cluster.verifier, setup.signer->public_key()));
    BFTMETA_ASSIGN(process->replica,
                   replica::Replica::open(setup, *process->directory, *process->membership));
    return process;
  }

  TempDir temp;
  Cluster cluster{4};
  config::ReplicaSettings settings;
  std::optional<Engine> engine;
  messages::ParsedBatch batch;
  Executed executed;
};

}  // namespace

TEST_CASE_FIXTURE(OnDisk, "T4.2 a replica that contradicts a certificate leaves a bundle, once") {
  messages::CertBody certified = executed.body;
  certified.state_root[0] ^= 1;
  const messages::RootCert cert = cluster.certify(certified, cluster.quorum_bitmap());
  write_log(cert);
  const std::string bundle = settings.data_dir + "/divergence-1";
  CHECK_FALSE(fs::exists(bundle));

  auto started = start();
  REQUIRE_MESSAGE(started.has_value(), started.error().message);
  CHECK(contains((*started)->replica->condition(), "out of service"));
  CHECK(contains((*started)->replica->condition(), "fetching the state"));
  started->reset();

  CHECK(read_record<messages::RootCert>(bundle + "/certificate") == cert);
  CHECK(read_record<messages::CertBody>(bundle + "/own-body") == executed.body);
  CHECK(read_record<messages::BatchHeader>(bundle + "/header") == executed.header);
  CHECK(read_record<messages::Batch>(bundle + "/batch") == batch.batch);
  CHECK_FALSE(fs::exists(bundle + "/agreed-header"));
  const std::string leaves = read_text(bundle + "/touched-leaves.txt");
  CHECK(lines_of(leaves).size() >= 3);  // the session, its owner, the counters
  CHECK(leaves == replica::touched_leaves_text({&executed.touched, &engine->version()}));
  CHECK(contains(read_text(bundle + "/summary.txt"), "state_root differs"));

  // Started again it knows, does not try its log once more, and what was kept stays.
  write_text(bundle + "/touched-leaves.txt", "of the first time");
  started = start();
  REQUIRE(started.has_value());
  CHECK(contains((*started)->replica->condition(), "out of service"));
  CHECK((*started)->replica->executed_seq() == 0);
  CHECK(read_text(bundle + "/touched-leaves.txt") == "of the first time");
}

TEST_CASE_FIXTURE(OnDisk, "a replica that agrees with the certificate leaves none") {
  write_log(cluster.certify(executed.body, cluster.quorum_bitmap()));
  const auto started = start();
  REQUIRE_MESSAGE(started.has_value(), started.error().message);
  CHECK((*started)->replica->executed_seq() == 1);
  CHECK_FALSE(fs::exists(settings.data_dir + "/divergence-1"));
}

TEST_CASE_FIXTURE(Executing, "the summary names what differs, with both values, and what to do") {
  const std::string text = replica::divergence_summary(d);
  CHECK(contains(text, "sequence number " + std::to_string(d.own.seq)));
  CHECK(contains(text,
                 "one of " + std::to_string(d.own.seq - 1) + " to " + std::to_string(d.own.seq)));
  CHECK(contains(text, "state_root differs\n    own: " + to_hex(d.own.state_root) +
                           "\n    certified: " + to_hex(d.cert->body.state_root)));
  CHECK(contains(text, "time_us differs"));
  CHECK_FALSE(contains(text, "history_hash differs"));
  CHECK_FALSE(contains(text, "reply_root differs"));
  CHECK(contains(text, to_hex(d.batch->digest)));
  CHECK(contains(text, "replicas 0,1,2"));
  CHECK(contains(text, "What to do"));

  Diverged by_header = d;
  by_header.agreed_upto = d.own.seq - 1;
  by_header.cert.reset();
  by_header.agreed_header = d.header;
  by_header.agreed_header->reply_count += 1;
  const std::string other = replica::divergence_summary(by_header);
  CHECK(contains(other, "the first wrong batch is this one"));
  CHECK(contains(other, "reply_count differs"));
  CHECK_FALSE(contains(other, "state_root differs"));

  Diverged by_shares = d;
  by_shares.cert.reset();
  for (const messages::ReplicaId r : {1U, 3U})
    by_shares.shares.push_back(messages::sign_share(*world.cluster.replicas[r], d.cert->body, r));
  const std::string third = replica::divergence_summary(by_shares);
  CHECK(contains(third, "replicas 1,3"));
  CHECK(contains(third, "state_root differs\n    own: " + to_hex(d.own.state_root) +
                            "\n    theirs: " + to_hex(d.cert->body.state_root)));
  CHECK_FALSE(contains(third, "signed by replicas"));
}

TEST_CASE_FIXTURE(Executing, "touched leaves: all that the batch wrote, sorted, to be compared") {
  const replica::TouchedLeaves mine = leaves();
  const std::string text = replica::touched_leaves_text(mine);
  const std::vector<std::string> all = lines_of(text);
  REQUIRE(all.size() == mine.keys->size());
  CHECK(std::ranges::is_sorted(all));
  // Every leaf that differs between the states before and after is in it.
  std::size_t changed = 0;
  const tree::Version& before = *machine.entry(d.own.seq - 1)->version;
  REQUIRE(mine.after->scan(Key{}, std::nullopt, [&](const Key& key, ByteView value) {
    Bytes old;
    if (before.get(key, old) == tree::Found::value && equal(old, value)) return true;
    ++changed;
    CHECK(contains(text, to_hex(key) + " "));
    CHECK(contains(text, " " + to_hex(value) + "\n"));
    return true;
  }));
  CHECK(changed > 2);

  // A bit flip is one line of diff(1).
  const Key damaged = (*mine.keys)[all.size() / 2];
  const Flipped flipped(*mine.after, damaged);
  const auto theirs = lines_of(replica::touched_leaves_text({mine.keys, &flipped}));
  REQUIRE(theirs.size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    INFO(all[i]);
    CHECK((all[i] != theirs[i]) == all[i].starts_with(to_hex(damaged) + " "));
  }

  const auto cut = lines_of(replica::touched_leaves_text(mine, 1));
  REQUIRE(cut.size() == 2);
  CHECK(cut[1] == "cut: " + std::to_string(all.size() - 1) + " more leaves");
  CHECK(contains(replica::touched_leaves_text({}), "not known"));
}

TEST_CASE_FIXTURE(Executing, "what a batch removed is named, and nothing is kept once certified") {
  const Id16 s = world.open();
  world.run({world.bundle(0, s, 1, {schema::CloseSession{}})});
  for (std::size_t i = machine.executed_seq(); i < world.log().size(); ++i)
    REQUIRE(machine.execute(world.log()[i]).has_value());
  const messages::Seq seq = machine.executed_seq();
  const replica::Machine::Entry& entry = *machine.entry(seq);
  CHECK(contains(replica::touched_leaves_text({&entry.executed.touched, &*entry.version}),
                 " removed\n"));
  CHECK_FALSE(machine.entry(seq - 1)->executed.touched.empty());
  REQUIRE(machine.take_version(seq).has_value());
  CHECK(machine.entry(seq)->executed.touched.empty());
  CHECK(machine.entry(seq - 1)->executed.touched.empty());
}

TEST_CASE_FIXTURE(Executing,
                  "T4.2 what was executed is no state of a certificate that it contradicts") {
  const auto certified = [this](messages::CertBody body) {
    return world.cluster.certify(body, world.cluster.quorum_bitmap());
  };
  // The newest batch, and one before it.
  for (const messages::Seq seq : {d.own.seq, d.own.seq - 1}) {
    CAPTURE(seq);
    messages::CertBody body = machine.entry(seq)->executed.body;
    const auto state = machine.certified_state(certified(body));
    REQUIRE(state.has_value());
    CHECK(messages::verify_certified_state(world.cluster.verifier, world.cluster.context.cluster_id,
                                           world.cluster.config(), *state)
              .has_value());
    CHECK_FALSE(machine.contradicts(certified(body)));
    body.state_root[0] ^= 1;
    CHECK_FALSE(machine.certified_state(certified(body)).has_value());
    CHECK(machine.contradicts(certified(body)));
  }
  messages::CertBody later = d.own;  // not executed here yet: nothing speaks against it
  later.seq += 1;
  CHECK_FALSE(machine.certified_state(certified(later)).has_value());
  CHECK_FALSE(machine.contradicts(certified(later)));
}

TEST_CASE_FIXTURE(Executing, "a few bundles are kept, and a disk that refuses stops nothing") {
  TempDir temp;
  storage::FileSystem& disk = storage::posix_file_system();
  for (std::size_t i = 0; i <= replica::kMaxDivergences; ++i) {
    d.own.seq = 10 + i;
    replica::keep_divergence(disk, temp.path(), d, leaves());
    CHECK(fs::exists(temp / "divergence-" + std::to_string(10 + i) + "/summary.txt") ==
          (i < replica::kMaxDivergences));
  }
  // One that a crash cut short is written again.
  fs::remove(temp / "divergence-10/summary.txt");
  d.own.seq = 10;
  replica::keep_divergence(disk, temp.path(), d, leaves());
  CHECK(fs::exists(temp / "divergence-10/summary.txt"));

  replica::keep_divergence(disk, temp / "no such directory", d, leaves());
  CHECK_FALSE(fs::exists(temp / "no such directory"));
}
