#include "sim/liveness.hpp"

namespace bftmeta::sim {

namespace {

// Batches that are executed and not certified. By the window, plus what catch-up may have brought
// in one answer.
constexpr messages::Seq kMaxLag = limits::kWindow + limits::kMaxHeaderChain;
// Without a fault: those in flight, and one whose shares are on their way.
constexpr messages::Seq kMaxLagFaultFree = 8;

std::string name(messages::ReplicaId replica) { return "replica " + std::to_string(replica); }

}  // namespace

void Liveness::sample(const Host& host) {
  const consensus::Core& core = host.core();
  const messages::Seq executed = core.executed_seq();
  const messages::Seq certified = core.certified_seq();
  const messages::Seq lag = executed > certified ? executed - certified : 0;
  if (lag > (fault_free_ ? kMaxLagFaultFree : kMaxLag))
    violation_("L5", name(host.id()) + " has executed " + std::to_string(executed) +
                         " and knows certificate " + std::to_string(certified) + " only");
  if (fault_free_ && core.view_changes() != 0)
    violation_("L4", name(host.id()) + " leaves view " + std::to_string(core.view()) +
                         " although nothing is wrong");
  for (const consensus::Core::Holding& h : core.holdings()) holds(host.id(), h);
}

void Liveness::holds(messages::ReplicaId replica, const consensus::Core::Holding& h) {
  if (h.count > h.bound)
    violation_("S12", name(replica) + " holds " + std::to_string(h.count) + " " + h.what +
                          ", more than " + std::to_string(h.bound));
}

void Liveness::healed(messages::View highest) {
  if (!healed_at_) healed_at_ = highest;
}

// L3: every faulty primary that comes by costs one view, and one more may be lost to timers that
// were running when the faults ended.
void Liveness::check_views(messages::View highest) {
  if (!healed_at_ || highest <= *healed_at_) return;
  const messages::View allowed = config_.f() + 1;
  if (highest - *healed_at_ > allowed)
    violation_("L3", std::to_string(highest - *healed_at_) +
                         " view changes after the faults ended, more than f + 1");
}

}  // namespace bftmeta::sim
