// NEW-VIEWs, and the views on both sides of them: 34 to 37, 39, 40.
#include <set>

#include "adversary/strategies/bent_views.hpp"
#include "adversary/strategies/proposing.hpp"

namespace bftmeta::adversary {

using messages::NewView;
using messages::PeerStatus;
using messages::PrePrepare;
using messages::ViewChange;

namespace {

// 34, and T5.5
class SplitNewView final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<NewView> bend(ReplicaId to, const NewView& honest) override {
    if (in_first_half(to, honest.view)) return honest;
    // When it has entered, it is shown what the others were told.
    constexpr std::uint64_t kLaterUs = 20'000;
    say_at(now_us() + kLaterUs, to, honest);
    const auto it = other_.find(honest.view);
    return it != other_.end() ? it->second
                              : other_.emplace(honest.view, another(honest)).first->second;
  }

  // Q other votes if so many were seen, else the same ones but for its own.
  NewView another(const NewView& honest) {
    auto all = witness().view_changes(honest.view);
    ViewChange own =
        forge::view_change(id_, honest.view, std::nullopt, {}, messages::Reason::joined);
    all.insert_or_assign(self(), own);
    serve(own);
    std::vector<ViewChange> votes{own};
    for (const bool named : {false, true})  // those first that the honest one does not name
      for (const auto& [replica, vc] : all) {
        const bool is_named = std::ranges::any_of(
            honest.votes, [&](const auto& vote) { return vote.replica == replica; });
        if (replica != self() && is_named == named) votes.push_back(vc);
      }
    return forge::new_view(id_, honest.view, std::move(votes)).value_or(honest);
  }

  std::map<View, NewView> other_;
};

// 35
class WrongO final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<NewView> bend(ReplicaId, const NewView& honest) override {
    NewView nv = honest;
    auto& o = nv.proposals;
    sim::Random random(id_.seed ^ honest.view);  // the same for all
    switch (o.empty() ? 4 : random.below(5)) {
      case 0: o.pop_back(); break;
      case 1:
        o.back().digest = messages::batch_digest(context(), messages::Batch::null(o.back().seq));
        break;
      case 2:
        if (o.size() > 1) {
          std::swap(o.front().digest, o.back().digest);
          break;
        }
        [[fallthrough]];
      case 3: o.front().digest = forge::random_hash(random); break;
      default: o.push_back({nv.max_seq() + 1, forge::random_hash(random), {}});
    }
    return nv;
  }
};

// 36
class UnavailableViewChange final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  using BentViews::bend;
  std::optional<NewView> bend(ReplicaId, const NewView& honest) override {
    NewView nv = honest;
    sim::Random random(id_.seed ^ honest.view);
    for (messages::NewViewVote& vote : nv.votes)
      if (vote.replica == self()) vote.digest = forge::random_hash(random);
    return nv;
  }
};

// 37: to everybody just before the timers expire, or when the first replica has given up.
class LateNewView final : public Unsettling {
 public:
  using Unsettling::Unsettling;

 private:
  void send(ReplicaId to, Messages& messages) override {
    Unsettling::send(to, messages);
    std::erase_if(messages, [&](PeerMessage& m) {
      const auto* nv = std::get_if<NewView>(&m);
      if (nv == nullptr || !id_.is_primary(nv->view)) return false;
      const View view = nv->view;
      if (waits_for_somebody(view)) {
        if (was_left(view)) return false;
        lie();
        return true;
      }
      const auto [it, first] = release_.try_emplace(view, now_us() + patience() * 19 / 20);
      if (release_.size() > kMaxRemembered) release_.erase(release_.begin());
      if (now_us() >= it->second) return false;
      if (held_.emplace(view, to).second) say_at(it->second, to, std::move(m));
      if (held_.size() > kMaxRemembered) held_.erase(held_.begin());
      return true;
    });
  }
  bool waits_for_somebody(View view) const {
    return (view / config().n() + id_.seed) % 2 == 0;  // every other time that it is the primary
  }
  bool was_left(View view) {
    return std::ranges::any_of(victims(), [&](ReplicaId r) {
      const PeerStatus* theirs = witness().status_of(r);
      return theirs != nullptr && theirs->view > view;
    });
  }
  // T_newview of replicas for which as many views have failed as were skipped.
  std::uint64_t patience() const {
    const PeerStatus* own = own_status();
    constexpr View kMostDoublings = 5;
    const View failed = own == nullptr || own->view <= own->entered
                            ? 0
                            : std::min(own->view - own->entered - 1, kMostDoublings);
    return std::min(id_.timing.new_view << failed, id_.timing.backoff_cap);
  }

  std::map<View, std::uint64_t> release_;
  std::set<std::pair<View, ReplicaId>> held_;
};

// 39
class WithheldPreparedBody final : public Proposing {
 public:
  explicit WithheldPreparedBody(Identity identity) : Proposing(std::move(identity)) {
    period_us_ = 20'000;
  }

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    const View view = honest.proposal.view;
    constexpr std::uint64_t kTimeToPrepare = 150'000;
    leave_at_.try_emplace(view, now_us() + kTimeToPrepare);
    if (leave_at_.size() > kMaxRemembered) leave_at_.erase(leave_at_.begin());
    // Least of all the next primary has it.
    auto getters = some_victims(config().n(), view);
    std::erase(getters, config().primary(view + 1));
    getters.resize(std::min<std::size_t>(getters.size(), 2 * config().f()));
    if (std::ranges::find(getters, to) != getters.end()) return honest;
    return std::nullopt;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    // Without its COMMIT, who lacks the batch is needed.
    drop<messages::Commit, messages::BatchData>(messages);
    lie(std::erase_if(messages, [&](const PeerMessage& m) {
      const auto* p = std::get_if<PrePrepare>(&m);
      return p != nullptr && !id_.is_primary(p->proposal.view);
    }));
  }
  void act() override {
    const PeerStatus* own = own_status();
    if (own == nullptr || !own->active) return;
    const auto it = leave_at_.find(own->view);
    if (it == leave_at_.end() || now_us() < it->second) return;
    say_to_all(forge::view_change(id_, own->view + 1));
  }

  std::map<View, std::uint64_t> leave_at_;
};

// 40
class OldView final : public Strategy {
 public:
  explicit OldView(Identity identity) : Strategy(std::move(identity)) { period_us_ = 50'000; }

 private:
  void send(ReplicaId to, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* status = std::get_if<PeerStatus>(&m);
      if (status == nullptr) continue;
      note_view(*status);
      if (!old_ || in_first_half(to, *old_)) continue;
      status->view = status->entered = *old_;
      status->active = true;
      lie();
    }
  }
  void note_view(const PeerStatus& own) {
    if (!own.active || own.view == current_) return;
    const View before = std::exchange(current_, own.view);
    if (!old_ || id_.is_primary(before) || !id_.is_primary(*old_)) old_ = before;
  }
  void act() override {
    leave_own_view();
    if (!old_) return;
    const Seq seq = witness().certified() + 1 + random_.below(2);
    if (id_.is_primary(*old_)) return propose(seq);
    const PrePrepare* p = witness().proposal(*old_, seq);
    if (p == nullptr) return;
    say_to_all(messages::sign_prepare(*id_.signer, context(), p->proposal, self()));
    say_to_all(forge::commit(*p));
  }
  // Says that it leaves, and stays.
  void leave_own_view() {
    constexpr std::uint32_t kStays = 6;
    const PeerStatus* own = own_status();
    if (++acts_ % kStays == 0 && own != nullptr && own->active && id_.is_primary(own->view))
      say_to_all(forge::view_change(id_, own->view + 1));
  }
  // A new batch in the view that is over.
  void propose(Seq seq) {
    messages::Batch batch;
    batch.seq = seq;
    if (const PrePrepare* newest = witness().newest_proposal())
      batch.time_us = newest->batch.time_us;
    const auto& items = witness().items();
    if (!items.empty()) batch.items.push_back(items[random_.below(items.size())]);
    const PrePrepare p = forge::proposal(id_, *old_, std::move(batch));
    say_to_all(p);
    say_to_all(forge::commit(p));
  }

  std::uint32_t acts_ = 0;
  View current_ = 0;
  std::optional<View> old_;
};

}  // namespace

std::vector<Named> new_view_strategies() {
  return {
      {34, "split-new-view", "NEW-VIEW with other VIEW-CHANGEs to each half",
       make_strategy<SplitNewView>},
      {35, "wrong-o", "NEW-VIEW with an entry of O omitted, null, swapped, replaced or added",
       make_strategy<WrongO>},
      {36, "unavailable-view-change", "NEW-VIEW that names a VIEW-CHANGE nobody can get",
       make_strategy<UnavailableViewChange>},
      {37, "late-new-view", "NEW-VIEW held to just under the timeout, or until somebody has left",
       make_strategy<LateNewView>},
      {39, "withheld-p-body", "leaves with a real prepared certificate whose batch it withholds",
       make_strategy<WithheldPreparedBody>},
      {40, "old-view", "goes on in a view that is over, its own above all", make_strategy<OldView>},
  };
}

}  // namespace bftmeta::adversary
