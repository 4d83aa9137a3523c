// Three bftmetad and one bftmetad-evil: for each strategy the liar really lies, and nobody believes
// it.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "support/create_load.hpp"
#include "support/process_cluster.hpp"
#include "support/run.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using test::CreateLoad;
using test::ProcessCluster;

namespace {

class EvilCluster {
 public:
  EvilCluster(std::uint32_t evil, const std::string& strategy) : cluster(BFTMETAD), evil_(evil) {
    for (std::uint32_t r = 0; r < cluster.n(); ++r)
      if (r == evil)
        cluster.launch(r, BFTMETAD_EVIL, {"--strategy", strategy});
      else
        cluster.launch(r);
    for (std::uint32_t r = 0; r < cluster.n(); ++r) cluster.wait_serving(r);
  }

  // How often it says that it has lied; it is stopped.
  std::uint64_t lies() {
    std::string output;
    CHECK(cluster.stop(evil_, &output) == 0);
    const std::size_t at = output.find("lies: ");
    REQUIRE_MESSAGE(at != std::string::npos, output);
    return std::stoull(output.substr(at + 6));
  }

  // All correct replicas come to certify one and the same newest state.
  void check_no_fork() {
    const auto client = cluster.client_options(1);
    std::set<messages::Seq> seqs;
    std::vector<messages::CertBody> bodies;
    for (const auto until = std::chrono::steady_clock::now() + 20s;
         std::chrono::steady_clock::now() < until;) {
      seqs.clear();
      bodies.clear();
      for (std::uint32_t r = 0; r < cluster.n(); ++r) {
        if (r == evil_) continue;
        const auto cert = test::certificate_of(client, r, 5s);
        if (!cert) continue;
        seqs.insert(cert->body.seq);
        bodies.push_back(cert->body);
      }
      if (bodies.size() == cluster.n() - 1 && seqs.size() == 1) break;
    }
    REQUIRE(bodies.size() == cluster.n() - 1);
    REQUIRE(seqs.size() == 1);
    for (const messages::CertBody& body : bodies) CHECK(body == bodies.front());
  }

  ProcessCluster cluster;

 private:
  const std::uint32_t evil_;
};

// Faults that a client saw. Shared with its thread.
struct Faults {
  mutable std::mutex mutex;
  std::vector<client::Fault> seen;

  std::vector<client::Fault> all() const {
    const std::lock_guard lock(mutex);
    return seen;
  }
};

// Everything works although the liar is there, and no answer is wrong.
void check_service(EvilCluster& e, std::size_t creates) {
  const auto client = e.cluster.open(0);
  CreateLoad load(*client, "f", 16);
  CHECK(load.wait_acknowledged(creates, 28s));
  load.stop();
  for (const std::string& failure : load.failures()) FAIL_CHECK(failure);
  CHECK(test::missing(*client, load.acknowledged()).empty());
  const auto none = client->read({test::stat_file("never made")});
  REQUIRE(none.has_value());
  CHECK(none->answers.at(0).code == schema::Code::no_entry);
}

// One client after the other writes and reads its own writes, until one has caught a lie of
// replica `evil` (each asks a replica of its own choice).
void check_caught(EvilCluster& e, std::uint32_t evil) {
  constexpr int kMostClients = 60;
  bool caught = false;
  for (int i = 0; i < kMostClients && !caught; ++i) {
    auto faults = std::make_shared<Faults>();
    auto options = e.cluster.client_options(0);
    options.on_fault = [faults](const client::Fault& fault) {
      const std::lock_guard lock(faults->mutex);
      faults->seen.push_back(fault);
    };
    const auto client = e.cluster.open(std::move(options));
    for (int k = 0; k < 3; ++k) {
      const std::string name = "c" + std::to_string(i) + "-" + std::to_string(k);
      const auto made = client->execute(test::create_file(name));
      REQUIRE_MESSAGE(made.has_value(), made.error().message);
      REQUIRE(made->code == schema::Code::ok);
      const auto read = client->read({test::stat_file(name), test::stat_file(name + "-not")});
      REQUIRE_MESSAGE(read.has_value(), read.error().message);
      CHECK(read->answers.at(0).code == schema::Code::ok);
      CHECK(read->answers.at(1).code == schema::Code::no_entry);
    }
    std::ignore = client->close();
    for (const client::Fault& fault : faults->all()) {
      CAPTURE(fault.why);
      CHECK(fault.replica == evil);
      CHECK_FALSE(fault.why.empty());
      CHECK(fault.why.find('\n') == std::string::npos);
      CHECK_FALSE(fault.evidence.empty());
      caught = true;
    }
  }
  CHECK(caught);
}

// Replica `keeper` comes to hold proof that `accused` signed two proposals.
void check_evidence(EvilCluster& e, std::uint32_t keeper, std::uint32_t accused) {
  CAPTURE(keeper);
  const auto client = e.cluster.open(1);
  const auto& genesis = e.cluster.genesis();
  std::optional<messages::Accusation> found;
  for (const auto until = std::chrono::steady_clock::now() + 20s;
       !found && std::chrono::steady_clock::now() < until;) {
    const auto reply = client->evidence(keeper, 0, 2s);
    if (reply && reply->kept) {
      const auto judged = messages::judge(crypto::Ed25519Verifier(),
                                          crypto::Context{genesis.cluster_id(), reply->kept->epoch},
                                          genesis.config, reply->kept->evidence);
      REQUIRE_MESSAGE(judged.has_value(), judged.error().message);
      found = *judged;
    }
    std::this_thread::sleep_for(50ms);
  }
  REQUIRE(found.has_value());
  CHECK(found->replica == accused);
  CHECK(found->offence == messages::Offence::two_proposals);
  CHECK(e.cluster.running(keeper));
  const auto file = e.cluster.settings(keeper).data_dir + "/evidence/epoch-0-replica-" +
                    std::to_string(accused) + "-two-proposals.evidence";
  CHECK(std::filesystem::exists(file));
  // Shown once nothing worse is: right after a start, that it does not vote yet.
  const std::string shown = "evidence against replica " + std::to_string(accused);
  std::string condition;
  for (const auto until = std::chrono::steady_clock::now() + 20s;
       condition.find(shown) == std::string::npos && std::chrono::steady_clock::now() < until;
       std::this_thread::sleep_for(50ms)) {
    const auto status = client->status(keeper, 5s);
    REQUIRE(status.has_value());
    condition = status->condition;
  }
  CAPTURE(condition);
  CHECK(condition.find(shown) != std::string::npos);
}

test::RunResult bftadm(const EvilCluster& e, std::vector<std::string> args) {
  args.insert(args.begin(), {BFTADM, "--config", e.cluster.client_toml(0), "-o", "json"});
  return test::run(args, "", 100s);
}
nlohmann::json answer(const EvilCluster& e, const std::vector<std::string>& args) {
  const test::RunResult r = bftadm(e, args);
  INFO(args[1], ": ", r.err);
  REQUIRE(r.exit_code == 0);
  return nlohmann::json::parse(r.out);
}
void check_none(const EvilCluster& e, const std::vector<std::string>& args) {
  const test::RunResult r = bftadm(e, args);
  CAPTURE(r.err);
  CHECK(r.exit_code == static_cast<int>(exit_code_of(Errc::not_found)));
  CHECK(r.out.empty());
  CHECK(r.err.starts_with("bftadm: evidence: nobody who answers keeps any against replica "));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
}

// What bftadm says of replica 0, which proposed two batches in epoch 0; it is `today` now.
nlohmann::json check_listed(const EvilCluster& e, const std::vector<std::string>& command,
                            const std::string& today, const std::string& kept_by) {
  const nlohmann::json said = answer(e, command);
  for (const nlohmann::json& row : said.at("evidence")) {
    if (row.at("offence") != "two-proposals") continue;
    CHECK(row.at("epoch") == 0);
    CHECK(row.at("replica") == 0);
    CHECK(row.at("replica_today") == today);
    CHECK((row.at("kept_by") == kept_by || row.at("kept_by") == "0," + kept_by));  // the liar, too
    return said;
  }
  FAIL("no two-proposals");
  return {};
}

void check_bftadm_evidence(const EvilCluster& e, const std::string& today,
                           const std::string& kept_by) {
  CAPTURE(today);
  const std::string key = to_hex(e.cluster.card(0).vote_key);
  check_listed(e, {"evidence", "list"}, today, kept_by);
  const nlohmann::json shown =
      check_listed(e, {"evidence", "show", "0", "two-proposals"}, today, kept_by);
  REQUIRE(shown.at("total") == 1);
  const nlohmann::json& accusation = shown.at("evidence")[0];
  CHECK(accusation.at("vote_key") == key);
  const nlohmann::json& statements = shown.at("statements");
  REQUIRE(statements.size() == 2);
  for (const nlohmann::json& s : statements) {
    CHECK(s.at("kind") == "PRE-PREPARE");
    CHECK(s.at("signed_by") == "0");
    CHECK(s.at("seq") == accusation.at("seq"));
    CHECK(s.at("view") == accusation.at("view"));
  }
  CHECK(statements[0].at("digest") != statements[1].at("digest"));
  check_none(e, {"evidence", "show", "0", "--epoch", "1"});
  check_none(e, {"evidence", "show", "3"});
  check_none(e, {"evidence", "show", "0", "malformed-new-view"});

  const std::string out = e.cluster.dir() / ("exported-" + today);
  answer(e, {"evidence", "export", out});
  const nlohmann::json verified =
      answer(e, {"evidence", "verify", out + "/epoch-0-replica-0-two-proposals.evidence",
                 "--genesis", e.cluster.dir() / "genesis.toml"});
  CHECK(verified.at("verified") == true);
  CHECK(verified.at("epoch") == 0);
  CHECK(verified.at("vote_key") == key);
  CHECK(verified.at("statements") == statements);
}

// A new replica takes the place, and the number, of this one; those at 1, 2 and 3 are in its epoch.
void replace(EvilCluster& e, client::Client& client, std::uint32_t id) {
  const std::uint32_t next = e.cluster.add_replica();
  e.cluster.launch(next);
  REQUIRE(e.cluster.child(next).wait_for_output("learns", 20s));
  answer(e, {"replica", "replace", std::to_string(id), e.cluster.replica_dir(next) + "/card.toml"});
  REQUIRE(client.execute(test::create_file("behind " + std::to_string(id))).has_value());
  const auto root = client.root();
  REQUIRE(root.has_value());
  for (const std::uint32_t r : {1U, 2U, 3U})
    REQUIRE(test::catches_up(client, r, root->body.seq, 20s));
}

}  // namespace

TEST_CASE("forged-proof: refused, named, and another replica serves") {
  EvilCluster e(1, "forged-proof");
  check_caught(e, 1);
  check_service(e, 100);
  CHECK(e.lies() > 0);
}

TEST_CASE("stale-root: refused below what the client has seen; it reads its own writes") {
  EvilCluster e(2, "stale-root");
  const auto first = e.cluster.open(0)->execute(test::create_file("first"));
  REQUIRE(first.has_value());
  // What it answers for ever after is its first answer with a root in it.
  REQUIRE(test::certificate_of(e.cluster.client_options(1), 2, 20s).has_value());
  check_caught(e, 2);
  check_service(e, 100);
  CHECK(e.lies() > 0);
}

TEST_CASE("silent-primary: the view changes and every operation completes") {
  EvilCluster e(0, "silent-primary");
  check_service(e, 100);
  const auto client = e.cluster.open(1);
  const auto status = client->status(1, 5s);
  REQUIRE(status.has_value());
  CHECK(status->view > 0);
  CHECK(e.lies() > 0);
}

TEST_CASE("equivocating-primary: no fork, and every operation completes") {
  EvilCluster e(0, "equivocating-primary");
  check_service(e, 100);
  e.check_no_fork();
  // Whoever of the others found out, all of them hold the proof, and keep it over a restart.
  for (const std::uint32_t r : {1U, 2U, 3U}) check_evidence(e, r, 0);
  CHECK(e.cluster.stop(2) == 0);
  e.cluster.start(2);
  check_evidence(e, 2, 0);
  check_bftadm_evidence(e, "0", "1,2,3");
  CHECK(e.lies() > 0);

  // Others come and go; who joins is told of no epoch that it was not in.
  const auto client = e.cluster.open(1);
  const auto accused = [&] {
    const auto status = client->status(1, 5s);
    return status && status->condition.find("evidence against replica 0") != std::string::npos;
  };
  replace(e, *client, 3);
  check_listed(e, {"evidence", "list"}, "0", "1,2");
  CHECK(accused());
  // Another replica takes the liar's number; the proof stays what it was.
  replace(e, *client, 0);
  check_bftadm_evidence(e, "none", "1,2");
  CHECK_FALSE(accused());
}

TEST_CASE("no-shares, wrong-shares, broken-prepares: the other three are enough") {
  for (const char* strategy : {"no-shares", "wrong-shares", "broken-prepares"}) {
    CAPTURE(strategy);
    EvilCluster e(3, strategy);
    // It takes part from the first batch of the load on, and not only catches up: it has been told
    // that it may vote, and holds a root.
    REQUIRE(e.cluster.open(0)->execute(test::create_file("first")).has_value());
    REQUIRE(test::certificate_of(e.cluster.client_options(1), 3, 20s).has_value());
    check_service(e, 100);
    e.check_no_fork();
    CHECK(e.lies() > 0);
  }
}

// One that bends every field, one that speaks unasked all the time.
TEST_CASE("mutated, replayer: as the first primary, without a fork") {
  for (const char* strategy : {"mutated", "replayer"}) {
    CAPTURE(strategy);
    EvilCluster e(0, strategy);
    check_service(e, 100);
    e.check_no_fork();
    CHECK(e.lies() > 0);
  }
}

TEST_CASE("an unknown strategy is refused in one line; bftmetad itself knows no strategy") {
  ProcessCluster cluster(BFTMETAD);
  for (const char* program : {BFTMETAD_EVIL, BFTMETAD}) {
    CAPTURE(program);
    test::Child& child = cluster.launch(0, program, {"--strategy", "kindness"});
    CHECK(child.wait_exit(10s) == 2);
    const std::string errors = cluster.errors(0);
    INFO(errors);
    CHECK(errors.find("strategy") != std::string::npos);
    cluster.kill(0);
  }
}

TEST_CASE("no program outside test/ is built from the adversary's room") {
  std::size_t looked_at = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOURCE_ROOT)) {
    const std::string path = entry.path().lexically_relative(SOURCE_ROOT).string();
    if (entry.path().filename() != "meson.build" || path.starts_with("test/") ||
        path.starts_with("build/"))
      continue;
    ++looked_at;
    const std::string text = test::read_text(entry.path().string());
    CAPTURE(path);
    CHECK(text.find("adversary") == std::string::npos);
    CHECK(text.find("evil") == std::string::npos);
  }
  CHECK(looked_at > 10);
  const std::string top = test::read_text(std::string(SOURCE_ROOT) + "/meson.build");
  CHECK(top.find("if get_option('tests')\n  subdir('test')\nendif") != std::string::npos);
}
