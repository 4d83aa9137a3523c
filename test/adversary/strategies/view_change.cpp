// VIEW-CHANGEs that are not what the replica holds, and suspicion: 28 to 33, 38, 62.
#include "adversary/strategies/bent_views.hpp"

namespace bftmeta::adversary {

using messages::NewView;
using messages::PeerStatus;
using messages::PreparedCert;
using messages::Reason;
using messages::ViewChange;

namespace {

// 28
class EmptyP final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<ViewChange> bend(ReplicaId, const ViewChange& honest) override {
    ViewChange vc = honest;
    vc.prepared.clear();
    return vc;
  }
};

// As if nothing had been certified since the oldest certificate that is known.
ViewChange with_stale_base(ViewChange vc, const messages::RootCert* oldest, Seq epoch_start) {
  vc.base.reset();
  if (oldest != nullptr && oldest->body.seq % 2 == 0) vc.base = *oldest;
  std::erase_if(vc.prepared, [&](const PreparedCert& entry) {
    return entry.proposal.seq > vc.base_seq(epoch_start) + limits::kWindow;
  });
  return vc;
}

// 29
class StaleBase final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<ViewChange> bend(ReplicaId, const ViewChange& honest) override {
    return with_stale_base(honest, witness().oldest_cert(), id_.epoch_start);
  }
};

// 30
class BrokenEntry final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<ViewChange> bend(ReplicaId, const ViewChange& honest) override {
    ViewChange vc = honest;
    if (vc.prepared.empty()) {
      PreparedCert made_up;
      made_up.proposal = {vc.new_view - 1, vc.base_seq(id_.epoch_start) + 1,
                          forge::random_hash(random_)};
      for (ReplicaId r = 0; r < config().n() && made_up.signatures.size() < 2 * config().f(); ++r) {
        if (r == config().primary(vc.new_view - 1)) continue;
        made_up.backups |= 1U << r;
        made_up.signatures.emplace_back();
      }
      vc.prepared.push_back(std::move(made_up));
      return vc;
    }
    PreparedCert& entry = vc.prepared[random_.below(vc.prepared.size())];
    switch (random_.below(3)) {
      case 0: entry.signatures[random_.below(entry.signatures.size())][5] ^= 1; break;
      case 1: entry.primary_signature[5] ^= 1; break;
      default: entry.proposal.digest[5] ^= 1;
    }
    return vc;
  }
};

// 31
class DifferentViewChanges final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<ViewChange> bend(ReplicaId to, const ViewChange& honest) override {
    ViewChange vc = honest;
    switch ((to + honest.new_view) % 4) {
      // All that can be proven, also what no correct replica holds the proof of.
      case 0:
        vc.prepared = witness().prepared(config(), vc.base_seq(id_.epoch_start), vc.new_view);
        break;
      case 1: vc.prepared.clear(); break;
      case 2: vc = with_stale_base(std::move(vc), witness().oldest_cert(), id_.epoch_start); break;
      default: vc.reason = Reason::joined; vc.prepared.clear();
    }
    return vc;
  }
};

// 32
class DistantView final : public Strategy {
 public:
  explicit DistantView(Identity identity) : Strategy(std::move(identity)) { period_us_ = 200'000; }

 private:
  void act() override {
    constexpr View kFar = View{1} << 40;
    if (const PeerStatus* own = own_status())
      say_to_all(forge::view_change(id_, own->view + kFar + random_.below(2)));
  }
};

// 33
class LonelySuspect final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId to, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* status = std::get_if<PeerStatus>(&m);
      if (status == nullptr || !chosen(to, 1, id_.seed)) continue;
      // It may be in a view that this replica has not entered.
      if (const PeerStatus* theirs = witness().status_of(to)) status->view = theirs->view;
      status->active = true;
      status->suspects = Reason::request_timeout;
      lie();
    }
  }
};

// 38: for the next view that would be its own again.
class Abdicator final : public Strategy {
 public:
  explicit Abdicator(Identity identity) : Strategy(std::move(identity)) { period_us_ = 100'000; }

 private:
  void act() override {
    const PeerStatus* own = own_status();
    if (own != nullptr && own->active && id_.is_primary(own->view))
      say_to_all(forge::view_change(id_, own->view + config().n()));
  }
};

// 62, and T5.15: targets that drift apart.
class TwoViewChanges final : public Strategy {
 public:
  explicit TwoViewChanges(Identity identity) : Strategy(std::move(identity)) {
    period_us_ = 500'000;
  }

 private:
  // Also where nobody else wants to leave.
  void act() override {
    if (const PeerStatus* own = own_status(); own != nullptr && own->active) provoke(own->view + 1);
  }
  void send(ReplicaId, Messages& messages) override {
    for (const PeerMessage& m : messages)
      if (const auto* vc = std::get_if<ViewChange>(&m); vc && vc->replica == self()) {
        provoke(vc->new_view);
        break;
      }
    drop<ViewChange>(messages);
  }
  bool receive(ReplicaId, const PeerMessage& message) override {
    if (const auto* vc = std::get_if<ViewChange>(&message)) provoke(vc->new_view);
    return true;
  }
  void provoke(View view) {
    const PeerStatus* own = own_status();
    if (view <= provoked_ || (own != nullptr && view <= own->entered)) return;
    // A Byzantine replica's distant view is no view that anybody correct is in.
    constexpr View kNear = 16;
    if (own != nullptr && view > own->view + kNear) return;
    provoked_ = view + 1;
    constexpr std::uint64_t kLaterUs = 30'000;
    for (const ReplicaId to : some_victims(1, view)) say(to, forge::view_change(id_, view));
    for (ReplicaId to = 0; to < config().n(); ++to)
      if (to != self()) say_at(now_us() + kLaterUs, to, forge::view_change(id_, view + 1));
  }

  View provoked_ = 0;
};

}  // namespace

std::vector<Named> view_change_strategies() {
  return {
      {28, "empty-p", "VIEW-CHANGE without what it has prepared", make_strategy<EmptyP>},
      {29, "stale-base", "VIEW-CHANGE from an old certificate, or from genesis",
       make_strategy<StaleBase>},
      {30, "broken-p-entry", "VIEW-CHANGE with one entry that is no proof",
       make_strategy<BrokenEntry>},
      {31, "different-view-changes", "another VIEW-CHANGE to each replica",
       make_strategy<DifferentViewChanges>},
      {32, "distant-view", "VIEW-CHANGE for the view after the next 2^40",
       make_strategy<DistantView>},
      {33, "lonely-suspect", "suspects the primary to one replica only",
       make_strategy<LonelySuspect>},
      {38, "abdicator", "leaves every view of which it is the primary, for the next own one",
       make_strategy<Abdicator>},
      {62, "two-view-changes", "VIEW-CHANGE to one replica, then a higher one to all",
       make_strategy<TwoViewChanges>},
  };
}

}  // namespace bftmeta::adversary
