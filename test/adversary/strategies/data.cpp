// Answers to clients, STATUS, fetches, HELLO, certificates that are kept back: 42 to 46, 61.
#include "adversary/proof_parts.hpp"
#include "adversary/strategies/proposing.hpp"

namespace bftmeta::adversary {

using messages::PeerStatus;
using messages::PrePrepare;
using messages::ReadReply;
using messages::RootCert;
using messages::RootShare;
using messages::ViewChange;

namespace {

// 42
class StaleRoot final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  bool reply(messages::ReplicaMessage& message) override {
    if (auto* fresh = std::get_if<messages::FreshReply>(&message)) return stale(*fresh);
    auto* read = std::get_if<ReadReply>(&message);
    if (read == nullptr || read->proof.empty()) return true;
    if (read->cert && old_.size() < kMaxOld) old_.push_back(*read);
    if (old_.empty()) return true;
    // A real certificate and a real proof, but of the past; perhaps of the same question.
    const ReadReply& old = old_[random_.below(old_.size())];
    if (read->seq > old.seq) lie();
    const std::uint64_t id = read->request_id;
    *read = old;
    read->request_id = id;
    return true;
  }
  // To "what is the newest?": the oldest that it has seen, or that there is none.
  bool stale(messages::FreshReply& fresh) {
    const auto truth = fresh.newest;
    const RootCert* oldest = witness().oldest_cert();
    if (oldest != nullptr)
      fresh.newest = *oldest;
    else
      fresh.newest = messages::NothingCertified{};
    const auto* newer = std::get_if<RootCert>(&truth);
    const auto* known = std::get_if<Hash>(&truth);
    const Seq seq = oldest == nullptr ? 0 : oldest->body.seq;
    if ((newer != nullptr && newer->body.seq > seq) ||
        (known != nullptr && (oldest == nullptr || oldest->body.digest() != *known)))
      lie();
    return true;
  }

  static constexpr std::size_t kMaxOld = 3;
  std::vector<ReadReply> old_;
};

// 43
class ForgedProof final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  bool reply(messages::ReplicaMessage& message) override {
    if (auto* read = std::get_if<ReadReply>(&message); read != nullptr && !read->proof.empty()) {
      const auto kind = static_cast<ProofLie>(random_.below(kProofLies));
      auto forged = forge_proof(read->proof, kind, random_);
      if (!forged) forged = forge_proof(read->proof, ProofLie::flip, random_);
      read->proof = std::move(*forged);
      lie();
    } else if (auto* reply = std::get_if<messages::Reply>(&message);
               reply != nullptr && !reply->results.empty()) {
      reply->results.back() ^= 1;
      lie();
    }
    return true;
  }
};

// 44
class StatusLies final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  void send(ReplicaId, Messages& messages) override {
    for (PeerMessage& m : messages)
      if (auto* status = std::get_if<PeerStatus>(&m)) {
        bend(*status);
        lie();
      }
  }
  void bend(PeerStatus& s) {
    constexpr std::uint64_t kHuge = std::uint64_t{1} << 40;
    switch (random_.below(7)) {
      case 0: s.executed = s.certified = kHuge; break;
      case 1: s.executed = ~std::uint64_t{0}; break;
      case 2: s.executed = s.certified = 0; break;
      case 3:
        s.view = s.entered = kHuge;
        s.active = true;
        break;
      case 4:
        s.view = s.entered = 0;
        s.active = true;
        break;
      case 5:  // "I lack nothing"
        s.view_changes = ~std::uint32_t{0};
        for (messages::SlotStatus& row : s.slots) {
          row.proposal = row.prepared = true;
          row.prepares = row.commits = row.shares = ~std::uint32_t{0};
        }
        break;
      default:  // "I lack everything", and rows in no order
        s.certified = 0;
        for (messages::SlotStatus& row : s.slots) row = {row.seq, false, false, 0, 0, 0};
        std::ranges::reverse(s.slots);
        if (!s.slots.empty()) s.slots.push_back(s.slots.front());
        if (s.slots.size() > limits::kWindow) s.slots.resize(limits::kWindow);
    }
  }
};

// 45
class FetchFlood final : public Strategy {
 public:
  explicit FetchFlood(Identity identity) : Strategy(std::move(identity)) { period_us_ = 10'000; }

 private:
  void act() override {
    constexpr int kPerPeer = 12;  // more than a correct replica answers
    for (const ReplicaId to : victims())
      for (int i = 0; i < kPerPeer; ++i) say(to, question());
  }
  PeerMessage question() {
    const PrePrepare* newest = witness().newest_proposal();
    switch (random_.below(6)) {
      case 0: return messages::FetchHistory{random_.below(2) == 0 ? 0 : witness().certified()};
      case 1: return messages::FetchNewView{};
      case 2: return messages::FetchPrepared{random_.below(witness().certified() + 2)};
      case 3: return messages::FetchViewChange{forge::random_hash(random_)};
      default:
        if (newest == nullptr) return messages::FetchHistory{~Seq{0}};
        return messages::FetchBatch{newest->proposal.seq, newest->proposal.digest};
    }
  }
};

// 46: who starts is told of votes that it never gave, is not told of those that it gave, and is
// asked in return as if by one start after another.
class HelloLies final : public Strategy {
 public:
  explicit HelloLies(Identity identity) : Strategy(std::move(identity)) { period_us_ = 250'000; }

 private:
  void act() override {
    messages::Hello hello;
    for (std::uint8_t& byte : hello.nonce) byte = static_cast<std::uint8_t>(random_.next());
    hello.incarnation = random_.next();
    say_to_all(hello);
  }
  void send(ReplicaId to, Messages& messages) override {
    std::erase_if(messages, [&](PeerMessage& m) {
      auto* reply = std::get_if<messages::HelloReply>(&m);
      if (reply == nullptr) return false;
      lie();
      reply->incarnation = ~std::uint64_t{0};
      if (random_.below(8) == 0) return true;
      bend(to, reply->yours);
      return false;
    });
  }
  void bend(ReplicaId to, messages::HighestStatements& yours) {
    const Proposal never{witness().view() + 1, witness().certified() + 1,
                         forge::random_hash(random_)};
    switch (random_.below(5)) {
      case 0: yours = {}; return;
      case 1:  // in the asker's name, with this replica's signature
        yours.prepare = messages::sign_prepare(*id_.signer, context(), never, to);
        break;
      case 2:  // the asker's signature, of something else
        if (yours.prepare) yours.prepare->proposal.seq += 1;
        if (yours.pre_prepare) yours.pre_prepare->proposal.view += config().n();
        if (yours.view_change) yours.view_change->new_view += 1;
        if (yours.new_view) yours.new_view->view += config().n();
        break;
      case 3:  // this replica's own VIEW-CHANGE, as if it were the asker's
        yours.view_change = forge::view_change(id_, never.view);
        break;
      default: break;
    }
    yours.commit = never;  // unsigned: it takes more than f to be believed
  }
};

// 48: accuses correct replicas with what they never signed, itself with what it really signed, and
// shows each proof that it is sent to everybody, again and again.
class EvidenceForgery final : public Strategy {
 public:
  explicit EvidenceForgery(Identity identity) : Strategy(std::move(identity)) {
    period_us_ = 50'000;
  }

 private:
  void act() override {
    for (const ReplicaId to : victims()) say(to, forged(to));
  }
  bool receive(ReplicaId, const PeerMessage& message) override {
    if (const auto* evidence = std::get_if<messages::Evidence>(&message)) seen_ = *evidence;
    return true;
  }
  messages::Evidence forged(ReplicaId accused) {
    const View view = witness().view();
    const Seq seq = witness().certified() + 1 + random_.below(4);
    const auto other = [&] { return Proposal{view, seq, forge::random_hash(random_)}; };
    const auto prepare = [&](const crypto::Signer& signer, ReplicaId replica) {
      return messages::sign_prepare(signer, context(), other(), replica);
    };
    switch (random_.below(6)) {
      case 0:  // of the accused, by this replica's signature
        return {prepare(*id_.signer, accused), prepare(*id_.signer, accused)};
      case 1: {  // a proposal of the primary that it did sign, and one that it did not
        const PrePrepare* real = witness().newest_proposal();
        if (real == nullptr) break;
        Proposal bent = real->proposal;
        bent.digest = forge::random_hash(random_);
        return {messages::SignedProposal{real->proposal, real->signature},
                messages::SignedProposal{bent, real->signature}};
      }
      case 2: {  // a VIEW-CHANGE that is in order
        const messages::ViewChange own = forge::view_change(id_, view + 1);
        return {own, std::nullopt};
      }
      case 3:  // twice the same
        return twice(prepare(*id_.signer, self()));
      case 4:  // true: it condemns itself, and nobody else
        if (self() != config().primary(view))
          return {prepare(*id_.signer, self()), prepare(*id_.signer, self())};
        break;
      default:
        if (seen_) return *seen_;
    }
    return {forge::view_change(id_, view + 2), messages::RootCert{}};
  }

  static messages::Evidence twice(const messages::Prepare& same) { return {same, same}; }

  std::optional<messages::Evidence> seen_;
};

// 61, and T4.6: it alone can make the certificate, and then all others lose power.
class HoardedCertificate final : public Proposing {
 public:
  using Proposing::Proposing;

 private:
  std::optional<PrePrepare> propose(ReplicaId to, const PrePrepare& honest) override {
    if (chosen(to, config().f() + 1, honest.proposal.seq / 8)) return honest;
    return std::nullopt;
  }
  void send(ReplicaId to, Messages& messages) override {
    Proposing::send(to, messages);
    if (!shown_) drop<RootShare, RootCert>(messages);
    for (PeerMessage& m : messages)
      if (auto* vc = std::get_if<ViewChange>(&m); vc && vc->replica == self() && hoard_) show(*vc);
  }
  bool receive(ReplicaId, const PeerMessage& message) override {
    const auto* share = std::get_if<RootShare>(&message);
    if (share == nullptr) return true;
    const auto cert = witness().assemble(config(), share->body.seq);
    if (!cert || (hoard_ && hoard_->body.seq >= cert->body.seq)) return true;
    hoard_ = cert;
    // As soon as there is one that nobody else has announced.
    if (witness().certified() < cert->body.seq && plot().powers.cut_power &&
        plot().powers.cut_power()) {
      lie();
      shown_ = true;
      for (const ReplicaId to : victims()) say_at(now_us() + kBackUs, to, *hoard_);
    }
    return true;
  }
  void show(ViewChange& vc) {
    if (vc.base_seq(id_.epoch_start) >= hoard_->body.seq) return;
    vc.base = *hoard_;
    std::erase_if(vc.prepared, [&](const messages::PreparedCert& entry) {
      return entry.proposal.seq <= hoard_->body.seq;
    });
    messages::sign_view_change(*id_.signer, context(), vc);
    lie();
  }

  static constexpr std::uint64_t kBackUs = 1'000'000;  // all are up again by then
  std::optional<RootCert> hoard_;
  bool shown_ = false;
};

}  // namespace

std::vector<Named> data_strategies() {
  return {
      {42, "stale-root", "answers reads and FRESH with an old certified root",
       make_strategy<StaleRoot>},
      {43, "forged-proof",
       "proofs with entries truncated, omitted, transplanted, renamed, and changed results",
       make_strategy<ForgedProof>},
      {44, "status-lies", "says that it has executed, lacks or entered what it has not",
       make_strategy<StatusLies>},
      {45, "fetch-flood", "asks for everything all the time", make_strategy<FetchFlood>},
      {46, "hello-lies", "shows a starting replica votes that it never gave, and hides real ones",
       make_strategy<HelloLies>},
      {48, "evidence-forgery", "accuses correct replicas with what they never signed",
       make_strategy<EvidenceForgery>},
      {61, "hoarded-certificate",
       "keeps a certificate to itself and shows it when all others have lost power",
       make_strategy<HoardedCertificate>},
  };
}

}  // namespace bftmeta::adversary
