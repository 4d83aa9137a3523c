#include "consensus/link_budget.hpp"

#include <algorithm>

#include "base/mutant.hpp"

namespace bftmeta::consensus {

// What is less than a unit is carried on: however often it is called, the mean rate is exact.
void Bucket::refill(std::uint64_t now_us) {
  constexpr std::uint64_t kSecondUs = 1'000'000;
  if (filled_us_ == 0) filled_us_ = now_us;  // the first call: full
  // An hour fills every bucket, and the product below fits.
  const std::uint64_t passed = std::min(now_us - filled_us_, 3600 * kSecondUs);
  filled_us_ = now_us;
  const std::uint64_t gained = passed * rate_ + carried_;
  carried_ = gained % kSecondUs;
  units_ = std::min(burst_, units_ + static_cast<std::int64_t>(gained / kSecondUs));
}

bool LinkBudget::may_check_vote(ReplicaId from, std::uint64_t now_us) {
  return !distrusted(from) || links_[from].distrusted.take(1, now_us);
}

bool LinkBudget::may_check_proof(ReplicaId from, std::uint64_t signatures, std::uint64_t now_us) {
  Link& link = links_[from];
  return distrusted(from) ? link.distrusted.take(signatures, now_us)
                          : link.proofs.take(signatures, now_us);
}

bool LinkBudget::may_check_deferred(ReplicaId from, std::uint64_t now_us) {
  return links_[from].distrusted.open(now_us);
}

void LinkBudget::distrust(ReplicaId from) { distrusted_ |= 1U << from; }

bool LinkBudget::may_answer(ReplicaId to, std::uint64_t now_us) {
  return links_[to].answers.open(now_us) || mutant(Mutant::answers_unlimited);
}

bool LinkBudget::pay_answer(ReplicaId to, std::uint64_t bytes, std::uint64_t now_us) {
  return links_[to].answers.take(bytes, now_us) || mutant(Mutant::answers_unlimited);
}

bool LinkBudget::pay_repeat(ReplicaId to, std::uint64_t bytes, std::uint64_t now_us) {
  return links_[to].repeats.take(bytes, now_us);
}

}  // namespace bftmeta::consensus
