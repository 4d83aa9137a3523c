#include "client/engine.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "verify/proof_file.hpp"

namespace bftmeta::client {

Engine::Engine(const Options& options, const crypto::Verifier& verifier, Port& port,
               std::uint64_t seed)
    : core_(options, verifier, port, seed),
      reads_(core_),
      fresh_(core_, [this](Barrier barrier) { sessions_.front()->barrier(std::move(barrier)); }),
      statuses_(core_, "status"),
      evidence_(core_, "evidence") {
  for (const config::Client& c : options.genesis.clients)
    if (c.sign_key == options.signer->public_key()) rules_ = &c.rules;
  for (std::uint32_t i = 0; i < std::max<std::uint32_t>(1, options.sessions); ++i)
    sessions_.push_back(std::make_unique<Session>(
        core_, [this](const Id16& session, std::uint64_t bundle_no, ReplicaSet avoid,
                      Session::Answer answer, const Now& now) {
          ask_session(session, bundle_no, avoid, std::move(answer), now);
        }));
}

// Evaluates on what was proven, by the rules that the proof shows; a proof without them is judged
// by those of the genesis.
Result<std::vector<ns::QueryResult>> Engine::evaluate(const std::vector<schema::Query>& queries,
                                                      const tree::Reader& tree) const {
  const PublicKey& self = core_.options.signer->public_key();
  std::vector<ns::QueryResult> answers;
  answers.reserve(queries.size());
  for (const schema::Query& q : queries) {
    ns::QueryResult answer = ns::evaluate(tree, q, self);
    if (answer.unknown) answer = ns::evaluate(tree, q, rules_);
    if (answer.unknown)
      return fail(Errc::unverified,
                  "read: the proof does not cover query " + std::to_string(answers.size()));
    answers.push_back(std::move(answer));
  }
  return answers;
}

void Engine::submit(schema::Operation operation, OperationDone done, std::uint32_t stream,
                    const Now& now) {
  const std::size_t size = encoded_size(operation);
  if (size > Session::max_operation_size()) {
    core_.ready.emplace_back([done = std::move(done), size] {
      done(fail(Errc::limit, "operation: " + std::to_string(size) +
                                 " bytes do not fit a bundle of " +
                                 std::to_string(limits::kMaxBundleBytes)));
    });
    return;
  }
  sessions_[stream % sessions_.size()]->submit(
      {std::move(operation), size, std::move(done), now.mono + core_.timeout});
}

void Engine::add_read(ReadUnit unit, ReadMode mode, const Now& now) {
  unit.deadline = now.mono + core_.timeout;
  if (mode == ReadMode::verified) return reads_.add(std::move(unit));
  const Micros deadline = unit.deadline;
  auto waiting = std::make_shared<ReadUnit>(std::move(unit));
  fresh_.add({[this, waiting](const Result<messages::Seq>& seq, const Now& later) {
                if (!seq) return waiting->done(tl::make_unexpected(seq.error()), later);
                waiting->min_seq = *seq;
                reads_.add(std::move(*waiting));
              },
              deadline});
}

void Engine::read(std::vector<schema::Query> queries, ReadMode mode, ReadDone done,
                  const Now& now) {
  if (queries.empty() || queries.size() > limits::kMaxQueriesPerRead) {
    core_.ready.emplace_back([done = std::move(done), count = queries.size()] {
      done(fail(Errc::invalid_argument, "read: " + std::to_string(count) +
                                            " queries; a read has 1 to " +
                                            std::to_string(limits::kMaxQueriesPerRead)));
    });
    return;
  }
  auto result = std::make_shared<ReadResult>();
  ReadUnit unit;
  unit.queries = std::move(queries);
  unit.accept = [this, result, asked = unit.queries](const verify::VerifiedRead& verified,
                                                     const messages::ReadReply&) -> Status {
    BFTMETA_ASSIGN(result->answers, evaluate(asked, verified.tree));
    result->seq = verified.seq;
    result->time_us = verified.time_us;
    return {};
  };
  unit.done = [this, result, done = std::move(done)](const Status& status, const Now&) {
    core_.ready.emplace_back([result, done, status] {
      if (status)
        done(std::move(*result));
      else
        done(tl::make_unexpected(status.error()));
    });
  };
  add_read(std::move(unit), mode, now);
}

void Engine::prove(schema::Caller caller, schema::Target target, ProveDone done, const Now& now) {
  auto file = std::make_shared<Result<Bytes>>();
  ReadUnit unit;
  unit.queries.push_back({std::move(caller), schema::GetInode{target, false}});
  unit.accept = [this, file, target, asked = unit.queries](
                    const verify::VerifiedRead& verified,
                    const messages::ReadReply& reply) -> Status {
    BFTMETA_ASSIGN(const auto answers, evaluate(asked, verified.tree));
    // Who may not look gets a proof of that and no more.
    if (const auto fact = verify::path_fact(verified.tree, target); !fact)
      *file = fail(Errc::permission,
                   "proof of " + verify::target_name(target) + ": the caller may not see it (" +
                       std::string(schema::code_name(answers.front().code)) + ")");
    else
      *file = verify::encode_proof_file(
          {target, steps_to(verified.seq), certificate(verified.seq), reply.proof});
    return {};
  };
  unit.done = [this, file, done = std::move(done)](const Status& status, const Now&) {
    core_.ready.emplace_back([file, done, status] {
      done(status ? std::move(*file) : tl::make_unexpected(status.error()));
    });
  };
  add_read(std::move(unit), ReadMode::verified, now);
}

// Precondition: a read at this seq was verified in this turn.
const messages::RootCert& Engine::certificate(messages::Seq seq) const {
  const messages::RootCert* cert = core_.certificates.find(seq);
  BFTMETA_ASSERT(cert != nullptr);
  return *cert;
}

// From the genesis to the epoch of that certificate.
std::vector<messages::EpochStep> Engine::steps_to(messages::Seq seq) const {
  const auto& steps = core_.certificates.steps();
  const std::uint64_t first = core_.options.genesis.config.epoch;
  return {steps.begin(),
          steps.begin() + static_cast<std::ptrdiff_t>(certificate(seq).body.epoch - first)};
}

void Engine::root(ReadMode mode, RootDone done, const Now& now) {
  auto cert = std::make_shared<messages::RootCert>();
  ReadUnit unit;
  unit.queries.push_back({own_caller(core_.options), schema::GetStatistics{}});
  unit.accept = [this, cert](const verify::VerifiedRead& verified,
                             const messages::ReadReply&) -> Status {
    *cert = certificate(verified.seq);
    return {};
  };
  unit.done = [this, cert, done = std::move(done)](const Status& status, const Now&) {
    core_.ready.emplace_back([cert, done, status] {
      if (status)
        done(std::move(*cert));
      else
        done(tl::make_unexpected(status.error()));
    });
  };
  add_read(std::move(unit), mode, now);
}

void Engine::ask_session(const Id16& session, std::uint64_t bundle_no, ReplicaSet avoid,
                         Session::Answer answer, const Now& now) {
  auto evidence = std::make_shared<Result<SessionEvidence>>();
  ReadUnit unit;
  unit.queries.push_back({own_caller(core_.options), schema::GetSession{session, bundle_no}});
  unit.accept = [this, evidence, asked = unit.queries](const verify::VerifiedRead& verified,
                                                       const messages::ReadReply&) -> Status {
    BFTMETA_ASSIGN(auto answers, evaluate(asked, verified.tree));
    if (auto* found = std::get_if<ns::SessionAnswer>(&answers.front().answer))
      *evidence = {found->session, found->result, found->tombstone};
    else
      *evidence =
          fail(Errc::permission, "session: this client may not see its record (" +
                                     std::string(schema::code_name(answers.front().code)) + ")");
    return {};
  };
  unit.done = [evidence, answer = std::move(answer)](const Status& status, const Now& later) {
    answer(status ? std::move(*evidence) : tl::make_unexpected(status.error()), later);
  };
  unit.avoid = avoid;
  unit.deadline = now.mono + core_.timeout;
  reads_.add(std::move(unit));
}

void Engine::status(ReplicaId replica, std::uint64_t scrub_bytes_per_s, Micros timeout,
                    StatusDone done, const Now& now) {
  statuses_.ask(replica, messages::StatusQuery{0, scrub_bytes_per_s}, now.mono + timeout,
                std::move(done));
}

void Engine::evidence(ReplicaId replica, std::uint32_t index, Micros timeout, EvidenceDone done,
                      const Now& now) {
  evidence_.ask(replica, messages::EvidenceQuery{0, index}, now.mono + timeout, std::move(done));
}

void Engine::on_frame(ReplicaId from, ByteView frame, const Now& now) {
  // Of another epoch: the replica lags behind, or is ahead and says so when it is asked.
  const auto epoch = messages::frame_epoch(core_.context.cluster_id, frame);
  if (epoch && *epoch != core_.context.epoch) return;
  const auto message = messages::decode_replica_frame(core_.context, frame);
  if (!message) return core_.blame(from, 0, message.error(), frame, now.mono);
  if (const auto* reply = std::get_if<messages::Reply>(&*message)) {
    std::ignore = std::ranges::any_of(
        sessions_, [&](const auto& s) { return s->on_reply(from, *reply, frame, now); });
  } else if (const auto* read = std::get_if<messages::ReadReply>(&*message)) {
    reads_.on_reply(from, *read, frame, now);
  } else if (const auto* refusal = std::get_if<messages::Refusal>(&*message)) {
    std::ignore = std::ranges::any_of(
        sessions_, [&](const auto& s) { return s->on_refusal(from, *refusal, now); });
  } else if (const auto* status = std::get_if<messages::StatusReply>(&*message)) {
    core_.replicas.note_view(from, status->view);
    statuses_.on_reply(from, *status);
  } else if (const auto* fresh = std::get_if<messages::FreshReply>(&*message)) {
    fresh_.on_reply(from, *fresh, frame, now);
  } else if (const auto* found = std::get_if<messages::EvidenceReply>(&*message)) {
    evidence_.on_reply(from, *found);
  } else if (!core_.replicas.blacklisted(from, now.mono)) {
    epochs_.emplace(from, to_bytes(frame));
  }
}

// Between two turns' inputs: what else came in this turn is of the epoch that ends here.
void Engine::take_epochs(const Now& now) {
  for (const auto& [from, frame] : std::exchange(epochs_, {})) {
    const auto message = messages::decode_replica_frame(core_.context, frame);
    const auto& steps = std::get<messages::Epochs>(*message).steps;
    const config::Config before = config();
    Status led = fail(Errc::malformed, "chain of epochs: it has no step");
    if (!steps.empty()) led = core_.certificates.follow(steps);
    if (led) return go_on(before, now);
    core_.blame(from, steps.empty() ? 0 : steps.front().cert.body.seq, led.error(), frame,
                now.mono);
  }
}

// All that is under way goes to the members of the new epoch: those before ignored it, or answered
// what cannot be verified any more.
void Engine::go_on(const config::Config& before, const Now& now) {
  const Renumbering moved = core_.follow(before);
  reads_.follow(moved);
  fresh_.follow();
  for (const auto& s : sessions_) s->follow(moved, before.epoch, now);
  statuses_.follow();
  evidence_.follow();
}

Status Engine::restore(ByteView saved, const Now& now) {
  const config::Config before = config();
  BFTMETA_TRY(core_.certificates.restore(saved));
  if (config().epoch != before.epoch) go_on(before, now);
  return {};
}

void Engine::on_connected(ReplicaId replica) {
  core_.send(replica, messages::StatusQuery{});
  for (const auto& s : sessions_) s->on_connected(replica);
  fresh_.on_connected(replica);
}

void Engine::open_sessions() {
  for (const auto& s : sessions_) s->keep_open();
}

void Engine::close() {
  for (const auto& s : sessions_) s->close();
}

void Engine::poll(const Now& now) {
  take_epochs(now);
  fresh_.poll(now);  // first: it hands over to the other two
  for (const auto& s : sessions_) s->poll(now);
  reads_.poll(now);
  statuses_.poll(now);
  evidence_.poll(now);
}

Micros Engine::next_wake() const {
  Micros wake = std::min(
      {reads_.next_wake(), fresh_.next_wake(), statuses_.next_wake(), evidence_.next_wake()});
  for (const auto& s : sessions_) wake = std::min(wake, s->next_wake());
  return wake;
}

bool Engine::ready() const {
  return core_.certificates.newest() != nullptr &&
         std::ranges::all_of(sessions_, [](const auto& s) { return s->is_open(); });
}

std::optional<Error> Engine::refusal() const {
  for (const auto& s : sessions_)
    if (s->refusal()) return s->refusal();
  return std::nullopt;
}

bool Engine::closed() const {
  return reads_.idle() && fresh_.idle() &&
         std::ranges::all_of(sessions_, [](const auto& s) { return s->closed(); });
}

void Engine::fail_all(const Error& error, const Now& now) {
  fresh_.fail_all(error, now);
  for (const auto& s : sessions_) s->fail_all(error, now);
  reads_.fail_all(error, now);
  statuses_.fail_all(error);
  evidence_.fail_all(error);
}

}  // namespace bftmeta::client
