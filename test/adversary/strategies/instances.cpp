// Correct code in the wrong number or with the wrong memory: 1, 2, 47. The further instances live
// inside the strategy, so that a real process can be its own twin.
#include "adversary/instance.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

using messages::NewView;
using messages::Prepare;
using messages::PrePrepare;
using messages::RootShare;
using messages::ViewChange;

namespace {

// 1 and 2: the driver's replica is instance 0. Each peer is connected to one instance or to
// several, drawn again every while. A lie is a signed statement that contradicts what another
// instance has said.
template <std::uint32_t kInstances>
class Twins final : public Strategy {
 public:
  explicit Twins(Identity identity) : Strategy(std::move(identity)) { period_us_ = 1; }

 private:
  void act() override {
    period_us_ = 30'000 + random_.below(400'000);
    for (ReplicaId r = 0; r < config().n(); ++r)
      connected_[r] = plot().includes(r) ? ~0U : 1U << random_.below(kInstances);
    // Sometimes one peer sees all of them.
    if (random_.below(4) == 0)
      connected_[static_cast<ReplicaId>(random_.below(config().n()))] = ~0U;
  }

  void start() {
    while (twins_.size() + 1 < kInstances)
      twins_.push_back(std::make_unique<Instance>(id_, now_, std::vector<consensus::Record>{}));
  }
  bool connects(ReplicaId peer, std::uint32_t instance) {
    return (connected_[peer] >> instance & 1) != 0;
  }

  void send(ReplicaId to, Messages& messages) override {
    if (!connects(to, 0)) messages.clear();
    for (const PeerMessage& m : messages) note(m);
  }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    start();
    for (std::uint32_t i = 1; i < kInstances; ++i)
      if (connects(from, i)) twins_[i - 1]->deliver(from, message, now_);
    return connects(from, 0);
  }
  bool submit(const messages::Item& item) override {
    start();
    for (const auto& twin : twins_) twin->submit(item, now_);
    return true;
  }
  std::vector<Unasked> more() override {
    start();
    std::vector<Unasked> out;
    for (std::uint32_t i = 1; i < kInstances; ++i) {
      twins_[i - 1]->tick(now_);
      for (Unasked& u : twins_[i - 1]->take_sent()) {
        if (!connects(u.to, i)) continue;
        note(u.message);
        out.push_back(std::move(u));
      }
    }
    return out;
  }
  std::uint64_t more_at() const override {
    std::uint64_t next = kNever;
    for (const auto& twin : twins_) next = std::min(next, twin->deadline());
    return next;
  }

  void note(const PeerMessage& m) {
    if (const auto* p = std::get_if<PrePrepare>(&m); p && id_.is_primary(p->proposal.view))
      state(p->proposal.view, p->proposal.seq, m.index(), p->proposal.digest);
    else if (const auto* v = std::get_if<Prepare>(&m); v && v->replica == self())
      state(v->proposal.view, v->proposal.seq, m.index(), v->proposal.digest);
    else if (const auto* s = std::get_if<RootShare>(&m))
      state(0, s->body.seq, m.index(), s->body.digest());
    else if (const auto* vc = std::get_if<ViewChange>(&m); vc && vc->replica == self())
      state(vc->new_view, 0, m.index(), vc->digest());
    else if (const auto* nv = std::get_if<NewView>(&m); nv && id_.is_primary(nv->view))
      state(nv->view, 0, m.index(), nv->body_digest());
  }
  void state(View view, Seq seq, std::size_t kind, const Hash& what) {
    const auto [it, first] = said_.try_emplace({view, seq, kind}, what);
    if (!first && it->second != what) lie();
    if (said_.size() > kMaxRemembered) said_.erase(said_.begin());
  }

  std::map<ReplicaId, std::uint32_t> connected_;  // bitmap of instances
  std::vector<std::unique_ptr<Instance>> twins_;
  std::map<std::tuple<View, Seq, std::size_t>, Hash> said_;
};

// 47: the driver's replica is mute; an instance that is restarted with old images of its log
// speaks.
class Amnesia final : public Strategy {
 public:
  explicit Amnesia(Identity identity) : Strategy(std::move(identity)) { period_us_ = 200'000; }

 private:
  void act() override {
    start();
    if (image_ && random_.below(3) != 0) {
      forget();
    } else if (!image_ || random_.below(3) == 0) {
      image_ = instance_->log();
    }
  }
  void forget() {
    if (image_->size() < instance_->log().size()) lie();
    instance_ = std::make_unique<Instance>(id_, now_, *image_);
  }

  void start() {
    if (!instance_)
      instance_ = std::make_unique<Instance>(id_, now_, std::vector<consensus::Record>{});
  }
  void send(ReplicaId, Messages& messages) override { messages.clear(); }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    start();
    instance_->deliver(from, message, now_);
    return false;
  }
  bool submit(const messages::Item& item) override {
    start();
    instance_->submit(item, now_);
    return false;
  }
  bool see_tick() override { return false; }
  std::vector<Unasked> more() override {
    start();
    instance_->tick(now_);
    std::vector<Unasked> sent = instance_->take_sent();
    for (const Unasked& u : sent) witness().saw(config(), id_.cluster_id, self(), u.message);
    // What it has committed to is what others may need to hear of, if they lose power now.
    constexpr std::uint64_t kSeldom = 6;
    const bool committed = std::ranges::any_of(
        sent, [](const Unasked& u) { return std::holds_alternative<messages::Commit>(u.message); });
    if (committed && image_ && random_.below(kSeldom) == 0) {
      forget();
      unsettle();
    }
    return sent;
  }
  std::uint64_t more_at() const override { return instance_ ? instance_->deadline() : 0; }

  std::unique_ptr<Instance> instance_;
  std::optional<std::vector<consensus::Record>> image_;
};

}  // namespace

std::vector<Named> instance_strategies() {
  return {
      {1, "twins", "two correct instances with one key, each connected to some of the others",
       make_strategy<Twins<2>>},
      {2, "triplets", "three correct instances with one key", make_strategy<Twins<3>>},
      {47, "amnesia", "restarts with old images of its log", make_strategy<Amnesia>},
  };
}

}  // namespace bftmeta::adversary
