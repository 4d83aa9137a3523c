#include "sim/engine_machine.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim {

std::unique_ptr<Machine> EngineMachine::genesis(const config::Genesis& genesis,
                                                const crypto::Verifier& verifier) {
  auto engine = execution::Engine::from_genesis(genesis, verifier);
  BFTMETA_ASSERT(engine.has_value());
  return std::unique_ptr<Machine>(new EngineMachine(genesis, verifier, std::move(*engine),
                                                    std::make_shared<tree::MemoryPageStore>()));
}

Result<consensus::Outcome> EngineMachine::execute(const messages::ParsedBatch& batch) {
  BFTMETA_ASSIGN(const execution::Executed executed, engine_.execute(batch));
  consensus::Outcome out{executed.header, executed.body, {}};
  auto& outcomes = outcomes_[executed.header.seq];
  for (const execution::ItemResult& item : executed.results) {
    const auto result = decode<schema::BundleResult>(item.result, "result");
    BFTMETA_ASSERT(result.has_value());
    Outcome o;
    o.request_digest = item.request_digest;
    o.session_id = item.bundle_no == 0 ? result->session_id : item.session_id;
    o.bundle_no = item.bundle_no;
    o.results_digest = messages::results_digest(item.result);
    o.final = result->outcome == schema::BundleOutcome::done ||
              result->outcome == schema::BundleOutcome::expired ||
              result->outcome == schema::BundleOutcome::session_opened;
    outcomes.push_back(o);
    out.first_time.push_back(item.first_time);
  }
  return out;
}

std::uint64_t EngineMachine::last_bundle(const Id16& session) const {
  const auto info = engine_.session(session);
  return info ? info->last_bundle : 0;
}

std::vector<Outcome> EngineMachine::outcomes(messages::Seq seq) const {
  const auto it = outcomes_.find(seq);
  return it == outcomes_.end() ? std::vector<Outcome>{} : it->second;
}

std::unique_ptr<Machine> EngineMachine::flush() {
  tree::WriteSet set = tree::begin_flush(engine_.head());
  auto writer = store_->begin();
  BFTMETA_ASSERT(writer.has_value());
  while (true) {
    const auto all = set.write_some(**writer, 64);
    BFTMETA_ASSERT(all.has_value());
    if (*all) break;
  }
  auto snapshot = (*writer)->commit(set.root_record(), encode(engine_.checkpoint()));
  BFTMETA_ASSERT(snapshot.has_value());
  engine_.rebase(tree::rebase(engine_.head(), set, *snapshot));
  return reopen();
}

std::unique_ptr<Machine> EngineMachine::reopen() const {
  auto snapshot = store_->snapshot();
  BFTMETA_ASSERT(snapshot.has_value());
  auto checkpoint = execution::decode_checkpoint((*snapshot)->meta());
  BFTMETA_ASSERT(checkpoint.has_value());
  auto version = tree::Version::open(std::move(*snapshot));
  BFTMETA_ASSERT(version.has_value());
  auto engine = execution::Engine::from_checkpoint(genesis_, verifier_, std::move(*checkpoint),
                                                   std::move(*version));
  BFTMETA_ASSERT(engine.has_value());
  return std::unique_ptr<Machine>(
      new EngineMachine(genesis_, verifier_, std::move(*engine), store_));
}

}  // namespace bftmeta::sim
