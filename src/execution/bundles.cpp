#include "execution/bundles.hpp"

#include "base/mutant.hpp"
#include "messages/certificate.hpp"
#include "namespace/apply.hpp"
#include "schema/keys.hpp"

namespace bftmeta::execution {

namespace keys = schema::keys;
using schema::BundleOutcome;
using schema::BundleResult;
using schema::Code;

namespace {

Answer undecided(BundleOutcome outcome) {
  BundleResult r;
  r.outcome = outcome;
  return {encode(r), false};
}

schema::StoredResult to_store(const Bytes& encoded, const Hash& request_digest, messages::Seq seq) {
  schema::StoredResult s;
  s.seq = seq;
  s.request_digest = request_digest;
  s.results_digest = messages::results_digest(encoded);
  s.complete = encoded.size() <= limits::kMaxStoredResult;
  if (s.complete) s.results = encoded;
  return s;
}

// An all-or-nothing bundle that failed: the operation that failed keeps its code, no other one
// happened.
void mark_rolled_back(std::vector<schema::OpResult>& results, std::size_t failed,
                      std::size_t operations) {
  results.resize(operations);
  for (std::size_t i = 0; i < operations; ++i)
    if (i != failed) results[i] = {Code::rolled_back, std::nullopt};
}

}  // namespace

Answer Bundles::run(const messages::Bundle& bundle, const Hash& request_digest) {
  auto session = sessions_.find(bundle.session_id);
  if (!session && mutant(Mutant::session_unchecked))
    session = schema::Session{.principal = bundle.client, .last_bundle = bundle.bundle_no - 1};
  if (!session || (session->principal != bundle.client && !mutant(Mutant::session_owner_unchecked)))
    return undecided(BundleOutcome::no_session);
  const bool expired = clock_.time_us > bundle.valid_until_us && !mutant(Mutant::expiry_ignored);
  if (expired && mutant(Mutant::expiry_before_done)) return undecided(BundleOutcome::expired);
  // Done goes before expiry: an executed bundle that is ordered again late keeps its outcome.
  if (bundle.bundle_no <= session->last_bundle && !mutant(Mutant::bundle_executed_twice))
    return stored_answer(bundle, *session, request_digest);
  if (bundle.bundle_no != session->last_bundle + 1 && !mutant(Mutant::bundle_executed_twice) &&
      !mutant(Mutant::session_order_ignored))
    return undecided(BundleOutcome::skipped);

  BundleResult result;
  Effects effects;
  if (expired) {
    result.outcome = BundleOutcome::expired;
  } else {
    const Key at = keys::principal(bundle.client);
    const auto principal = state_.load<schema::Principal>(at, "principal");
    if (!principal && !mutant(Mutant::session_unchecked))
      return undecided(BundleOutcome::no_session);
    result = run_operations(bundle, principal ? principal->rules : config::ClientRules{}, effects);
  }
  Bytes encoded = encode(result);
  sessions_.consume(bundle.session_id, *session, bundle,
                    to_store(encoded, request_digest, clock_.seq), !expired);
  for (const PublicKey& removed : effects.removed) sessions_.evict_all_of(removed);
  if (effects.close) sessions_.evict(bundle.session_id);
  return {std::move(encoded), true};
}

BundleResult Bundles::run_operations(const messages::Bundle& bundle,
                                     const config::ClientRules& rules, Effects& effects) {
  ns::Context context = context_;
  context.session_id = bundle.session_id;
  context.rules = &rules;
  const bool atomic = (bundle.flags & messages::bundle_flags::kAllOrNothing) != 0;
  const tree::Overlay::Savepoint before = state_.overlay().savepoint();

  BundleResult result;
  for (const schema::Operation& operation : bundle.operations) {
    result.results.push_back(ns::apply(state_.overlay(), context, operation));
    if (result.results.back().code != Code::ok) {
      if (!atomic) continue;
      state_.overlay().rollback(before);
      mark_rolled_back(result.results, result.results.size() - 1, bundle.operations.size());
      effects = {};
      return result;
    }
    if (std::holds_alternative<schema::CloseSession>(operation.body)) effects.close = true;
    if (const auto* r = std::get_if<schema::RegisterClient>(&operation.body);
        r != nullptr && r->body.remove)
      effects.removed.push_back(r->body.client.sign_key);
  }
  return result;
}

Answer Bundles::stored_answer(const messages::Bundle& bundle, const schema::Session& session,
                              const Hash& request_digest) {
  if (bundle.bundle_no <= session.ack_upto) return undecided(BundleOutcome::result_gone);
  const auto stored = sessions_.result(bundle.session_id, bundle.bundle_no);
  if (!stored) return undecided(BundleOutcome::result_gone);
  const bool same = stored->request_digest == request_digest;
  if (same && stored->complete) return {stored->results, false};

  BundleResult result;
  result.outcome = BundleOutcome::digest_only;
  if (stored->complete)
    if (auto decoded = decode<BundleResult>(stored->results, "stored result"))
      result = std::move(*decoded);
  // The number was used up by another bundle: the outcome is that one's, and this says so.
  if (!same) result.code = Code::exists;
  return {encode(result), false};
}

}  // namespace bftmeta::execution
