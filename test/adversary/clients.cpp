#include "adversary/clients.hpp"

namespace bftmeta::adversary {

using messages::Bundle;
using messages::Item;
using messages::SessionOpen;

std::vector<HostileClient::Submission> HostileClient::act(consensus::Now now, ReplicaId primary) {
  now_ = now;
  primary_ = primary;
  misbehave();
  return std::exchange(out_, {});
}

void HostileClient::learn(const Outcome& outcome) {
  if (!session_ && opening_ && outcome.bundle_no == 0 &&
      outcome.request_digest == opening_->digest())
    session_ = outcome.session_id;
  if (session_ && outcome.session_id == *session_ && outcome.bundle_no >= next_)
    next_ = outcome.bundle_no + 1;
  learned(outcome);
}

Item HostileClient::open(std::uint64_t valid_us) {
  SessionOpen open;
  open.client = id_.signer->public_key();
  for (std::uint8_t& byte : open.nonce) byte = static_cast<std::uint8_t>(random_.next());
  open.valid_until_us = now_.wall_us + valid_us;
  return messages::sign_session_open(*id_.signer, id_.cluster_id, open);
}

Bundle HostileClient::bundle(std::uint64_t number) const {
  Bundle b;
  b.session_id = session_.value_or(Id16{});
  b.client = id_.signer->public_key();
  b.bundle_no = number;
  b.valid_until_us = now_.wall_us + 60'000'000;
  b.operations.emplace_back();
  return b;
}

Item HostileClient::sign(const Bundle& bundle) const {
  return messages::sign_bundle(*id_.signer, id_.cluster_id, bundle);
}

Item HostileClient::sign_otherwise(Item item, std::uint8_t variant) const {
  item.signature =
      id_.sign_otherwise(messages::item_preimage(id_.cluster_id, item.kind, item.body), variant);
  return item;
}

bool HostileClient::have_session() {
  if (session_) return true;
  constexpr std::uint64_t kPatienceUs = 500'000;
  if (opening_ && now_.mono_us < asked_us_ + kPatienceUs) return false;
  if (!opening_) opening_ = open();
  asked_us_ = now_.mono_us;
  for (ReplicaId to = 0; to < id_.n; ++to) honest(to, *opening_);
  return false;
}

void HostileClient::hostile_to_all(const Item& item) {
  for (ReplicaId to = 0; to < id_.n; ++to) hostile(to, item);
}

namespace {

// A file of its own: executing it twice would show.
schema::Operation make_file(const std::string& name) {
  schema::MakeNode make;
  make.parent.base = 1;  // the root directory
  make.name = {to_bytes(name)};
  make.type = schema::FileType::regular;
  make.mode = 0777;
  schema::Operation operation;
  operation.body = make;
  return operation;
}

// 51, and T5.13
class Equivocating final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    Bundle a = bundle(next_);
    Bundle b = a;
    a.operations = {make_file("a" + std::to_string(next_))};
    b.operations = {make_file("b" + std::to_string(next_))};
    const Item one = sign(a);
    const Item other = sign(b);
    for (ReplicaId to = 0; to < id_.n; ++to) hostile(to, to == primary_ ? one : other);
  }
};

// 52, and T1.4
class SplitSignature final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    const Item good = sign(bundle(next_));
    Item bad = good;
    bad.signature[random_.below(bad.signature.size())] ^= 1;
    const bool primary_gets_good = random_.below(2) == 0;
    for (ReplicaId to = 0; to < id_.n; ++to)
      hostile(to, (to == primary_) == primary_gets_good ? good : bad);
  }
};

// 53
class Flooding final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    constexpr int kOpens = 6;  // sessions that nobody will ever use
    for (int i = 0; i < kOpens; ++i) hostile(some(), open());
    if (!have_session()) return;
    // Bundles whose predecessor never comes, as long as they may be.
    for (std::uint64_t ahead = 1; ahead < limits::kSessionWindow; ahead += 3) {
      Bundle b = bundle(next_ + ahead);
      b.operations.resize(limits::kMaxOpsPerBundle);
      hostile(some(), sign(b));
    }
    Item malformed = sign(bundle(next_));
    malformed.body.resize(random_.below(malformed.body.size()));
    hostile(some(), malformed);
    // Beyond the window, and long done.
    hostile(some(), sign(bundle(next_ + 1 + limits::kSessionWindow)));
    if (next_ > 1) hostile(some(), sign(bundle(next_ - 1)));
    // Seldom, so that the others wait.
    constexpr std::uint64_t kSeldom = 200;
    if (random_.below(kSeldom) == 0) honest(some(), sign(bundle(next_)));
  }
  ReplicaId some() { return static_cast<ReplicaId>(random_.below(id_.n)); }
};

// 54: does some work in a session, has it evicted by opening others, and replays it all.
class ReplayingOpens final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!first_) first_ = open(limits::kMaxOpenValidityUs / 2);
    if (!old_) {
      honest(primary_, *first_);
      return;
    }
    if (work_.size() < 3) {
      Bundle b = bundle(work_.size() + 1);
      b.session_id = *old_;
      b.operations = {make_file("r" + std::to_string(work_.size()))};
      work_.push_back(sign(b));
    }
    // Its sessions are limited: new ones push the old one out.
    constexpr std::size_t kAtOnce = 24;
    constexpr std::size_t kEnough = limits::kMaxSessionsPerPrincipal + 100;
    for (std::size_t i = 0; i < kAtOnce && opened_ < kEnough; ++i, ++opened_)
      hostile(primary_, open());
    hostile(static_cast<ReplicaId>(random_.below(id_.n)), *first_);
    hostile(primary_, sign_otherwise(*first_, static_cast<std::uint8_t>(random_.below(200))));
    for (const Item& item : work_) hostile(primary_, item);
  }
  void learned(const Outcome& outcome) override {
    if (!old_ && first_ && outcome.request_digest == first_->digest()) old_ = outcome.session_id;
  }

  std::optional<Item> first_;
  std::optional<Id16> old_;
  std::size_t opened_ = 0;
  std::vector<Item> work_;
};

// 55: has a session and lets the Byzantine primary sign bundles for it.
class Lending final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    ClientAccount& account = *id_.conspiracy->client;
    account.session = session_;
    account.next_bundle = next_;
    // The number that the primary uses as well.
    if (random_.below(8) == 0) hostile(primary_, sign(bundle(next_)));
  }
};

// 64: bundles that expire soon after they are done.
class Hasty final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    if (next_ != signed_) {
      signed_ = next_;
      Bundle b = bundle(next_);
      b.operations = {make_file("h" + std::to_string(next_))};
      constexpr std::uint64_t kSoonUs = 400'000;
      b.valid_until_us = now_.wall_us + kSoonUs;
      item_ = sign(b);
    }
    hostile(primary_, item_);
  }

  std::uint64_t signed_ = 0;
  Item item_;
};

// 16: whatever it submits has a signature that does not hold.
class BadSignatures final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    Item item = sign(bundle(next_ + random_.below(3)));
    item.signature[random_.below(item.signature.size())] ^= 0x40;
    hostile_to_all(item);
  }
};

// 17: bundles of sessions that do not exist, or are another client's.
class UnknownSessions final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    Bundle b = bundle(1 + random_.below(limits::kSessionWindow));
    if (others_ != Id16{} && random_.below(2) == 0)
      b.session_id = others_;
    else
      for (std::uint8_t& byte : b.session_id) byte = static_cast<std::uint8_t>(random_.next());
    hostile_to_all(sign(b));
  }
  void learned(const Outcome& outcome) override { others_ = outcome.session_id; }

  Id16 others_{};
};

// 56: one bundle under many signatures that all hold, another one to each replica.
class ManySignatures final : public HostileClient {
 public:
  using HostileClient::HostileClient;

 private:
  void misbehave() override {
    if (!have_session()) return;
    Bundle b = bundle(next_);
    b.operations = {make_file("m" + std::to_string(next_))};
    const Item item = sign(b);
    for (ReplicaId to = 0; to < id_.n; ++to)
      hostile(to, sign_otherwise(item, static_cast<std::uint8_t>(1 + to + random_.below(3))));
  }
};

template <class T>
std::unique_ptr<HostileClient> make(ClientIdentity identity) {
  return std::make_unique<T>(std::move(identity));
}

}  // namespace

const std::vector<NamedClient>& all_hostile_clients() {
  static const std::vector<NamedClient> all = {
      {16, "bad-signature-client", "submits bundles whose signatures do not hold",
       make<BadSignatures>},
      {17, "unknown-session-client", "submits bundles of sessions that it does not own",
       make<UnknownSessions>},
      {51, "equivocating-client", "one bundle to the primary, another of that number to the others",
       make<Equivocating>},
      {52, "split-signature-client", "a good signature to some, a bad one to the others",
       make<SplitSignature>},
      {53, "flooding-client", "sessions and bundles without end, successors without predecessors",
       make<Flooding>},
      {54, "replaying-client", "replays an evicted session's SESSION-OPEN and bundles",
       make<ReplayingOpens>},
      {55, "lending-client", "lets the primary sign for it", make<Lending>},
      {56, "many-signatures-client", "one bundle under many valid signatures",
       make<ManySignatures>},
      {64, "hasty-client", "bundles that expire soon after they are done", make<Hasty>},
  };
  return all;
}

const NamedClient* find_hostile_client(const std::string& name) {
  for (const NamedClient& n : all_hostile_clients())
    if (name == n.name) return &n;
  return nullptr;
}

}  // namespace bftmeta::adversary
