#include "mutants/witnesses.hpp"

namespace bftmeta::mutants {

namespace {

// In the order of the strategies.
constexpr Witness kWitnesses[] = {
    {"twins", Mutant::second_proposal_voted, 2},
    {"triplets", Mutant::second_proposal_voted, 1},
    {"equivocating-primary", Mutant::second_proposal_voted, 1},
    {"same-digest-other-body", Mutant::batch_digest_unchecked, 1},
    {"starving-primary", Mutant::uncertified_not_given, 1},
    {"silent-primary", Mutant::requests_not_timed, 2},
    {"half-silent-primary", Mutant::requests_not_timed, 4},
    {"skipping-numbers", Mutant::gap_not_filled, 1},
    {"skipping-numbers", Mutant::gaps_executed, 5},
    {"window-edge", Mutant::window_unchecked, 1},
    {"reproposes-executed", Mutant::bundle_executed_twice, 1},
    {"censor", Mutant::requests_not_timed, 1},
    {"reordered-session", Mutant::session_order_ignored, 1},
    {"slow-primary", Mutant::throughput_unwatched, 1001},
    {"time-bias", Mutant::agreed_time_unchecked, 1},
    {"costly-batches", Mutant::duplicate_items_accepted, 1},
    {"bad-client-signature", Mutant::client_signatures_unchecked, 1},
    {"unknown-session", Mutant::session_unchecked, 1},
    {"withheld-body", Mutant::batch_digest_unchecked, 1},
    {"broken-prepares", Mutant::prepare_signature_unchecked, 1},
    {"double-prepares", Mutant::commit_digest_ignored, 1},
    {"early-commits", Mutant::commit_digest_ignored, 1},
    {"no-shares", Mutant::uncertified_not_given, 2},
    {"wrong-shares", Mutant::shares_of_any_state_counted, 1},
    {"forged-certificates", Mutant::certificate_unchecked, 1},
    {"spoofed-senders", Mutant::share_sender_unchecked, 1},
    {"malleated-signatures", Mutant::share_signature_unchecked, 1},
    {"broken-p-entry", Mutant::p_entry_unchecked, 4},
    {"distant-view", Mutant::joins_one_replica, 1},
    {"lonely-suspect", Mutant::suspicion_of_one, 1},
    {"split-new-view", Mutant::second_new_view_entered, 1},
    {"wrong-o", Mutant::new_view_plan_unchecked, 1},
    {"unavailable-view-change", Mutant::candidate_stops_timer, 1},
    {"stale-root", Mutant::stale_answer_accepted, 48},
    {"forged-proof", Mutant::proof_root_unchecked, 1},
    {"forged-proof", Mutant::reply_unproven, 1},
    {"status-lies", Mutant::highest_claim_believed, 1},
    {"fetch-flood", Mutant::answers_unlimited, 1},
    {"hello-lies", Mutant::lost_vote_unproven, 1},
    {"hello-lies", Mutant::lost_commit_by_one, 1},
    {"evidence-forgery", Mutant::evidence_unjudged, 1},
    {"expired-bundle", Mutant::expiry_ignored, 1},
    {"mutated", Mutant::shares_of_any_state_counted, 1},
    {"hoarded-certificate", Mutant::no_rescue, 13},
    {"two-view-changes", Mutant::joins_one_replica, 2},
    {"reorders-expired", Mutant::expiry_before_done, 1},
    {"wrong-fragments", Mutant::target_unverified, 16},
    {"gone-fragments", Mutant::too_old_by_one, 22},
    {"bad-signature-client", Mutant::admission_signature_unchecked, 1},
    {"unknown-session-client", Mutant::session_owner_unchecked, 1},
    {"equivocating-client", Mutant::twin_bundle_stays, 1},
    {"split-signature-client", Mutant::forward_unverified, 1},
    {"replaying-client", Mutant::open_not_remembered, 1},
    {"many-signatures-client", Mutant::twin_bundle_stays, 1},
    {"compressed-timing", Mutant::session_order_ignored, 1},
    {"power-cuts", Mutant::session_order_ignored, 1},
    {"adaptive", Mutant::session_order_ignored, 1},
};

}  // namespace

std::span<const Witness> witnesses() { return kWitnesses; }

}  // namespace bftmeta::mutants
