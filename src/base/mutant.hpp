// Defects on purpose, to test the tests: in a build with -Dmutants=true one of them can be chosen
// by number at run time, and the simulator has to notice it (scripts/mutants; what each breaks and
// where the rule stands: test/sim/mutants/). In every other build mutant() is false at compile time
// and nothing of it is left. Thread-safety: chosen before any other thread starts.
#pragma once

#include <cstdint>

namespace bftmeta {

enum class Mutant : std::uint8_t {
  none = 0,
  // ---- agreement
  prepare_quorum_small = 1,
  commit_quorum_small = 2,
  own_commit_counted_twice = 3,
  prepare_signature_unchecked = 4,
  pre_prepare_signature_unchecked = 5,
  prepares_of_any_digest_counted = 6,
  commits_of_any_view_counted = 7,
  second_proposal_voted = 8,
  batch_digest_unchecked = 9,
  client_signatures_unchecked = 10,
  agreed_time_unchecked = 11,
  executed_when_prepared = 12,
  prepare_before_durable = 13,
  commit_before_durable = 14,
  vote_not_logged = 15,
  prepared_not_logged = 16,
  // ---- certificates
  certificate_quorum_small = 17,
  share_signature_unchecked = 18,
  certificate_unchecked = 19,
  shares_of_any_state_counted = 20,
  share_of_wrong_state = 21,
  // ---- view change
  lowest_view_chosen = 22,
  p_dropped_on_entry = 23,
  p_missing_in_view_change = 24,
  view_change_unchecked = 25,
  p_entry_unchecked = 26,
  new_view_plan_unchecked = 27,
  gap_not_filled = 28,
  base_ignored = 29,
  left_not_logged = 30,
  entered_not_logged = 31,
  new_view_before_durable = 32,
  no_abdication = 33,
  no_suspicion = 34,
  no_new_view_timer = 35,
  items_not_requeued = 36,
  next_seq_ignores_o = 37,
  joins_one_replica = 38,
  // ---- catching up, retransmission
  no_status = 39,
  no_history = 40,
  history_unchecked = 41,
  history_by_one_share = 42,
  rescue_by_one_answer = 43,
  rescue_takes_lowest_view = 44,
  // ---- start
  votes_before_hello = 45,
  loss_ignored = 46,
  fence_forgotten = 47,
  p_not_restored = 48,
  votes_not_restored = 49,
  // ---- linearizable reads
  fresh_not_held_back = 50,
  fresh_ignores_p = 51,
  // ---- execution and clients
  bundle_executed_twice = 52,
  items_not_forwarded = 53,
  clock_goes_back = 54,
  // ---- divergence
  stopped_by_one_share = 55,
  shares_stop_nobody = 56,
  // ---- what single strategies attack
  window_unchecked = 57,
  gaps_executed = 58,
  session_order_ignored = 59,
  duplicate_items_accepted = 60,
  requests_not_timed = 61,
  session_unchecked = 62,
  session_owner_unchecked = 63,
  admission_signature_unchecked = 64,
  forward_unverified = 65,
  commit_digest_ignored = 66,
  uncertified_not_given = 67,
  share_sender_unchecked = 68,
  evidence_unjudged = 69,
  lost_vote_unproven = 70,
  answers_unlimited = 71,
  suspicion_of_one = 72,
  second_new_view_entered = 73,
  candidate_stops_timer = 74,
  stale_answer_accepted = 75,
  proof_root_unchecked = 76,
  expiry_ignored = 77,
  expiry_before_done = 78,
  no_rescue = 79,
  twin_bundle_stays = 80,
  open_not_remembered = 81,
  throughput_unwatched = 82,
  reply_unproven = 83,
  highest_claim_believed = 84,
  lost_commit_by_one = 85,
  // ---- state transfer
  fragment_unchecked = 86,
  final_root_unchecked = 87,
  too_old_by_one = 88,
  transfer_impatient = 89,
  mixture_executed = 90,
  mixture_as_state = 91,
  liar_not_banned = 92,
  target_below_floor = 93,
  target_unverified = 94,
  slow_peer_waited_for = 95,
  leafless_accepted = 96,
  // ---- repair
  wrong_shares_signed_again = 97,
  second_divergence_repaired = 98,
  // ---- found by strategies only
  p_entry_needs_two = 99,
  stale_base_believed = 100,
  old_view_accepted = 101,
  abdication_names_view = 102,
  reproposed_body_not_fetched = 103,
  gaps_timed = 104,
  // ---- reconfiguration
  epoch_end_unheeded = 105,
  epoch_ends_alone = 106,
  votes_beyond_epoch = 107,
  epoch_step_unverified = 108,
  fill_up_untimed = 109,
  // ---- while a state is fetched
  certified_proposals_timed = 110,
  unknown_requests_timed = 111,
  kept_without_bound = 112,
  // ---- statements of admins
  statement_not_remembered = 113,
};
constexpr std::uint8_t kMutants = 113;

#ifdef BFTMETA_MUTANTS
inline Mutant chosen_mutant = Mutant::none;
inline bool mutant(Mutant m) { return chosen_mutant == m; }
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace bftmeta
