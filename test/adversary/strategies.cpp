#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

using messages::NewView;
using messages::PeerMessage;
using messages::Prepare;
using messages::PrePrepare;
using messages::ReadReply;
using messages::ReplicaId;
using messages::Reply;
using messages::RootShare;

namespace {

class WithIdentity : public Strategy {
 public:
  explicit WithIdentity(Identity identity) : identity_(std::move(identity)) {}

 protected:
  crypto::Context context() const { return {identity_.cluster_id, identity_.config.epoch}; }
  const Identity identity_;
};

class SilentPrimary final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  void outgoing(ReplicaId, std::vector<PeerMessage>& messages) override {
    const auto dropped = std::erase_if(messages, [](const PeerMessage& m) {
      return std::holds_alternative<PrePrepare>(m) || std::holds_alternative<NewView>(m);
    });
    if (dropped > 0) lie();
  }
};

class EquivocatingPrimary final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  void outgoing(ReplicaId to, std::vector<PeerMessage>& messages) override {
    for (PeerMessage& m : messages) {
      auto* proposal = std::get_if<PrePrepare>(&m);
      if (proposal == nullptr || to % 2 == 0) continue;
      if (identity_.config.primary(proposal->proposal.view) != identity_.self) continue;
      proposal->batch.time_us += 1;  // another batch, and a valid one
      proposal->proposal.digest = messages::batch_digest(context(), proposal->batch);
      proposal->signature =
          messages::sign_pre_prepare(*identity_.signer, context(), proposal->proposal);
      lie();
    }
  }
};

class ForgedProof final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  bool answer(messages::ReplicaMessage& message) override {
    if (auto* read = std::get_if<ReadReply>(&message); read != nullptr && !read->proof.empty()) {
      read->proof[read->proof.size() / 2] ^= 1;
      lie();
    } else if (auto* reply = std::get_if<Reply>(&message);
               reply != nullptr && !reply->results.empty()) {
      reply->results.back() ^= 1;
      lie();
    }
    return true;
  }
};

class StaleRoot final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  bool answer(messages::ReplicaMessage& message) override {
    auto* read = std::get_if<ReadReply>(&message);
    if (read == nullptr || read->proof.empty()) return true;
    if (read->cert && !first_) first_ = *read;
    if (!first_) return true;
    if (read->seq > first_->seq) lie();
    // A real certificate and a real proof, but of the past.
    const std::uint64_t id = read->request_id;
    *read = *first_;
    read->request_id = id;
    return true;
  }

 private:
  std::optional<ReadReply> first_;
};

class NoShares final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  void outgoing(ReplicaId, std::vector<PeerMessage>& messages) override {
    const auto dropped = std::erase_if(
        messages, [](const PeerMessage& m) { return std::holds_alternative<RootShare>(m); });
    if (dropped > 0) lie();
  }
};

class WrongShares final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  void outgoing(ReplicaId, std::vector<PeerMessage>& messages) override {
    for (PeerMessage& m : messages) {
      auto* share = std::get_if<RootShare>(&m);
      if (share == nullptr) continue;
      share->body.state_root[0] ^= 1;
      *share = messages::sign_share(*identity_.signer, share->body, identity_.self);
      lie();
    }
  }
};

class BrokenPrepares final : public WithIdentity {
 public:
  using WithIdentity::WithIdentity;
  void outgoing(ReplicaId, std::vector<PeerMessage>& messages) override {
    for (PeerMessage& m : messages) {
      auto* prepare = std::get_if<Prepare>(&m);
      if (prepare == nullptr || prepare->replica != identity_.self) continue;
      prepare->signature[0] ^= 1;
      lie();
    }
  }
};

template <class T>
std::unique_ptr<Strategy> make(Identity identity) {
  return std::make_unique<T>(std::move(identity));
}

}  // namespace

std::unique_ptr<Strategy> silent_primary(Identity i) { return make<SilentPrimary>(std::move(i)); }
std::unique_ptr<Strategy> equivocating_primary(Identity i) {
  return make<EquivocatingPrimary>(std::move(i));
}
std::unique_ptr<Strategy> forged_proof(Identity i) { return make<ForgedProof>(std::move(i)); }
std::unique_ptr<Strategy> stale_root(Identity i) { return make<StaleRoot>(std::move(i)); }
std::unique_ptr<Strategy> no_shares(Identity i) { return make<NoShares>(std::move(i)); }
std::unique_ptr<Strategy> wrong_shares(Identity i) { return make<WrongShares>(std::move(i)); }
std::unique_ptr<Strategy> broken_prepares(Identity i) { return make<BrokenPrepares>(std::move(i)); }

const std::vector<Named>& all_strategies() {
  static const std::vector<Named> all = {
      {"silent-primary", silent_primary},
      {"equivocating-primary", equivocating_primary},
      {"forged-proof", forged_proof},
      {"stale-root", stale_root},
      {"no-shares", no_shares},
      {"wrong-shares", wrong_shares},
      {"broken-prepares", broken_prepares},
  };
  return all;
}

Maker find_strategy(const std::string& name) {
  for (const Named& n : all_strategies())
    if (name == n.name) return n.make;
  return nullptr;
}

}  // namespace bftmeta::adversary
