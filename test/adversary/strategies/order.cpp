// Whom a Byzantine primary tells what, and when: 3 to 8, 12, 13, 18, 49.
#include <set>

#include "adversary/strategies/proposing.hpp"

namespace bftmeta::adversary {

using messages::PrePrepare;

namespace {

// 3
class EquivocatingPrimary final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    if (in_first_half(to, honest.proposal.view)) return honest;
    // All of this half hear the same.
    sim::Random random(honest.proposal.seq);
    return forge::proposal(id_, honest.proposal.view, forge::another(honest.batch, random));
  }
};

// 4
class SameDigestOtherBody final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    if (in_first_half(to, honest.proposal.seq)) return honest;
    PrePrepare p = honest;
    p.batch = forge::another(p.batch, random_);
    return p;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    for (PeerMessage& m : messages)
      if (auto* data = std::get_if<messages::BatchData>(&m)) {
        data->batch = forge::another(data->batch, random_);
        lie();
      }
  }
};

// 5: the certificate liveness gap (§4.4).
class Starving final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    if (chosen(to, config().f() + 1, honest.proposal.view)) return honest;
    return std::nullopt;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    drop<messages::RootShare, messages::RootCert, messages::HistoryData>(messages);
  }
};

// 6, to nobody at all, not even a new view.
class SilentPrimary final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    drop<PrePrepare, messages::NewView>(messages);
  }
};

// 6
class HalfSilentPrimary final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    proposed_in_ = honest.proposal.view;
    const std::size_t fewer = config().quorum() - 2;  // with this replica still no quorum
    if (chosen(to, 1 + honest.proposal.view % fewer, honest.proposal.view)) return honest;
    return std::nullopt;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    const auto* own = own_status();
    if (!proposed_in_ || own == nullptr || own->view != *proposed_in_) return;
    const auto gone = std::erase_if(
        messages, [](const PeerMessage& m) { return !std::holds_alternative<PrePrepare>(m); });
    lie(gone);
  }

  std::optional<View> proposed_in_;
};

// 7 and 8: the numbers of a view move away from where they should be after a few good ones.
class Shifting : public Proposing {
 public:
  using Proposing::Proposing;

 protected:
  virtual Seq shift(View view) const = 0;

 private:
  std::optional<PrePrepare> propose(ReplicaId, const PrePrepare& honest) override {
    constexpr Seq kGood = 2;
    const auto [first, is_new] = first_of_.try_emplace(honest.proposal.view, honest.proposal.seq);
    if (honest.proposal.seq < first->second + kGood) return honest;
    messages::Batch batch = honest.batch;
    batch.seq += shift(honest.proposal.view);
    return forge::proposal(id_, honest.proposal.view, std::move(batch));
  }

  std::map<View, Seq> first_of_;
};

class SkippingNumbers final : public Shifting {
 public:
  using Shifting::Shifting;

 private:
  Seq shift(View view) const override { return 1 + view % 3; }
};

class WindowEdge final : public Shifting {
 public:
  using Shifting::Shifting;

 private:
  Seq shift(View view) const override {
    constexpr Seq kShifts[] = {limits::kWindow - 2, limits::kWindow, 2 * limits::kWindow,
                               Seq{1} << 40};
    return kShifts[(view + id_.seed) % std::size(kShifts)];
  }
};

// 12 and 13: every proposal leaves later than it could.
class Holding : public Strategy {
 public:
  using Strategy::Strategy;

 protected:
  virtual std::uint64_t hold_us(View view) = 0;
  // Nobody suspects it for that: who just misses a batch waits for two.
  std::uint64_t longest_us() const { return id_.timing.request_min * 19 / 40; }

  void send(ReplicaId to, Messages& messages) override {
    std::erase_if(messages, [&](PeerMessage& m) {
      const auto* p = std::get_if<PrePrepare>(&m);
      if (p == nullptr || !id_.is_primary(p->proposal.view)) return false;
      const auto key = std::pair{p->proposal.seq, p->proposal.view};
      auto it = release_.find(key);
      if (it == release_.end())
        it = release_.emplace(key, now_us() + hold_us(p->proposal.view)).first;
      if (release_.size() > kMaxRemembered) release_.erase(release_.begin());
      if (now_us() >= it->second) return false;
      if (held_.emplace(p->proposal.seq, p->proposal.view, to).second)
        say_at(it->second, to, std::move(m));
      if (held_.size() > kMaxRemembered) held_.erase(held_.begin());
      return true;
    });
  }

 private:
  std::map<std::pair<Seq, View>, std::uint64_t> release_;
  std::set<std::tuple<Seq, View, ReplicaId>> held_;
};

class SlowPrimary final : public Holding {
 public:
  using Holding::Holding;

 private:
  std::uint64_t hold_us(View) override { return longest_us(); }
};

class ThrottlingPrimary final : public Holding {
 public:
  using Holding::Holding;

 private:
  // A batch waits for a tenth of what one has taken so far. Once the others have seen what the
  // system can do (§5.5), by another primary or by this one, every batch a tenth longer than the
  // one before, as long as no request gets old by that: nothing but its rate tells on this primary.
  std::uint64_t hold_us(View view) override {
    const std::uint64_t since = now_us() - std::exchange(last_us_, now_us());
    if (began_us_ == 0) began_us_ = now_us();
    constexpr std::uint64_t kSeenUs = 13'000'000;
    if (view != 0 || now_us() - began_us_ > kSeenUs)
      return hold_us_ = std::min(hold_us_ * 11 / 10 + 1, longest_us());
    constexpr std::uint64_t kIdle = 1'000'000;
    if (since < kIdle) interval_us_ = interval_us_ == 0 ? since : (7 * interval_us_ + since) / 8;
    return hold_us_ = std::max<std::uint64_t>(interval_us_ / 10, 1);
  }

  std::uint64_t began_us_ = 0;
  std::uint64_t last_us_ = 0;
  std::uint64_t interval_us_ = 0;
  std::uint64_t hold_us_ = 0;
};

// 49: once its epoch is to end, this primary fills up as slowly as nobody suspects a batch for, or
// not at all. Its share of the last batch stays with it.
class LateEpochEnd final : public Holding {
 public:
  using Holding::Holding;

 private:
  std::uint64_t hold_us(View) override {
    if (end_ == 0) return 0;
    constexpr std::uint64_t kNotAtAllUs = 3'600'000'000;
    return id_.seed % 2 == 0 ? id_.timing.request_min * 9 / 10 : kNotAtAllUs;
  }
  void send(ReplicaId to, Messages& messages) override {
    for (const PeerMessage& m : messages)
      if (const auto* share = std::get_if<messages::RootShare>(&m))
        end_ = share->body.epoch_end_seq;
    lie(std::erase_if(messages, [&](const PeerMessage& m) {
      const auto* share = std::get_if<messages::RootShare>(&m);
      return share != nullptr && end_ != 0 && share->body.seq == end_;
    }));
    Holding::send(to, messages);
  }

  Seq end_ = 0;  // of the epoch, once the own core knows it
};

// 18
class WithheldBody final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    if (chosen(to, 2 * config().f(), honest.proposal.view)) return honest;
    PrePrepare p = honest;
    p.batch = {};
    p.batch.seq = honest.batch.seq;
    return p;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    drop<messages::BatchData>(messages);
  }
};

}  // namespace

std::vector<Named> order_strategies() {
  return {
      {3, "equivocating-primary", "another valid batch under the same number to half the backups",
       make_strategy<EquivocatingPrimary>},
      {4, "same-digest-other-body", "the signed digest with another batch beside it",
       make_strategy<SameDigestOtherBody>},
      {5, "starving-primary", "proposes to f + 1 correct backups only and signs no share",
       make_strategy<Starving>},
      {6, "silent-primary", "proposes nothing, not even a new view", make_strategy<SilentPrimary>},
      {6, "half-silent-primary", "proposes to fewer than a quorum, then says nothing",
       make_strategy<HalfSilentPrimary>},
      {7, "skipping-numbers", "leaves holes in the sequence numbers",
       make_strategy<SkippingNumbers>},
      {8, "window-edge", "proposes at, behind and far behind the edge of the window",
       make_strategy<WindowEdge>},
      {12, "slow-primary",
       "holds every proposal so long that requests stay just under their timeout",
       make_strategy<SlowPrimary>},
      {13, "throttling-primary", "slows proposals down by a tenth, later further and further",
       make_strategy<ThrottlingPrimary>},
      {18, "withheld-body", "gives the batch to 2f backups only, the digest to all",
       make_strategy<WithheldBody>},
      {.number = 49,
       .name = "late-epoch-end",
       .what = "fills up to the end of the epoch as slowly as it may, or not at all",
       .make = make_strategy<LateEpochEnd>,
       .simulator_only = true,
       .epochs = true},
  };
}

}  // namespace bftmeta::adversary
