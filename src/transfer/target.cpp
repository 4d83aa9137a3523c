#include "transfer/target.hpp"

#include "base/assert.hpp"
#include "base/mutant.hpp"

namespace bftmeta::transfer {

void Target::offer(ReplicaId from, CertifiedState state) {
  if (state.cert.body.seq >= floor_ || mutant(Mutant::target_below_floor))
    offers_.insert_or_assign(from, std::move(state));
}

void Target::give_up() {
  if (!spent_) late();
  spent_ = true;
}

bool Target::choose() {
  auto best = offers_.end();
  for (auto it = offers_.begin(); it != offers_.end(); ++it) {
    const auto rank = [this](const auto& o) {
      return std::pair(-std::int64_t{failures_[o->first]}, o->second.cert.body.seq);
    };
    if (best == offers_.end() || rank(it) > rank(best)) best = it;
  }
  BFTMETA_ASSERT(best != offers_.end());
  from_ = best->first;
  CertifiedState chosen = std::move(best->second);
  offers_.clear();
  const bool other = !state_ || state_->cert.body.seq != chosen.cert.body.seq || spent_;
  state_ = std::move(chosen);
  spent_ = false;
  return other;
}

}  // namespace bftmeta::transfer
