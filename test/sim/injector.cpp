#include "sim/injector.hpp"

namespace bftmeta::sim {

using messages::ReplicaId;

void FaultInjector::schedule(const std::vector<FaultEvent>& events) {
  for (const FaultEvent& event : events)
    cluster_.scheduler().after(event.at_us, [this, event] { apply(event); });
}

template <class Visit>
void FaultInjector::each(std::uint32_t replicas, const Visit& visit) const {
  for (ReplicaId r = 0; r < cluster_.replicas(); ++r)
    if ((replicas >> r & 1) != 0) visit(r);
}

void FaultInjector::apply(const FaultEvent& event) {
  ++counts_[fault_name(event.kind)];
  cluster_.trace().note(cluster_.scheduler().now(), 0, event.describe());
  switch (event.kind) {
    case FaultKind::power_cut: return power_cut(event, Random(event.seed));
    case FaultKind::kill: return kill(event, Random(event.seed));
    case FaultKind::wipe: return wipe(event, Random(event.seed));
    case FaultKind::partition: return split(event);
    case FaultKind::one_way: return one_way(event);
    case FaultKind::stall: return stall(event);
    case FaultKind::clock_jump:
    case FaultKind::clock_drift: return clock(event);
    case FaultKind::rot:
    case FaultKind::misdirect:
    case FaultKind::sync_error:
    case FaultKind::disk_full:
    case FaultKind::slow_disk: return disk(event);
    case FaultKind::outage: return outage(event, Random(event.seed));
  }
}

void FaultInjector::restart_later(ReplicaId id, std::uint64_t within_us, Random& random) {
  cluster_.scheduler().after(random.between(1'000, within_us), [this, id] { cluster_.start(id); });
}

void FaultInjector::power_cut(const FaultEvent& event, Random random) {
  constexpr Survival kAll[] = {Survival::none, Survival::all, Survival::some};
  each(event.replicas, [&](ReplicaId r) {
    if (!cluster_.host(r).running()) return;
    cluster_.host(r).crash(kAll[random.below(3)]);
    restart_later(r, event.for_us, random);
  });
}

void FaultInjector::kill(const FaultEvent& event, Random random) {
  each(event.replicas, [&](ReplicaId r) {
    if (!cluster_.host(r).running()) return;
    cluster_.host(r).kill();
    restart_later(r, event.for_us, random);
  });
}

void FaultInjector::outage(const FaultEvent& event, Random random) {
  std::vector<ReplicaId> others;
  each(~event.replicas, [&](ReplicaId r) { others.push_back(r); });
  each(event.replicas, [&](ReplicaId r) {
    cluster_.host(r).crash(random.chance(500) ? Survival::none : Survival::some);
    if (event.amount != 0) cluster_.host(r).lose_state();
    cluster_.scheduler().after(event.for_us, [this, r] { cluster_.start(r); });
  });
  // The second start lets go of what the first one has closed.
  constexpr std::size_t kRounds = 2;
  constexpr std::uint64_t kMaxDownUs = 50'000;
  const std::size_t restarts = kRounds * others.size();
  for (std::size_t i = 0; i < restarts; ++i) {
    const std::uint64_t at = event.for_us * (i + 1) / (restarts + 1);
    cluster_.scheduler().after(
        at, [this, r = others[i % others.size()], down = random.between(1'000, kMaxDownUs)] {
          cluster_.host(r).kill();
          cluster_.scheduler().after(down, [this, r] { cluster_.start(r); });
        });
  }
}

void FaultInjector::wipe(const FaultEvent& event, Random random) {
  each(event.replicas, [&](ReplicaId r) {
    cluster_.host(r).crash(Survival::none);
    cluster_.wipe(r);
    restart_later(r, event.for_us, random);
  });
}

void FaultInjector::split(const FaultEvent& event) {
  std::vector<Link> links;
  each(event.replicas, [&](ReplicaId a) {
    each(~event.replicas, [&](ReplicaId b) {
      links.emplace_back(a, b);
      links.emplace_back(b, a);
    });
  });
  cut(std::move(links), event.for_us);
}

void FaultInjector::one_way(const FaultEvent& event) { cut(between(event), event.for_us); }

void FaultInjector::stall(const FaultEvent& event) {
  Network& network = cluster_.network();
  std::vector<Link> links = between(event);
  for (const auto& [a, b] : links) network.stall(a, b);
  cluster_.scheduler().after(event.for_us, [&network, links = std::move(links)] {
    for (const auto& [a, b] : links) network.flow(a, b);
  });
}

std::vector<FaultInjector::Link> FaultInjector::between(const FaultEvent& event) const {
  std::vector<Link> links;
  each(event.replicas, [&](ReplicaId a) {
    each(event.others, [&](ReplicaId b) {
      if (a != b) links.emplace_back(a, b);
    });
  });
  return links;
}

void FaultInjector::cut(std::vector<Link> links, std::uint64_t for_us) {
  Network& network = cluster_.network();
  for (const auto& [a, b] : links) network.cut(a, b);
  cluster_.scheduler().after(for_us, [&network, links = std::move(links)] {
    for (const auto& [a, b] : links) network.mend(a, b);
  });
}

void FaultInjector::clock(const FaultEvent& event) {
  Scheduler& scheduler = cluster_.scheduler();
  each(event.replicas, [&](ReplicaId r) {
    Clock& clock = cluster_.host(r).clock();
    if (event.kind == FaultKind::clock_jump)
      clock.jump(event.amount);
    else
      clock.drift(event.amount, scheduler.now());
    scheduler.after(event.for_us, [&clock, &scheduler] { clock.correct(scheduler.now()); });
  });
}

void FaultInjector::disk(const FaultEvent& event) {
  Scheduler& scheduler = cluster_.scheduler();
  each(event.replicas, [&](ReplicaId r) {
    Host& host = cluster_.host(r);
    switch (event.kind) {
      case FaultKind::rot: return host.log().inject(DiskFault::rot);
      case FaultKind::misdirect: return host.log().inject(DiskFault::misdirect);
      case FaultKind::sync_error: return host.log().inject(DiskFault::sync_error);
      case FaultKind::slow_disk:
        return host.slow_disk(static_cast<std::uint64_t>(event.amount),
                              scheduler.now() + event.for_us);
      default: break;
    }
    host.log().inject(DiskFault::full);
    scheduler.after(event.for_us, [&host] { host.log().inject(DiskFault::space_again); });
  });
}

void FaultInjector::end_all() {
  cluster_.network().heal();
  for (ReplicaId r = 0; r < cluster_.replicas(); ++r) {
    Host& host = cluster_.host(r);
    host.clock().correct(cluster_.scheduler().now());
    host.log().inject(DiskFault::space_again);
    host.slow_disk(0, 0);
    if (!host.running()) cluster_.start(r);
  }
}

}  // namespace bftmeta::sim
