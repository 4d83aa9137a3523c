#include "sim/liveness.hpp"

namespace bftmeta::sim {

namespace {

// Batches that are executed and not certified. By the window, plus what catch-up may have brought
// in one answer.
constexpr messages::Seq kMaxLag = limits::kWindow + limits::kMaxHeaderChain;
// Without a fault: those in flight, and one whose shares are on their way.
constexpr messages::Seq kMaxLagFaultFree = 8;
// HISTORY may be a megabyte and is answered once in 5 ms; some more around restarts.
constexpr std::uint64_t kMaxHistoriesPerSecond = 250;
// Every view takes time; more than this were never wanted by anybody correct.
constexpr messages::View kMaxViews = 1000;

std::string name(messages::ReplicaId replica) { return "replica " + std::to_string(replica); }

}  // namespace

void Liveness::sent(messages::ReplicaId from, messages::ReplicaId to,
                    const messages::PeerMessage& message, std::uint64_t now_us) {
  if (!std::holds_alternative<messages::HistoryData>(message)) return;
  constexpr std::uint64_t kSecondUs = 1'000'000;
  Second& second = histories_[{from, to}];
  if (second.number != now_us / kSecondUs) second = {now_us / kSecondUs, 0};
  if (++second.count == kMaxHistoriesPerSecond + 1)
    violation_("S12", name(from) + " answers replica " + std::to_string(to) + " with more than " +
                          std::to_string(kMaxHistoriesPerSecond) + " HISTORYs within a second");
}

void Liveness::sample(const Host& host, std::uint32_t correct) {
  const consensus::Core& core = host.core();
  const messages::Seq executed = core.executed_seq();
  const messages::Seq certified = core.certified_seq();
  const messages::Seq lag = executed > certified ? executed - certified : 0;
  if (lag > (fault_free_ ? kMaxLagFaultFree : kMaxLag))
    violation_("L5", name(host.id()) + " has executed " + std::to_string(executed) +
                         " and knows certificate " + std::to_string(certified) + " only");
  if ((fault_free_ || one_view_) && core.view_changes() != 0)
    violation_("L4", name(host.id()) + " leaves view " + std::to_string(core.view()) +
                         " although nothing is wrong");
  if (core.view() > kMaxViews)
    violation_("L3", name(host.id()) + " is in view " + std::to_string(core.view()));
  // It relays only what it has verified.
  if ((core.distrusted() & correct) != 0)
    violation_("S13", name(host.id()) + " distrusts a correct replica, of " +
                          std::to_string(core.distrusted() & correct) + " (bitmap)");
  for (const consensus::Core::Holding& h : core.holdings()) holds(host.id(), h);
}

void Liveness::holds(messages::ReplicaId replica, const consensus::Core::Holding& h) {
  if (h.count > h.bound)
    violation_("S12", name(replica) + " holds " + std::to_string(h.count) + " " + h.what +
                          ", more than " + std::to_string(h.bound));
}

void Liveness::healed(std::uint64_t epoch, messages::View highest) {
  if (!healed_at_) healed_at_ = {epoch, highest};
}

// L3: every faulty primary that comes by costs one view, and one more may be lost to timers that
// were running when the faults ended, or to replicas that begin an epoch one after another.
void Liveness::check_views(const config::Config& config, messages::View highest) {
  if (!healed_at_) return;
  const messages::View before = healed_at_->first == config.epoch ? healed_at_->second : 0;
  if (highest > before + config.f() + 1)
    violation_("L3", std::to_string(highest - before) +
                         " view changes after the faults ended, more than f + 1");
}

}  // namespace bftmeta::sim
