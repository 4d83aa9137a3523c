// Hostile clients (protocol §11.2, 51 to 56, and what they lend to a Byzantine primary): what a
// client with a registered key may submit, to whom, and when. They run in the simulator; the
// driver calls act() every kPeriodUs and hands over the outcomes of what was submitted.
// Thread-safety: one thread.
#pragma once

#include "adversary/strategy.hpp"

namespace bftmeta::adversary {

struct ClientIdentity {
  Hash cluster_id{};
  std::uint32_t n = 0;
  std::shared_ptr<const crypto::Signer> signer;
  // Another valid signature of the same bytes: the owner of a key can make as many as it likes.
  std::function<Signature(ByteView preimage, std::uint8_t variant)> sign_otherwise;
  std::uint64_t seed = 1;
  std::shared_ptr<Conspiracy> conspiracy = std::make_shared<Conspiracy>();
};

class HostileClient {
 public:
  static constexpr std::uint64_t kPeriodUs = 20'000;

  struct Submission {
    ReplicaId to = 0;
    messages::Item item;
  };
  struct Outcome {
    Hash request_digest{};
    Id16 session_id{};
    std::uint64_t bundle_no = 0;  // 0: a SESSION-OPEN
  };

  explicit HostileClient(ClientIdentity identity) : id_(std::move(identity)), random_(id_.seed) {}
  virtual ~HostileClient() = default;

  // What it submits now. `primary`: whom it takes for it.
  std::vector<Submission> act(consensus::Now now, ReplicaId primary);
  // A certified, final outcome; of anybody's items.
  void learn(const Outcome& outcome);
  // Items submitted that no correct client would submit.
  std::uint64_t lies() const { return lies_; }

 protected:
  virtual void misbehave() = 0;
  virtual void learned(const Outcome& /*outcome*/) {}

  // A SESSION-OPEN of its own that every correct replica accepts.
  messages::Item open(std::uint64_t valid_us = 60'000'000);
  messages::Bundle bundle(std::uint64_t number) const;
  messages::Item sign(const messages::Bundle& bundle) const;
  // The same item under another signature that holds.
  messages::Item sign_otherwise(messages::Item item, std::uint8_t variant) const;
  // Opens a session the honest way; false until it is there.
  bool have_session();

  void honest(ReplicaId to, messages::Item item) { out_.push_back({to, std::move(item)}); }
  void hostile(ReplicaId to, messages::Item item) {
    ++lies_;
    honest(to, std::move(item));
  }
  void hostile_to_all(const messages::Item& item);

  const ClientIdentity id_;
  sim::Random random_;
  consensus::Now now_;
  ReplicaId primary_ = 0;
  std::optional<Id16> session_;
  std::uint64_t next_ = 1;  // the number that this session has not used up yet

 private:
  std::vector<Submission> out_;
  std::uint64_t lies_ = 0;
  std::optional<messages::Item> opening_;
  std::uint64_t asked_us_ = 0;
};

using ClientMaker = std::unique_ptr<HostileClient> (*)(ClientIdentity);

struct NamedClient {
  int number;
  const char* name;
  const char* what;
  ClientMaker make;
};

const std::vector<NamedClient>& all_hostile_clients();
// nullptr: unknown.
const NamedClient* find_hostile_client(const std::string& name);

}  // namespace bftmeta::adversary
