// When members change: who joins, who stays and who has left: 49, 50, 65. Whoever is removed goes
// on in its epoch with a correct core, and speaks in the newest one as well.
#include <set>

#include "adversary/forge.hpp"
#include "adversary/strategies.hpp"
#include "config/change.hpp"

namespace bftmeta::adversary {

using messages::CertBody;
using messages::PrePrepare;
using messages::RootCert;
using messages::RootShare;

namespace {

class OfEpochs : public Strategy {
 public:
  using Strategy::Strategy;

 protected:
  // What the newest share in this witness is of; nullptr: none was seen.
  static const CertBody* newest_body(const Witness& witness) {
    const auto& shares = witness.shares();
    if (shares.empty()) return nullptr;
    return &shares.rbegin()->second.begin()->second.body;
  }
  // The last number of this epoch, once a share tells.
  Seq epoch_end() {
    const CertBody* body = newest_body(witness());
    return body == nullptr ? 0 : body->epoch_end_seq;
  }
  PublicKey key() const { return id_.signer->public_key(); }
  // nullptr: no later one than its own.
  const config::Config* later_epoch() {
    if (!plot().powers.newest) return nullptr;
    const config::Config& newest = plot().powers.newest();
    return newest.epoch > config().epoch ? &newest : nullptr;
  }
  bool removed() {
    const config::Config* later = later_epoch();
    return later != nullptr && !config::position_of(*later, key());
  }
  // To the members of the newest epoch.
  void say_today(const PeerMessage& message) {
    const config::Config* later = later_epoch();
    if (later == nullptr) return say_to_all(message);
    for (ReplicaId to = 0; to < later->n(); ++to) {
      if (plot().includes(to)) continue;
      plot().powers.say_in(later->epoch, self(), to, message);
      lie();
    }
  }
};

// 49: READY at once, and no state. Its share of the last batch never comes.
class Unready final : public OfEpochs {
 public:
  explicit Unready(Identity identity) : OfEpochs(std::move(identity)) { period_us_ = 50'000; }

 private:
  void act() override {
    const auto& unconfirmed = plot().powers.unconfirmed;
    const auto proposal = unconfirmed ? unconfirmed(key()) : std::nullopt;
    if (!proposal) return;
    say_to_all(messages::Forward{messages::sign_ready(
        *id_.signer, id_.cluster_id, {*proposal, key(), witness().certified() + 1})});
  }
  void send(ReplicaId, Messages& messages) override {
    const Seq end = epoch_end();
    std::erase_if(messages, [&](const PeerMessage& m) {
      const auto* share = std::get_if<RootShare>(&m);
      const bool last = share != nullptr && end != 0 && share->body.seq == end;
      if (last) lie();
      return last || std::holds_alternative<messages::FetchNodes>(m);
    });
  }
};

// 49: a primary that proposes as if its epoch had no end, and fellows that vote for it.
class BeyondEpoch final : public OfEpochs {
 public:
  using OfEpochs::OfEpochs;

 private:
  void act() override {
    const messages::PeerStatus* own = own_status();
    const Seq end = epoch_end();
    if (end == 0 || own == nullptr || !own->active || !id_.is_primary(own->view)) return;
    constexpr Seq kBeyond = 4;
    for (Seq seq = end + 1; seq <= end + kBeyond; ++seq) {
      if (!proposed_.insert({own->view, seq}).second) continue;
      messages::Batch batch;
      batch.seq = seq;
      batch.time_us = now_.wall_us;
      const PrePrepare p = forge::proposal(id_, own->view, std::move(batch));
      say_to_all(p);
      say_to_all(forge::commit(p));
    }
  }
  bool receive(ReplicaId, const PeerMessage& message) override {
    const auto* p = std::get_if<PrePrepare>(&message);
    const Seq end = epoch_end();
    if (p == nullptr || end == 0 || p->proposal.seq <= end) return true;
    say_to_all(messages::sign_prepare(*id_.signer, context(), p->proposal, self()));
    say_to_all(forge::commit(*p));
    return true;
  }

  std::set<std::pair<View, Seq>> proposed_;
};

// 50: it is no member any more, and goes on: with what it still can say in its own epoch, to
// clients too, and with votes, certificates and a chain of epochs of its own in the newest one.
class RemovedMember final : public OfEpochs {
 public:
  explicit RemovedMember(Identity identity) : OfEpochs(std::move(identity)) {
    period_us_ = 100'000;
  }

 private:
  void act() override {
    const CertBody* old = newest_body(witness());
    if (old == nullptr || !removed()) return;
    const config::Config& today = *later_epoch();
    const crypto::Context context{id_.cluster_id, today.epoch};
    CertBody body = *old;
    body.epoch = today.epoch;
    body.config_hash = today.hash();
    body.seq += 1 + random_.below(limits::kWindow);
    body.epoch_end_seq = 0;
    body.next_config_hash = {};
    const Proposal vote{random_.below(3), body.seq, forge::random_hash(random_)};
    switch (turn_++ % 6) {
      case 0:
        if (const RootCert* cert = witness().newest_cert()) say_today(*cert);
        break;
      case 1: say_today(messages::sign_share(*id_.signer, body, self())); break;
      case 2:
        say_today(messages::sign_prepare(*id_.signer, context, vote, self()));
        say_today(messages::Commit{vote});
        break;
      case 3: {
        messages::ViewChange vc;
        vc.new_view = 1 + random_.below(3);
        vc.replica = self();
        messages::sign_view_change(*id_.signer, context, vc);
        say_today(vc);
        break;
      }
      case 4:
        say_today(messages::Forward{
            messages::sign_ready(*id_.signer, id_.cluster_id, {today.hash(), key(), body.seq})});
        break;
      default: say_today(own_chain(today, body));
    }
  }
  // Behind the newest epoch, with as many signatures as there should be, all of them its own.
  messages::Epochs own_chain(const config::Config& today, CertBody body) const {
    messages::EpochStep step;
    step.next = today;
    step.next.epoch += 1;
    step.next.replicas.back().port += 1;
    body.epoch_end_seq = body.seq;
    body.next_config_hash = step.next.hash();
    const Signature own = messages::sign_share(*id_.signer, body, self()).signature;
    step.cert.body = body;
    step.cert.signers = step.cert.next_signers = (1U << today.quorum()) - 1;
    step.cert.signatures.assign(today.quorum(), own);
    step.cert.next_signatures = step.cert.signatures;
    return {{std::move(step)}};
  }
  bool reply(messages::ReplicaMessage&) override {
    if (removed()) lie();
    return true;
  }

  std::uint32_t turn_ = 0;
};

// 65: shares and certificates with keys of the epoch that has ended: for numbers behind its end in
// its own words, and for what the present one is about. All that the plot has ever had sign.
class EndedKeys final : public OfEpochs {
 public:
  explicit EndedKeys(Identity identity) : OfEpochs(std::move(identity)) { period_us_ = 50'000; }

 private:
  void act() override {
    if (!plot().before) return;
    const CertBody* old = newest_body(plot().before->witness);
    const CertBody* present = newest_body(witness());
    const bool of_old = old != nullptr && (present == nullptr || random_.below(2) == 0);
    if (!of_old && present == nullptr) return;
    CertBody body = of_old ? *old : *present;
    if (of_old)
      body.seq = std::max(body.seq, witness().certified()) + 1 + random_.below(4);
    else
      body.seq += 1 + random_.below(4);
    body.state_root[0] ^= 1;
    for (const auto& [position, signer] : plot().members)
      say_today(messages::sign_share(*signer, body, position));
    say_today(certificate(body));
  }
  // The first Q positions, as if the keys were theirs.
  RootCert certificate(const CertBody& body) {
    RootCert cert;
    cert.body = body;
    auto next = plot().members.begin();
    for (ReplicaId r = 0; r < config().quorum(); ++r) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(messages::sign_share(*next->second, body, r).signature);
      if (++next == plot().members.end()) next = plot().members.begin();
    }
    return cert;
  }
};

template <class T>
Named of_epochs(int number, const char* name, const char* what) {
  return {.number = number,
          .name = name,
          .what = what,
          .make = make_strategy<T>,
          .simulator_only = true,
          .epochs = true};
}

}  // namespace

std::vector<Named> epoch_strategies() {
  return {
      of_epochs<Unready>(49, "unready", "READY at once, without the state"),
      of_epochs<BeyondEpoch>(49, "beyond-epoch", "proposes and votes beyond the end of the epoch"),
      of_epochs<RemovedMember>(50, "removed-member",
                               "votes, certifies and answers when it is no member any more"),
      of_epochs<EndedKeys>(65, "ended-keys", "shares and certificates with keys of an ended epoch"),
  };
}

}  // namespace bftmeta::adversary
