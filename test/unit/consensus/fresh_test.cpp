// Linearizable reads (protocol §6.3): who may answer FRESH, and when. n = 4, replica 0 is Byzantine
// and the primary of view 0; batch 1 is certified everywhere. "The write" is batch 2: its
// certificate is known to replica 0 and to the client that was answered, to nobody else.
#include "lone.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::CertBody;
using messages::Commit;
using messages::Fresh;
using messages::HistoryData;
using messages::PrePrepare;
using messages::RootCert;
using messages::RootShare;
using messages::ViewChange;

namespace {

constexpr ReplicaId kByzantine = 0;
constexpr std::uint64_t kLink = 7;

// What replica r answers at once to a query that arrives now; nullopt: it holds it back.
std::optional<Seq> ask(Lone& r, std::uint64_t link = kLink, std::uint8_t nonce = 1) {
  const std::size_t before = r.answers.size();
  r.feed(event::Fresh{link, Fresh{{nonce}, 0, 0}});
  if (r.answers.size() == before) return std::nullopt;
  CHECK(r.answers.back().queries.back().link == link);
  CHECK(r.answers.back().queries.back().query.nonce == Id16{nonce});
  return r.answers.back().cert ? r.answers.back().cert->body.seq : 0;
}

// Whether Q answers can be had now that are all below `seq`: one is of the Byzantine replica, which
// answers with an old certificate.
bool stale_round(std::initializer_list<Lone*> correct, Seq seq) {
  std::uint32_t stale = 1;
  for (Lone* r : correct)
    if (const auto answer = ask(*r); answer && *answer < seq) ++stale;
  return stale >= (*correct.begin())->config.quorum();
}

// `r` prepares the proposal with the PREPARE of `other`, durably; COMMITs are sent, none received.
void prepare_at(Lone& r, const PrePrepare& m, ReplicaId other) {
  r.from(r.config.primary(m.proposal.view), m);
  r.sync();
  r.from(other, r.prepare(other, m.proposal));
  r.sync();
}

// ... and commits and executes it. Its own share.
RootShare commit_at(Lone& r, const PrePrepare& m, ReplicaId other) {
  prepare_at(r, m, other);
  r.from(kByzantine, Commit{m.proposal});
  const auto shares = all<RootShare>(r.from(other, Commit{m.proposal}));
  REQUIRE(shares.size() == 1);
  REQUIRE(r.core->executed_seq() == m.proposal.seq);
  return shares.front();
}

// Batch 1, certified and durable at all of them.
void certify_first(std::initializer_list<Lone*> replicas) {
  for (Lone* r : replicas) {
    const ReplicaId other = r->self == 1 ? 2 : 1;
    const RootShare share = commit_at(*r, r->proposal(0, 1, kWall), other);
    r->from(other, r->share(other, share.body));
    r->from(kByzantine, r->share(kByzantine, share.body));
    r->sync();
    REQUIRE(r->core->certified_seq() == 1);
  }
}

PrePrepare the_write(const Lone& r) { return r.proposal(0, 2, kWall + 1); }

// `r` leaves view 0 with everybody else and is told of view 1, which was made without it: base 1,
// nothing prepared.
std::vector<ViewChange> leave_view_0(Lone& r) {
  std::vector<ViewChange> votes;
  for (const ReplicaId v : {0U, 1U, 3U}) {
    votes.push_back(r.view_change(v, 1, *r.core->certificate()));
    r.from(v, votes.back());
  }
  REQUIRE(r.core->view() == 1);
  REQUIRE_FALSE(r.core->active());
  return votes;
}

}  // namespace

TEST_CASE("T6.1 (a) who has sent a share waits for the certificate") {
  Lone x(1), y(2), z(3);
  certify_first({&x, &y, &z});
  const PrePrepare write = the_write(x);
  const RootShare share = commit_at(x, write, 2);
  commit_at(y, write, 1);  // with the Byzantine share: Q, and the writer has its answer
  REQUIRE(x.core->certified_seq() == 1);
  REQUIRE(y.core->certified_seq() == 1);

  CHECK_FALSE(stale_round({&x, &y, &z}, 2));
  CHECK(ask(z) == 1);  // it knows of nothing: alone it does no harm
  CHECK(x.answers.empty());

  x.from(2, x.share(2, share.body));
  CHECK(x.answers.empty());
  x.from(kByzantine, x.share(kByzantine, share.body));
  REQUIRE(x.answers.size() == 1);
  CHECK(x.answers[0].cert->body.seq == 2);
  CHECK(x.answers[0].queries.size() == 1);
  CHECK(ask(x) == 2);
}

TEST_CASE("T6.1 (b) who has forgotten its share in a restart waits because of its P-entry") {
  Lone x(1), y(2), z(3);
  certify_first({&x, &y, &z});
  const PrePrepare write = the_write(x);
  const RootShare share = commit_at(x, write, 2);
  commit_at(y, write, 1);
  for (Lone* r : {&x, &y}) {
    r->restart();
    REQUIRE(r->core->executed_seq() == 1);
    REQUIRE(r->core->certified_seq() == 1);
  }
  CHECK_FALSE(stale_round({&x, &y, &z}, 2));
  CHECK(x.answers.empty());
  CHECK(y.answers.empty());

  x.from(kByzantine, x.certificate(share.body));  // it need not have executed the batch
  REQUIRE(x.answers.size() == 1);
  CHECK(x.answers[0].cert->body.seq == 2);
}

TEST_CASE("T6.1 (b) who has prepared and neither committed nor shared waits") {
  Lone x(1), y(2), z(3);
  certify_first({&x, &y, &z});
  const PrePrepare write = the_write(y);
  const RootShare share = commit_at(y, write, 3);
  prepare_at(z, write, 2);
  REQUIRE(z.core->executed_seq() == 1);

  // x has no P-entry: it executes what W shares prove, shares it, and forgets all that.
  x.from(2, share);
  x.from(kByzantine, x.share(kByzantine, share.body));
  const auto history = all<HistoryData>(y.from(1, messages::FetchHistory{1}));
  REQUIRE(history.size() == 1);
  REQUIRE(all<RootShare>(x.from(2, history.front())).size() == 1);
  REQUIRE(x.core->executed_seq() == 2);
  x.restart();
  REQUIRE(x.core->executed_seq() == 1);
  CHECK(ask(x) == 1);

  CHECK_FALSE(stale_round({&x, &y, &z}, 2));
  CHECK(z.answers.empty());
  z.from(1, z.certificate(share.body));
  REQUIRE(z.answers.size() == 1);
  CHECK(z.answers[0].cert->body.seq == 2);
}

TEST_CASE("T6.7 idle cluster: a P-entry that a NEW-VIEW refutes does not hold back") {
  Lone x(2);
  certify_first({&x});
  prepare_at(x, the_write(x), 3);  // alone: 3 voted and has not prepared
  CHECK_FALSE(ask(x));
  const auto votes = leave_view_0(x);
  CHECK_FALSE(ask(x, kLink + 1));
  x.from(1, x.new_view(1, votes, 1));
  REQUIRE(x.core->active());
  REQUIRE(x.core->view() == 1);
  // Those that waited are answered, too, in one go.
  REQUIRE(x.answers.size() == 1);
  CHECK(x.answers[0].queries.size() == 2);
  CHECK(x.answers[0].cert->body.seq == 1);
  CHECK(ask(x) == 1);
  x.sync();

  SUBCASE("nor after a restart") {
    x.restart();
    REQUIRE(x.core->view() == 1);
    CHECK(ask(x) == 1);
  }
  SUBCASE("one of that very view is not refuted by it, nor after a restart") {
    prepare_at(x, x.proposal(1, 2, kWall + 2), 3);
    CHECK_FALSE(ask(x));
    x.restart();
    CHECK_FALSE(ask(x));
  }
}

TEST_CASE("T6.7 a NEW-VIEW that reaches up to the P-entry refutes nothing") {
  Lone x(2);
  certify_first({&x});
  const PrePrepare write = the_write(x);
  prepare_at(x, write, 3);
  std::vector<ViewChange> votes;
  SUBCASE("another replica's P-entry is in O") {
    messages::PreparedCert entry;
    entry.proposal = write.proposal;
    entry.primary_signature = write.signature;
    for (const ReplicaId r : {2U, 3U}) {
      entry.backups |= 1U << r;
      entry.signatures.push_back(x.prepare(r, write.proposal).signature);
    }
    for (const ReplicaId v : {0U, 1U, 3U}) {
      ViewChange vc = x.view_change(v, 1, *x.core->certificate());
      if (v == 3) vc.prepared.push_back(entry);
      messages::sign_view_change(*x.signers[v], x.context(), vc);
      votes.push_back(vc);
    }
    messages::NewView nv = x.new_view(1, votes, 1);
    nv.proposals.push_back(
        {2, write.proposal.digest,
         messages::sign_pre_prepare(*x.signers[1], x.context(), {1, 2, write.proposal.digest})});
    messages::sign_new_view(*x.signers[1], x.context(), nv);
    for (const ViewChange& vc : votes) x.from(vc.replica, vc);
    x.from(1, nv);
  }
  SUBCASE("its VIEW-CHANGEs do not bear it out") {
    votes = leave_view_0(x);
    messages::NewView nv = x.new_view(1, votes, 1);
    nv.base_seq = 0;
    messages::sign_new_view(*x.signers[1], x.context(), nv);
    x.from(1, nv);
    CHECK_FALSE(x.core->active());
  }
  SUBCASE("one of its VIEW-CHANGEs is unknown here") {
    votes = leave_view_0(x);
    votes[2].reason = messages::Reason::request_timeout;
    messages::sign_view_change(*x.signers[3], x.context(), votes[2]);
    x.from(1, x.new_view(1, votes, 1));
    CHECK_FALSE(x.core->active());
  }
  CHECK_FALSE(ask(x));
  CHECK(x.answers.empty());
}

TEST_CASE("T6.7 a view that was left before it was entered refutes as well") {
  Lone x(2);
  certify_first({&x});
  prepare_at(x, the_write(x), 3);
  const auto votes = leave_view_0(x);
  x.tick_after(2 * Timing{}.new_view);
  REQUIRE(x.core->view() == 2);
  CHECK_FALSE(ask(x));
  SUBCASE("by a valid NEW-VIEW") {
    x.from(1, x.new_view(1, votes, 1));
    CHECK(x.core->view() == 2);
    CHECK_FALSE(x.core->active());
    REQUIRE(x.answers.size() == 1);
    CHECK(x.answers[0].cert->body.seq == 1);
    CHECK(ask(x) == 1);
    // It is still the own target that is entered.
    std::vector<ViewChange> next;
    for (const ReplicaId v : {0U, 1U, 3U}) {
      next.push_back(x.view_change(v, 2, *x.core->certificate()));
      x.from(v, next.back());
    }
    CHECK(x.core->active());
    CHECK(x.core->view() == 2);
  }
  SUBCASE("whose VIEW-CHANGEs are fetched") {
    for (const ReplicaId v : {0U, 1U, 3U}) x.from(v, x.view_change(v, 9));
    const auto asked = all<messages::FetchViewChange>(x.from(1, x.new_view(1, votes, 1)));
    CHECK(asked.size() == 3);
    CHECK(x.answers.empty());
    for (const ViewChange& vc : votes) x.from(1, vc);
    CHECK(x.answers.size() == 1);
  }
  SUBCASE("not by one that its VIEW-CHANGEs do not bear out") {
    x.from(1, x.new_view(1, votes, 0));
    CHECK(x.answers.empty());
  }
}

TEST_CASE("genesis: nothing is certified, and that is the answer") {
  Lone x(1);
  CHECK(ask(x) == 0);
  prepare_at(x, x.proposal(0, 1, kWall), 2);
  CHECK_FALSE(ask(x));
}

TEST_CASE("a few queries are held per link, and go with it") {
  Lone x(1);
  prepare_at(x, x.proposal(0, 1, kWall), 2);
  for (std::uint8_t nonce = 1; nonce <= limits::kMaxFreshPerLink + 2; ++nonce)
    CHECK_FALSE(ask(x, 1, nonce));
  CHECK_FALSE(ask(x, 2, 100));
  CHECK_FALSE(ask(x, 3, 200));
  x.feed(event::LinkClosed{2});
  x.from(2, x.certificate(1));
  REQUIRE(x.answers.size() == 1);  // all in one turn, with one certificate
  const auto& queries = x.answers[0].queries;
  REQUIRE(queries.size() == limits::kMaxFreshPerLink + 1);
  for (std::size_t i = 0; i < limits::kMaxFreshPerLink; ++i)
    CHECK(queries[i].query.nonce == Id16{static_cast<std::uint8_t>(i + 3)});  // the newest
  CHECK(queries.back().link == 3);
  x.from(2, x.certificate(2));
  CHECK(x.answers.size() == 1);  // and once
}

TEST_CASE("what is prepared after a query does not hold it back") {
  Lone x(1);
  prepare_at(x, x.proposal(0, 1, kWall), 2);
  CHECK_FALSE(ask(x));
  prepare_at(x, x.proposal(0, 2, kWall + 1), 2);
  x.from(2, x.certificate(1));
  CHECK(x.answers.size() == 1);
  CHECK_FALSE(ask(x));
}

TEST_CASE("a replica that has halted answers nothing") {
  Lone x(1);
  const RootShare share = commit_at(x, x.proposal(0, 1, kWall), 2);
  CHECK_FALSE(ask(x));
  CertBody other = share.body;
  other.state_root[0] ^= 1;
  x.from(2, x.certificate(other));
  REQUIRE(x.core->halted());
  CHECK(x.answers.empty());
  CHECK_FALSE(ask(x));
}
