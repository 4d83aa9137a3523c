// PREPAREs, COMMITs, shares and certificates: 19 to 27, 56, 63.
#include <deque>

#include "adversary/forge.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

using messages::Commit;
using messages::Prepare;
using messages::PrePrepare;
using messages::RootCert;
using messages::RootShare;
using messages::ViewChange;

namespace {

// 19
class BrokenPrepares final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* prepare = std::get_if<Prepare>(&m);
      if (prepare == nullptr || prepare->replica != self()) continue;
      prepare->signature[0] ^= 1;
      lie();
    }
  }
};

// 20
class DoublePrepares final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId to, Messages& messages) override {
    for (PeerMessage& m : messages) {
      if (in_first_half(to, id_.seed)) continue;
      if (auto* prepare = std::get_if<Prepare>(&m); prepare && prepare->replica == self()) {
        Proposal other = prepare->proposal;
        other.digest[0] ^= 1;
        *prepare = messages::sign_prepare(*id_.signer, context(), other, self());
        lie();
      } else if (auto* commit = std::get_if<Commit>(&m)) {
        commit->proposal.digest[0] ^= 1;
        lie();
      }
    }
  }
};

// 21
class EarlyCommits final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  bool receive(ReplicaId, const PeerMessage& message) override {
    const auto* p = std::get_if<PrePrepare>(&message);
    if (p == nullptr) return true;
    for (const ReplicaId to : victims()) say(to, commit_for(to, p->proposal));
    return true;
  }
  void send(ReplicaId to, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* commit = std::get_if<Commit>(&m);
      if (commit == nullptr || in_first_half(to, id_.seed)) continue;
      *commit = commit_for(to, commit->proposal);
      lie();
    }
  }
  Commit commit_for(ReplicaId to, Proposal proposal) const {
    if (!in_first_half(to, id_.seed)) proposal.digest[31] ^= 1;
    return {proposal};
  }
};

// 22
class NoShares final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  // Nor gives it away what it has signed for its own core.
  void send(ReplicaId, Messages& messages) override {
    drop<RootShare, RootCert, messages::HistoryData>(messages);
  }
};

// 23
class WrongShares final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* share = std::get_if<RootShare>(&m);
      if (share == nullptr) continue;
      share->body.state_root[0] ^= 1;
      *share = messages::sign_share(*id_.signer, share->body, self());
      lie();
    }
  }
};

// 24 and 63: what is for few goes to those of whom most harm comes, and once: not again when they
// ask for it, above all not when they were cut off. Nobody gets a certificate or a history of it.
class Sparing : public Strategy {
 public:
  explicit Sparing(Identity identity) : Strategy(std::move(identity)) { period_us_ = 20'000; }

 protected:
  // Own shares go to this many: those that have got least far, as is seen a moment later.
  void spare_shares(std::size_t count, Messages& messages) {
    std::erase_if(messages, [&](const PeerMessage& m) {
      const auto* share = std::get_if<RootShare>(&m);
      if (share == nullptr) return false;
      constexpr std::uint64_t kLaterUs = 60'000;
      if (share->body.seq > last_share_) shares_.push_back({now_us() + kLaterUs, *share});
      last_share_ = std::max(last_share_, share->body.seq);
      lie();
      return true;
    });
    count_ = count;
    drop<RootCert, messages::HistoryData>(messages);
  }
  // From the one that has got least far.
  std::vector<ReplicaId> by_progress() {
    auto all = victims();
    std::ranges::stable_sort(all, {}, [this](ReplicaId r) { return reached_[r]; });
    return all;
  }

 private:
  void act() override {
    for (; !shares_.empty() && shares_.front().first <= now_us(); shares_.pop_front()) {
      auto few = by_progress();
      few.resize(std::min(count_, few.size()));
      for (const ReplicaId to : few) say(to, shares_.front().second);
    }
  }
  bool receive(ReplicaId from, const PeerMessage& message) override {
    const auto at = [&](Seq seq, int step) {
      reached_[from] = std::max(reached_[from], std::pair{seq, step});
    };
    if (const auto* prepare = std::get_if<Prepare>(&message); prepare && prepare->replica == from)
      at(prepare->proposal.seq, 0);
    else if (const auto* commit = std::get_if<Commit>(&message))
      at(commit->proposal.seq, 1);
    else if (const auto* share = std::get_if<RootShare>(&message))
      at(share->body.seq, 2);
    return true;
  }

  std::size_t count_ = 0;
  Seq last_share_ = 0;
  std::deque<std::pair<std::uint64_t, RootShare>> shares_;  // by the time when they leave
  std::map<ReplicaId, std::pair<Seq, int>> reached_;        // the highest number, and how far
};

// 24
class SomeShares final : public Sparing {
 public:
  using Sparing::Sparing;

 private:
  void send(ReplicaId, Messages& messages) override {
    spare_shares(victims().size() / 2, messages);
  }
};

// 63: COMMITs to those that have got farthest, so that they alone execute.
class VotesForFew final : public Sparing {
 public:
  using Sparing::Sparing;

 private:
  void send(ReplicaId to, Messages& messages) override {
    spare_shares(config().f(), messages);
    lie(std::erase_if(messages, [&](const PeerMessage& m) {
      const auto* commit = std::get_if<Commit>(&m);
      if (commit == nullptr) return false;
      const auto [it, first] =
          few_.try_emplace({commit->proposal.seq, commit->proposal.view}, by_progress());
      if (first) it->second.erase(it->second.begin(), it->second.end() - config().f());
      const bool gets = std::erase(it->second, to) != 0;
      if (few_.size() > kMaxRemembered) few_.erase(few_.begin());
      return !gets;
    }));
  }

  std::map<std::pair<Seq, View>, std::vector<ReplicaId>> few_;  // who has not got it yet
};

// 25
class ForgedCertificates final : public Strategy {
 public:
  explicit ForgedCertificates(Identity identity) : Strategy(std::move(identity)) {
    period_us_ = 50'000;
  }

 private:
  void act() override {
    if (const RootCert* cert = witness().newest_cert()) say_to_all(forged(*cert));
  }
  void send(ReplicaId, Messages& messages) override {
    for (PeerMessage& m : messages) {
      auto* data = std::get_if<messages::HistoryData>(&m);
      if (data == nullptr || !data->cert) continue;
      data->cert = forged(*data->cert);
      lie();
    }
  }
  RootCert forged(RootCert cert) {
    cert.body.seq += 1 + random_.below(3);
    cert.body.state_root[0] ^= 1;
    const Signature own = messages::sign_share(*id_.signer, cert.body, self()).signature;
    switch (random_.below(6)) {
      case 0:  // one key signs for all
        std::ranges::fill(cert.signatures, own);
        break;
      case 1:  // one signer stands twice
        cert.signatures[1] = cert.signatures[0];
        break;
      case 2:  // one signature too few
        cert.signers &= cert.signers - 1;
        cert.signatures.erase(cert.signatures.begin());
        break;
      case 3:  // somebody who is no member
        cert.signers = (cert.signers & (cert.signers - 1)) | 1U << config().n();
        break;
      case 4:  // of another epoch
        cert.body.epoch += 1;
        break;
      default:  // of an epoch end that this version does not know
        cert.next_signers = cert.signers;
        cert.next_signatures = cert.signatures;
        cert.body.next_config_hash[0] = 1;
    }
    return cert;
  }
};

// 26
class SpoofedSenders final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId to, Messages& messages) override {
    const ReplicaId other = (self() + 1 + to % (config().n() - 1)) % config().n();
    Messages added;
    for (const PeerMessage& m : messages) {
      PeerMessage copy = m;
      if (auto* prepare = std::get_if<Prepare>(&copy))
        prepare->replica = other;
      else if (auto* share = std::get_if<RootShare>(&copy))
        share->replica = other;
      else if (auto* vc = std::get_if<ViewChange>(&copy))
        vc->replica = other;
      else
        continue;
      if (copy == m) continue;
      added.push_back(std::move(copy));
      lie();
    }
    std::ranges::move(added, std::back_inserter(messages));
  }
};

// 27: anything at any time; and, when a view begins, what was said in those before it about what
// is being proposed again.
class Replayer final : public Strategy {
 public:
  explicit Replayer(Identity identity) : Strategy(std::move(identity)) { period_us_ = 10'000; }

 private:
  void act() override {
    constexpr std::uint32_t kUnsettled = 30;
    if (++acts_ % kUnsettled == 0) unsettle();
    const auto& recorded = witness().recorded();
    if (recorded.empty()) return;
    const auto all = victims();
    constexpr int kBurst = 4;
    for (int i = 0; i < kBurst; ++i)
      say(all[random_.below(all.size())], recorded[random_.below(recorded.size())]);
  }

  bool receive(ReplicaId, const PeerMessage& message) override {
    if (const auto* nv = std::get_if<messages::NewView>(&message)) replay_old_votes(nv->view);
    return true;
  }
  void leave(View view) override { say_to_all(forge::view_change(id_, view + 1)); }
  void replay_old_votes(View view) {
    if (view <= replayed_) return;
    replayed_ = view;
    const auto is_old = [&](const Proposal& p) {
      return p.view < view && p.seq > witness().certified();
    };
    for (const PeerMessage& m : witness().recorded()) {
      const auto* proposal = std::get_if<PrePrepare>(&m);
      const auto* prepare = std::get_if<Prepare>(&m);
      if ((proposal == nullptr || !is_old(proposal->proposal)) &&
          (prepare == nullptr || !is_old(prepare->proposal)))
        continue;
      for (const std::uint64_t later_us : {0, 300, 1'000})
        for (const ReplicaId to : victims()) say_at(now_us() + later_us, to, m);
    }
  }

  std::uint32_t acts_ = 0;
  View replayed_ = 0;
};

// 56: other bytes that a careless verifier would take for the same signature. S + L (L: the order
// of the base point, RFC 8032 §5.1), a non-canonical R, an R of small order.
class MalleatedSignatures final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    for (PeerMessage& m : messages) {
      if (auto* p = std::get_if<PrePrepare>(&m))
        malleate(p->signature);
      else if (auto* prepare = std::get_if<Prepare>(&m))
        malleate(prepare->signature);
      else if (auto* s = std::get_if<RootShare>(&m))
        malleate(s->signature);
      else if (auto* vc = std::get_if<ViewChange>(&m))
        malleate(vc->signature);
      else if (auto* nv = std::get_if<messages::NewView>(&m))
        malleate(nv->signature);
      else if (auto* forward = std::get_if<messages::Forward>(&m))
        malleate(forward->item.signature);
    }
  }
  void malleate(Signature& s) {
    if (random_.below(2) == 0) return;  // else its views would be merely silent
    lie();
    switch (random_.below(3)) {
      case 0: add_order(s); break;
      case 1:  // R = y + p: 2^255 - 19 + small
        std::fill_n(s.begin(), 32, std::uint8_t{0xff});
        s[0] = 0xee;
        s[31] = 0x7f;
        break;
      default:  // R = the point of order 1
        std::fill_n(s.begin(), 32, std::uint8_t{0});
        s[0] = 1;
    }
  }
  static void add_order(Signature& s) {
    constexpr std::uint8_t kOrder[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                         0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                         0,    0,    0,    0,    0,    0,    0,    0,
                                         0,    0,    0,    0,    0,    0,    0,    0x10};
    unsigned carry = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      carry += unsigned{s[32 + i]} + kOrder[i];
      s[32 + i] = static_cast<std::uint8_t>(carry);
      carry >>= 8;
    }
  }
};

}  // namespace

std::vector<Named> vote_strategies() {
  return {
      {19, "broken-prepares", "PREPAREs with broken signatures over a valid link",
       make_strategy<BrokenPrepares>},
      {20, "double-prepares", "PREPARE and COMMIT for two digests to two halves",
       make_strategy<DoublePrepares>},
      {21, "early-commits", "COMMITs what is not prepared, and another digest to half the replicas",
       make_strategy<EarlyCommits>},
      {22, "no-shares", "commits everything and signs no root", make_strategy<NoShares>},
      {23, "wrong-shares", "signs shares of a wrong root", make_strategy<WrongShares>},
      {24, "some-shares", "gives each share once, to half the replicas, and no certificates",
       make_strategy<SomeShares>},
      {25, "forged-certificates", "certificates of doubled, foreign, missing or later signers",
       make_strategy<ForgedCertificates>},
      {26, "spoofed-senders", "repeats what it says in another replica's name",
       make_strategy<SpoofedSenders>},
      {27, "replayer", "replays whatever it has seen, and old votes when a view begins",
       make_strategy<Replayer>},
      {56, "malleated-signatures", "signatures with S + L, a non-canonical R, an R of small order",
       make_strategy<MalleatedSignatures>},
      {63, "votes-for-few", "gives COMMITs and shares once, to f replicas",
       make_strategy<VotesForFew>},
  };
}

}  // namespace bftmeta::adversary
