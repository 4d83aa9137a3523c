// 41: what a source of a state transfer (protocol §7.7) may say instead of what it was asked for.
// To have old states at hand it asks the others for theirs all the time, which they may not refuse.
#include "adversary/proof_parts.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

using messages::CertifiedState;
using messages::FetchNodes;
using messages::NodesData;

namespace {

enum class SourceLie : std::uint8_t {
  wrong,     // other bytes than were asked for, some of them late; states that prove nothing
  leafless,  // the right hashes, without the values of leaves
  trickle,   // one subtree of all that were asked for, one level of it, as late as possible
  gone,      // has nothing of what it was asked for, and no history either
  old,       // another state each time it is asked for one, most of them below anybody's floor
};
constexpr std::size_t kSourceLies = 5;

// An answer is waited for that long (transfer::Timing), less what two trips may take.
constexpr std::uint64_t kLateUs = 850'000;

class Source : public Strategy {
 public:
  explicit Source(Identity identity) : Strategy(std::move(identity)), next_id_(random_.next()) {}

 protected:
  virtual SourceLie kind() = 0;

  void send(ReplicaId to, Messages& messages) override {
    if (plot().includes(to)) return;
    const SourceLie how = kind();
    std::erase_if(messages, [&](PeerMessage& m) {
      if (auto* history = std::get_if<messages::HistoryData>(&m)) forget(*history, how);
      auto* nodes = std::get_if<NodesData>(&m);
      if (nodes == nullptr) return false;
      return asked_for_state(to, nodes->id) ? offer(*nodes, how) : serve(to, *nodes, how);
    });
  }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    if (const auto* question = std::get_if<FetchNodes>(&message)) {
      if (question->subtrees.empty()) offers_asked_[from] = question->id;
    } else if (const auto* answer = std::get_if<NodesData>(&message)) {
      if (answer->state) remember(*answer->state);
    }
    return true;
  }

  // Honest questions, so no lies.
  std::vector<Unasked> more() override {
    if (now_us() < more_at()) return {};
    next_question_us_ = now_us() + kAskUs;
    std::vector<Unasked> questions;
    for (const ReplicaId to : victims()) {
      FetchNodes question;
      question.id = next_id_++;
      questions.push_back({to, std::move(question)});
    }
    return questions;
  }
  std::uint64_t more_at() const override { return next_question_us_; }

 private:
  bool asked_for_state(ReplicaId to, std::uint64_t id) const {
    const auto it = offers_asked_.find(to);
    return it != offers_asked_.end() && it->second == id;
  }
  // The oldest are kept, and the newest.
  void remember(const CertifiedState& state) {
    constexpr std::size_t kMost = 16;
    states_.insert_or_assign(state.cert.body.seq, state);
    if (states_.size() > kMost)
      states_.erase(std::next(states_.begin(), static_cast<std::ptrdiff_t>(kMost / 2)));
  }
  void forget(messages::HistoryData& history, SourceLie how) {
    if (how != SourceLie::gone || history.headers.empty()) return;
    history = {history.first, {}, {}, std::nullopt};
    lie();
  }

  // ---- both: true if the message does not leave now

  bool offer(NodesData& answer, SourceLie how) {
    if (how == SourceLie::old && !states_.empty()) {
      const std::size_t pick = random_.below(2) == 0 ? 0 : random_.below(states_.size());
      answer.state = std::next(states_.begin(), static_cast<std::ptrdiff_t>(pick))->second;
      lie();
    } else if (how == SourceLie::wrong && answer.state && random_.below(4) == 0) {
      if (random_.below(2) == 0)
        answer.state->cert.signatures[0][0] ^= 1;
      else
        answer.state->header.batch_digest[0] ^= 1;
      lie();
    }
    return false;
  }

  bool serve(ReplicaId to, NodesData& answer, SourceLie how) {
    std::vector<messages::Fragment>& fragments = answer.fragments;
    switch (how) {
      case SourceLie::wrong:
        falsify(fragments);
        say_at(now_us() + (random_.below(4) == 0 ? kLateUs : 0), to, std::move(answer));
        return true;
      case SourceLie::leafless: redact(fragments); return false;
      case SourceLie::trickle:
        if (fragments.empty()) return false;
        fragments.resize(1);
        if (auto shallow = closed_partial_tree(fragments[0].bytes))
          fragments[0].bytes = std::move(*shallow);
        say_at(now_us() + kLateUs, to, std::move(answer));
        return true;
      case SourceLie::gone:
        for (messages::Fragment& f : fragments) f.bytes.clear();
        if (!fragments.empty()) lie();
        return false;
      case SourceLie::old: return false;  // what it has of it
    }
    return false;
  }

  void redact(std::vector<messages::Fragment>& fragments) {
    for (messages::Fragment& f : fragments)
      if (auto forged = forge_proof(f.bytes, ProofLie::truncate, random_)) {
        f.bytes = std::move(*forged);
        lie();
      }
  }
  // In form, most of the time: what is not is refused before any hash is looked at.
  void falsify(std::vector<messages::Fragment>& fragments) {
    const std::uint64_t how = random_.below(8);
    if (how == 0) std::ranges::rotate(fragments, fragments.begin() + (fragments.empty() ? 0 : 1));
    if (how == 1) fragments.resize(limits::kMaxSubtrees);
    for (messages::Fragment& f : fragments) {
      const auto kind = static_cast<ProofLie>(random_.below(kProofLies));
      auto forged = how == 2 ? forge_proof(f.bytes, kind, random_) : altered_leaf(f.bytes, random_);
      if (!forged) forged = forge_proof(f.bytes, ProofLie::flip, random_);
      if (forged) f.bytes = std::move(*forged);
    }
  }

  static constexpr std::uint64_t kAskUs = 150'000;
  std::uint64_t next_id_;
  std::uint64_t next_question_us_ = 0;
  std::map<ReplicaId, std::uint64_t> offers_asked_;  // the last one of each
  std::map<Seq, CertifiedState> states_;
};

template <SourceLie Lie>
class Single final : public Source {
 public:
  using Source::Source;

 private:
  SourceLie kind() override { return Lie; }
};

// The one that gets it banned comes as often as the others, but each transfer finds another first.
class Mixed final : public Source {
 public:
  explicit Mixed(Identity identity) : Source(std::move(identity)) { period_us_ = 400'000; }

 private:
  void act() override { kind_ = static_cast<SourceLie>(random_.below(kSourceLies)); }
  SourceLie kind() override { return kind_; }

  SourceLie kind_ = SourceLie::trickle;
};

template <class T>
Named source(const char* name, const char* what) {
  return {.number = 41, .name = name, .what = what, .make = make_strategy<T>, .transfer = true};
}

}  // namespace

std::vector<Named> transfer_strategies() {
  return {
      source<Mixed>("state-transfer-lies", "one after the other of the following"),
      source<Single<SourceLie::wrong>>(
          "wrong-fragments", "other subtrees than were asked for, and states without proof"),
      source<Single<SourceLie::leafless>>("leafless-fragments",
                                          "subtrees without the values of leaves"),
      source<Single<SourceLie::trickle>>(
          "trickling-fragments", "one level of one subtree at a time, each as late as it may be"),
      source<Single<SourceLie::gone>>("gone-fragments", "has neither subtrees nor history"),
      source<Single<SourceLie::old>>("old-targets",
                                     "names another state each time, mostly one that is too old"),
  };
}

}  // namespace bftmeta::adversary
