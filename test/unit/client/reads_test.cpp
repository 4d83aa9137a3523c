#include <doctest/doctest.h>

#include "fake_cluster.hpp"
#include "verify/proof_file.hpp"

using namespace bftmeta;
using namespace bftmeta::client;
using namespace bftmeta::client::testing;
using schema::Code;

namespace {

ReplicaId reader(const Harness& h) { return h.cluster.reads.back().first; }

}  // namespace

TEST_CASE("reads are proven, also that something is not there") {
  Harness h;
  h.execute(make_file("a"));
  const auto r = h.read({path("a"), path("b"), path("")});
  REQUIRE(r);
  CHECK(r->seq == h.cluster.seq());
  REQUIRE(inode(r) != nullptr);
  CHECK(inode(r)->attributes.mode == 0644);
  CHECK(r->answers[1].code == Code::no_entry);
  CHECK(inode(r, 2)->ino == schema::kRootIno);
  CHECK(h.faults.empty());
}

TEST_CASE("a client reads its own writes, from any replica") {
  Harness h;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "f" + std::to_string(i);
    REQUIRE(h.execute(make_file(name)));
    CHECK(inode(h.read({path(name)})) != nullptr);
    CHECK(h.cluster.reads.back().second.min_seq == h.cluster.seq());
  }
}

TEST_CASE("T6.4 what was proven absent is not believed absent behind the own create") {
  Harness h;
  h.execute(make_file("a"));
  const auto before = h.read({path("b")});
  REQUIRE(before);
  REQUIRE(before->answers[0].code == Code::no_entry);
  REQUIRE(h.execute(make_file("b")));
  // All but one go on proving that it is absent, at the root where it was.
  h.all([&](Behaviour& b) { b.reads_at = before->seq; });
  h.cluster.replica(reader(h)).reads_at.reset();
  for (int i = 0; i < 10; ++i) CHECK(inode(h.read({path("b")})) != nullptr);
  // Nobody has a newer root: no answer rather than that one.
  h.all([&](Behaviour& b) { b.reads_at = before->seq; });
  CHECK_FALSE(h.read({path("b")}));
}

TEST_CASE("an answer to the last client with this key is not taken for a lie") {
  Harness h;
  h.execute(make_file("a"));
  h.execute(make_file("b"));
  const auto start = [&](std::uint64_t seed) {
    h.engine = std::make_unique<Engine>(h.options, h.cluster.keys.verifier, h.cluster, seed);
  };
  for (std::uint64_t seed = 100; seed < 120; ++seed) {
    CAPTURE(seed);
    start(seed);
    std::optional<Result<ReadResult>> lost;
    h.begin_read(path("a"), ReadMode::verified, lost);
    h.run_for(1);  // asked, not answered
    start(1000 + seed);
    CHECK(inode(h.read({path("b")})) != nullptr);
    CHECK_FALSE(lost);
  }
  CHECK(h.faults.empty());
}

TEST_CASE("reads that wait share one message") {
  Harness h;
  h.execute(make_file("a"));
  h.cluster.reads.clear();
  std::size_t done = 0;
  for (int i = 0; i < 50; ++i)
    h.engine->read(
        {{root_user(), path("a")}}, ReadMode::verified,
        [&](const Result<ReadResult>& r) {
          CHECK(inode(r) != nullptr);
          ++done;
        },
        h.cluster.now);
  REQUIRE(h.run([&] { return done == 50; }));
  CHECK(h.cluster.reads.size() == 1);
}

TEST_CASE("a lie is refused and reported, and another replica serves") {
  Harness h;
  h.execute(make_file("a"));
  for (int i = 0; i < 5; ++i) h.execute(make_file("more" + std::to_string(i)));
  REQUIRE(h.read({path("a")}));
  Behaviour& liar = h.cluster.replica(reader(h));
  SUBCASE("a flipped bit in the proof") {
    liar.read_lie = [](messages::ReadReply& r) { r.proof[r.proof.size() / 2] ^= 4; };
  }
  SUBCASE("a stale root, below what the client has seen") { liar.reads_at = h.cluster.seq() - 1; }
  SUBCASE("a proof of an older root under the newest certificate") {
    liar.read_lie = [&h](messages::ReadReply& r) {
      const tree::Recorder recorder(h.cluster.version(h.cluster.seq() - 2));
      ns::evaluate(recorder, {root_user(), path("a")}, h.cluster.keys.clients[0]->public_key());
      r.proof = *tree::prove(recorder);
    };
  }
  SUBCASE("a proof of something else") {
    liar.read_twist = [](messages::Read& r) { r.queries = {{root_user(), path("nothing")}}; };
  }
  SUBCASE("a certificate with f + 1 signatures") {
    liar.read_lie = [&h](messages::ReadReply& r) {
      r.seq += 1;
      auto body = h.cluster.cert(r.seq - 1).body;
      body.seq = r.seq;
      r.cert = h.cluster.keys.certify(body, 0b11);
    };
  }
  SUBCASE("a certificate of another number") {
    liar.read_lie = [&h](messages::ReadReply& r) {
      r.cert = h.cluster.cert(r.seq);
      r.seq += 1;
    };
  }
  const ReplicaId who = reader(h);
  REQUIRE((liar.read_lie || liar.reads_at || liar.read_twist));
  CHECK(inode(h.read({path("a")})) != nullptr);
  REQUIRE(h.faults.size() == 1);
  CHECK(h.faults.front().replica == who);
  CHECK_FALSE(h.faults.front().evidence.empty());
  // Not asked again for ten minutes, honest or not.
  h.cluster.reads.clear();
  for (int i = 0; i < 20; ++i) CHECK(inode(h.read({path("a")})) != nullptr);
  for (const auto& [to, read] : h.cluster.reads) CHECK(to != who);
}

TEST_CASE("a truncated listing is not complete, whatever its root") {
  Harness h;
  for (int i = 0; i < 40; ++i) h.execute(make_file("f" + std::to_string(i)));
  const schema::ListDirectory list{schema::kRootIno, 0, 100, false};
  REQUIRE(h.read({path("")}));
  Behaviour& liar = h.cluster.replica(reader(h));
  liar.read_twist = [](messages::Read& r) {
    if (auto* l = std::get_if<schema::ListDirectory>(&r.queries.front().body)) l->max_entries = 10;
  };
  const auto r = h.read({list});
  REQUIRE(r);
  const auto* page = std::get_if<ns::DirectoryPage>(&r->answers.front().answer);
  REQUIRE(page != nullptr);
  CHECK(page->entries.size() == 40);
  CHECK(page->eof);
  CHECK(h.faults.size() == 1);
}

TEST_CASE("a late replica is hedged, a silent one is left") {
  Harness h;
  h.execute(make_file("a"));
  for (int i = 0; i < 30; ++i) REQUIRE(h.read({path("a")}));
  const ReplicaId slow = reader(h);
  SUBCASE("late") { h.cluster.replica(slow).delay = 140'000; }
  SUBCASE("silent") { h.cluster.replica(slow).silent = true; }
  const Micros before = h.cluster.now.mono;
  CHECK(inode(h.read({path("a")})) != nullptr);
  CHECK(h.cluster.now.mono - before < 20'000);
  CHECK(h.faults.empty());
  h.run_for(500'000);
  h.cluster.reads.clear();
  CHECK(inode(h.read({path("a")})) != nullptr);
  if (h.cluster.replica(slow).silent) CHECK(reader(h) != slow);
}

TEST_CASE("a replica that is behind is not a liar") {
  Harness h;
  h.execute(make_file("a"));
  REQUIRE(h.read({path("a")}));
  h.cluster.replica(reader(h)).read_lie = [](messages::ReadReply& r) {
    r.status = messages::ReadStatus::too_old;
    r.proof.clear();
  };
  CHECK(inode(h.read({path("a")})) != nullptr);
  CHECK(h.faults.empty());
}

TEST_CASE("of a cluster that has executed nothing a read says so, soon") {
  Harness h;
  const Micros before = h.cluster.now.mono;
  SUBCASE("a quorum says that it holds nothing") {
    h.cluster.replica(1).silent = true;
    const auto r = h.read({path("a")});
    REQUIRE_FALSE(r);
    CHECK(r.error().code == Errc::not_found);
    CHECK(h.cluster.now.mono - before < 5'000'000);
    CHECK(h.faults.empty());
  }
  SUBCASE("no quorum does: the others may hold something") {
    h.cluster.replica(1).silent = true;
    h.cluster.replica(2).silent = true;
    const auto r = h.read({path("a")});
    REQUIRE_FALSE(r);
    CHECK(r.error().code == Errc::unreachable);
  }
  SUBCASE("it is empty for a moment only") {
    std::optional<Result<ReadResult>> read;
    h.begin_read(path(""), ReadMode::verified, read);
    h.run_for(1'000'000);
    CHECK_FALSE(read);
    REQUIRE(h.execute(make_file("a")));
    h.run_for(1'000'000);
    REQUIRE(read);
    CHECK(*read);
  }
}

TEST_CASE("when all replicas lie the answer is an error, not a guess") {
  Harness h;
  h.execute(make_file("a"));
  h.all([](Behaviour& b) { b.read_lie = [](messages::ReadReply& r) { r.proof.push_back(0); }; });
  const auto r = h.read({path("a")});
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::unverified);
  CHECK(h.faults.size() == 4);
}

TEST_CASE("when nobody answers the read fails in time and does not flood") {
  Harness h;
  h.execute(make_file("a"));
  h.all([](Behaviour& b) { b.silent = true; });
  h.cluster.reads.clear();
  const Micros before = h.cluster.now.mono;
  const auto r = h.read({path("a")});
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::unreachable);
  CHECK(h.cluster.now.mono - before < 10'300'000);
  CHECK(h.cluster.reads.size() < 60);
  h.all([](Behaviour& b) { b.silent = false; });
  CHECK(inode(h.read({path("a")})) != nullptr);
}

TEST_CASE("a proof that is too large: reads are parted, a single one fails when f + 1 say so") {
  Harness h;
  h.execute(make_file("a"));
  const auto too_large_if = [](std::size_t above) {
    return [above](messages::ReadReply& r) {
      if (r.proof.size() > above) {
        r.status = messages::ReadStatus::too_large;
        r.proof.clear();
      }
    };
  };
  REQUIRE(h.read({path("a")}));
  std::size_t small = 0;
  h.all([&](Behaviour& b) {
    b.read_lie = [&small](messages::ReadReply& r) { small = std::max(small, r.proof.size()); };
  });
  REQUIRE(h.read({path("a")}));
  h.all([&](Behaviour& b) { b.read_lie = too_large_if(small); });
  std::size_t done = 0;
  for (int i = 0; i < 10; ++i)
    h.engine->read(
        {{root_user(), path(i == 0 ? "a" : "absent" + std::to_string(i))}}, ReadMode::verified,
        [&](const Result<ReadResult>&) { ++done; }, h.cluster.now);
  REQUIRE(h.run([&] { return done == 10; }));
  h.all([&](Behaviour& b) { b.read_lie = too_large_if(0); });
  const auto r = h.read({path("a")});
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::limit);
}

TEST_CASE("a restarted client does not believe roots that are older than what it had seen") {
  Harness h;
  for (int i = 0; i < 5; ++i) h.execute(make_file("f" + std::to_string(i)));
  const Bytes saved = h.engine->certificates().save();
  const Seq seen = h.cluster.seq();
  h.engine = std::make_unique<Engine>(h.options, h.cluster.keys.verifier, h.cluster, 7);
  REQUIRE(h.engine->restore(saved, h.cluster.now));
  h.all([&](Behaviour& b) { b.reads_at = seen - 1; });
  const auto r = h.read({path("f4")});
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::unverified);
}

TEST_CASE("a frame that does not decode is a fault too") {
  Harness h;
  h.execute(make_file("a"));
  h.engine->on_frame(2, to_bytes(std::string_view("garbage")), h.cluster.now);
  h.run_for(1000);
  REQUIRE(h.faults.size() == 1);
  CHECK(h.faults.front().replica == 2);
}

TEST_CASE("a proof made for a file verifies with the genesis alone") {
  Harness h;
  h.execute(make_file("a"));
  std::optional<Result<Bytes>> file;
  schema::Target target;
  SUBCASE("of what exists") { target.path.push_back({to_bytes(std::string_view("a"))}); }
  SUBCASE("of what does not") { target.path.push_back({to_bytes(std::string_view("no"))}); }
  SUBCASE("of the root directory") {}
  h.engine->prove(
      root_user(), target, [&](Result<Bytes> r) { file = std::move(r); }, h.cluster.now);
  REQUIRE(h.run([&] { return file.has_value(); }));
  REQUIRE(*file);
  const auto proof = verify::verify_proof_file(
      h.cluster.keys.verifier, verify::TrustAnchor::of(h.cluster.keys.genesis), **file);
  REQUIRE(proof);
  CHECK(proof->target == target);
  CHECK(proof->fact.exists == (target.path.empty() || target.path[0].bytes.size() == 1));
}

TEST_CASE("status and root") {
  Harness h;
  h.execute(make_file("a"));
  std::optional<Result<messages::StatusReply>> status;
  h.engine->status(
      2, 0, 1'000'000, [&](auto r) { status = std::move(r); }, h.cluster.now);
  REQUIRE(h.run([&] { return status.has_value(); }));
  CHECK((*status)->replica == 2);
  h.cluster.replica(2).silent = true;
  status.reset();
  h.engine->status(
      2, 0, 1'000'000, [&](auto r) { status = std::move(r); }, h.cluster.now);
  REQUIRE(h.run([&] { return status.has_value(); }));
  CHECK(status->error().code == Errc::unreachable);
  std::optional<Result<messages::RootCert>> root;
  h.engine->root(
      ReadMode::verified, [&](auto r) { root = std::move(r); }, h.cluster.now);
  REQUIRE(h.run([&] { return root.has_value(); }));
  CHECK((*root)->body.seq == h.cluster.seq());
}
