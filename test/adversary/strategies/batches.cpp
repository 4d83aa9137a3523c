// What a Byzantine primary puts into its batches: 9, 10, 11, 14 to 17, 55, 64.
#include <set>

#include "adversary/strategies/proposing.hpp"

namespace bftmeta::adversary {

using messages::Batch;
using messages::Item;
using messages::PrePrepare;

namespace {

// Tells everybody the same, but not what its core wants to propose.
class Rewriting : public Proposing {
 public:
  using Proposing::Proposing;

 protected:
  virtual void rewrite(Batch& batch) = 0;

  // Adds `items` as far as a batch may hold them, none twice.
  void add(Batch& batch, const std::vector<Item>& items) const {
    constexpr std::size_t kRoom = limits::kMaxBatchBytes - 4096;
    std::set<Hash> there;
    for (const Item& item : batch.items) there.insert(item.digest());
    std::size_t size = encoded_size(batch);
    for (const Item& item : items) {
      size += encoded_size(item);
      if (batch.items.size() >= limits::kMaxBundlesPerBatch || size > kRoom) return;
      if (there.insert(item.digest()).second) batch.items.push_back(item);
    }
  }

 private:
  std::optional<PrePrepare> propose(ReplicaId, const PrePrepare& honest) override {
    const auto key = std::pair{honest.proposal.seq, honest.proposal.view};
    const auto [it, first] = rewritten_.try_emplace(key, honest);
    if (first) {
      Batch batch = honest.batch;
      rewrite(batch);
      if (batch != honest.batch)
        it->second = forge::proposal(id_, honest.proposal.view, std::move(batch));
    }
    const PrePrepare told = it->second;
    if (rewritten_.size() > kMaxRemembered) rewritten_.erase(rewritten_.begin());
    return told;
  }

  std::map<std::pair<Seq, View>, PrePrepare> rewritten_;
};

// 9
class ReproposesExecuted final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    const auto& known = witness().items();
    std::vector<Item> some;
    for (int i = 0; i < 3 && !known.empty(); ++i)
      some.push_back(known[random_.below(known.size())]);
    const std::vector<Item> fresh = std::exchange(batch.items, {});
    add(batch, some);  // in front of the new ones; none twice, else all would refuse the batch
    add(batch, fresh);
  }
};

// 15, and T5.14: batches that look busy.
class CostlyBatches final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    const auto& known = witness().items();
    add(batch, {known.begin(), known.end()});
    // One in eight breaks a static rule and must be refused by all alike.
    if (random_.below(8) == 0 && !batch.items.empty() &&
        batch.items.size() < limits::kMaxBundlesPerBatch)
      batch.items.push_back(batch.items.front());
  }
};

// 11
class ReorderedSession final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override { std::ranges::reverse(batch.items); }
};

// 14
class TimeBias final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    constexpr std::uint64_t kInside = 20'000;  // clocks differ by more than that: some abstain
    switch ((id_.seed + batch.seq / 8) % 3) {
      case 0: batch.time_us += limits::kSkewAheadUs - kInside; break;
      case 1: batch.time_us -= limits::kSkewBehindUs - kInside; break;
      default:
        if (batch.seq % 2 == 0)
          batch.time_us += limits::kSkewAheadUs - kInside;
        else
          batch.time_us -= limits::kSkewBehindUs - kInside;
    }
  }
};

// 16
class BadClientSignature final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    if (batch.items.empty() || random_.below(4) != 0) return;
    batch.items[random_.below(batch.items.size())].signature[random_.below(64)] ^= 0x10;
  }
};

// 17
class UnknownSession final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    Id16 session;
    for (std::uint8_t& byte : session) byte = static_cast<std::uint8_t>(random_.next());
    add(batch, {forge::bundle(id_, session, 1 + random_.below(4),
                              batch.time_us + limits::kMaxOpenValidityUs)});
  }
};

// 55
class ExpiredBundle final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    ClientAccount& client = *plot().client;
    const bool open = client.session.has_value();
    add(batch, {forge::bundle(id_, client.session.value_or(Id16{1}), open ? client.next_bundle : 1,
                              batch.time_us - 1)});
  }
};

// 64
class ReordersExpired final : public Rewriting {
 public:
  using Rewriting::Rewriting;

 private:
  void rewrite(Batch& batch) override {
    std::vector<Item> past;
    for (const Item& item : witness().items()) {
      const auto parsed = messages::parse_item(item);
      const messages::Bundle* bundle = parsed ? parsed->bundle() : nullptr;
      if (bundle != nullptr && bundle->valid_until_us < batch.time_us) past.push_back(item);
    }
    constexpr std::size_t kEnough = 8;
    if (past.size() > kEnough) past.erase(past.begin(), past.end() - kEnough);
    add(batch, past);
  }
};

// 10: the first client that it hears of does not exist for it.
class Censor final : public Strategy {
 public:
  using Strategy::Strategy;

 private:
  bool submit(const Item& item) override { return !is_victims(item); }
  bool receive(ReplicaId, const PeerMessage& message) override {
    const auto* forward = std::get_if<messages::Forward>(&message);
    return forward == nullptr || !is_victims(forward->item);
  }
  bool is_victims(const Item& item) {
    const auto parsed = messages::parse_item(item);
    if (!parsed) return false;
    if (!victim_) victim_ = parsed->client;
    if (parsed->client != *victim_) return false;
    lie();
    return true;
  }

  std::optional<PublicKey> victim_;
};

}  // namespace

std::vector<Named> batch_strategies() {
  return {
      {9, "reproposes-executed", "puts executed bundles into new batches",
       make_strategy<ReproposesExecuted>},
      {10, "censor", "drops every bundle of one client", make_strategy<Censor>},
      {11, "reordered-session", "orders the bundles of a session backwards",
       make_strategy<ReorderedSession>},
      {14, "time-bias", "agreed time at both edges of what backups accept",
       make_strategy<TimeBias>},
      {15, "costly-batches", "fills batches to the limit with executed bundles, sometimes beyond",
       make_strategy<CostlyBatches>},
      {16, "bad-client-signature", "proposes a bundle whose signature does not hold",
       make_strategy<BadClientSignature>},
      {17, "unknown-session", "proposes valid bundles of sessions that do not exist",
       make_strategy<UnknownSession>},
      {55, "expired-bundle", "orders a colluding client's expired bundles",
       make_strategy<ExpiredBundle>, false, "lending-client"},
      {64, "reorders-expired", "orders executed bundles again after their valid_until",
       make_strategy<ReordersExpired>, false, "hasty-client"},
  };
}

}  // namespace bftmeta::adversary
