// What mutates messages or wraps another strategy: 57 to 60.
#include "adversary/forge.hpp"
#include "adversary/mutate.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

using messages::PrePrepare;

namespace {

// 58
class Mutated final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    Messages added;
    for (PeerMessage& m : messages) {
      if (random_.below(4) != 0) {
        pool_from(m);
        continue;
      }
      PeerMessage changed = mutated(m);
      if (changed == m || encoded_size(changed) > kRoom) continue;
      lie();
      if (random_.below(2) == 0) {
        m = std::move(changed);
      } else {
        added.push_back(std::move(changed));
      }
    }
    std::ranges::move(added, std::back_inserter(messages));
  }
  bool reply(messages::ReplicaMessage& message) override {
    if (random_.below(4) != 0) return true;
    messages::ReplicaMessage changed = message;
    mutate_field(changed, pool_, random_);
    if (changed == message || encoded_size(changed) > kRoom) return true;
    message = std::move(changed);
    lie();
    return true;
  }
  void pool_from(PeerMessage& m) { Mutator(pool_, random_, Mutator::kNone).visit(m); }

  PeerMessage mutated(PeerMessage m) {
    for (std::uint64_t n = 1 + random_.below(3); n > 0; --n) mutate_field(m, pool_, random_);
    if (random_.below(8) == 0) return m;
    // A wrong digest or signature is refused first: most lies get past that.
    if (auto* p = std::get_if<PrePrepare>(&m))
      p->proposal.digest = messages::batch_digest(context(), p->batch);
    forge::sign_again(id_, m);
    return m;
  }

  static constexpr std::size_t kRoom = limits::kMaxFrame - 1024;
  Pool pool_;
};

// A strategy around another one.
class Wrapper : public Strategy {
 public:
  explicit Wrapper(Identity identity) : Strategy(std::move(identity)) {
    constexpr int kFirstMeta = 57;
    constexpr int kLastMeta = 60;
    std::vector<const Named*> plain;
    for (const Named& n : all_strategies())
      if (!n.simulator_only && !n.transfer && (n.number < kFirstMeta || n.number > kLastMeta))
        plain.push_back(&n);
    inner_ = plain[random_.below(plain.size())]->make(id_);
  }

 protected:
  void send(ReplicaId to, Messages& messages) override { inner_->outgoing(to, messages, now_); }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    return inner_->incoming(from, message, now_);
  }
  bool submit(const messages::Item& item) override { return inner_->submitted(item); }
  bool reply(messages::ReplicaMessage& message) override { return inner_->answer(message); }
  bool see_tick() override { return inner_->tick(now_); }
  std::vector<Unasked> more() override { return inner_->unasked(now_); }
  std::uint64_t more_at() const override { return inner_->deadline(); }

 private:
  std::unique_ptr<Strategy> inner_;
};

// 57
class CompressedTiming final : public Wrapper {
 public:
  using Wrapper::Wrapper;

 private:
  void send(ReplicaId to, Messages& messages) override {
    Wrapper::send(to, messages);
    std::erase_if(messages, [&](PeerMessage& m) {
      const std::uint64_t at = around_timer(to);
      if (at <= now_us()) return false;
      say_at(at, to, std::move(m));
      return true;
    });
  }
  std::vector<Unasked> more() override {
    std::vector<Unasked> now;
    for (Unasked& u : Wrapper::more()) {
      const std::uint64_t at = around_timer(u.to);
      if (at <= now_us())
        now.push_back(std::move(u));
      else
        say_at(at, u.to, std::move(u.message));
    }
    return now;
  }
  bool see_tick() override {
    last_tick_us_ = now_us();
    return Wrapper::see_tick();
  }
  // When to send, so that it arrives in the millisecond around the receiver's next timer. Without
  // that knowledge the own timers stand for it: all follow one policy.
  std::uint64_t around_timer(ReplicaId to) {
    constexpr std::uint64_t kWindowUs = 1'000;
    constexpr std::uint64_t kTravelUs = 300;
    const auto& next_timer = plot().powers.next_timer;
    const std::uint64_t timer =
        next_timer ? next_timer(to) : last_tick_us_ + id_.timing.status_busy;
    if (timer <= now_us() + kWindowUs) return now_us();
    const std::uint64_t at = timer - kTravelUs - random_.below(kWindowUs);
    return std::min(at, now_us() + id_.timing.status_idle);
  }

  std::uint64_t last_tick_us_ = 0;
};

// 59
class PowerCuts final : public Wrapper {
 public:
  using Wrapper::Wrapper;

 private:
  void send(ReplicaId to, Messages& messages) override {
    Wrapper::send(to, messages);
    if (steps_to_go_-- > 0 || !plot().powers.cut_power) return;
    constexpr std::uint64_t kLongest = 250;
    steps_to_go_ = static_cast<std::int64_t>(random_.below(kLongest));
    if (plot().powers.cut_power()) lie();
  }

  std::int64_t steps_to_go_ = static_cast<std::int64_t>(random_.below(60));
};

// 60
class Adaptive final : public Wrapper {
 public:
  using Wrapper::Wrapper;

 private:
  bool turned() { return witness().certified() >= turns_at_; }
  void send(ReplicaId to, Messages& messages) override {
    if (turned()) Wrapper::send(to, messages);
  }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    return !turned() || Wrapper::receive(from, message);
  }
  bool submit(const messages::Item& item) override { return !turned() || Wrapper::submit(item); }
  bool reply(messages::ReplicaMessage& message) override {
    return !turned() || Wrapper::reply(message);
  }
  bool see_tick() override { return !turned() || Wrapper::see_tick(); }
  std::vector<Unasked> more() override {
    return turned() ? Wrapper::more() : std::vector<Unasked>{};
  }
  std::uint64_t more_at() const override {
    return id_.conspiracy->witness.certified() >= turns_at_ ? Wrapper::more_at() : kNever;
  }

  const Seq turns_at_ = 1 + random_.below(20);
};

}  // namespace

std::vector<Named> meta_strategies() {
  return {
      {.number = 57,
       .name = "compressed-timing",
       .what = "a random strategy, all of it in the millisecond around timers",
       .make = make_strategy<CompressedTiming>,
       .wraps = true},
      {58, "mutated", "correct messages with fields changed and signed again",
       make_strategy<Mutated>},
      {.number = 59,
       .name = "power-cuts",
       .what = "a random strategy, and power cuts of all others between its messages",
       .make = make_strategy<PowerCuts>,
       .simulator_only = true,
       .wraps = true},
      {.number = 60,
       .name = "adaptive",
       .what = "correct up to some number, then a random strategy",
       .make = make_strategy<Adaptive>,
       .wraps = true},
  };
}

}  // namespace bftmeta::adversary
