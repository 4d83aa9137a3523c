// Byzantine strategies (protocol §11.2): each is one class that sees what a replica sends, receives
// and waits for, and bends it. The same classes run in the simulator and in bftmetad-evil; no
// release build contains them. Each counts its lies, so that a test can prove that they were really
// told.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "config/genesis.hpp"
#include "consensus/interceptor.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::adversary {

class Strategy : public consensus::Interceptor {
 public:
  // A correct replica's behaviour; strategies override what they bend.
  void outgoing(messages::ReplicaId, std::vector<messages::PeerMessage>&) override {}
  bool incoming(messages::ReplicaId, const messages::PeerMessage&) override { return true; }
  bool answer(messages::ReplicaMessage&) override { return true; }
  bool tick() override { return true; }

  // Survives the strategy: a test keeps it.
  std::shared_ptr<const std::atomic<std::uint64_t>> lies() const { return lies_; }

 protected:
  void lie() { ++*lies_; }

 private:
  std::shared_ptr<std::atomic<std::uint64_t>> lies_ =
      std::make_shared<std::atomic<std::uint64_t>>(0);
};

struct Identity {
  messages::ReplicaId self = 0;
  Hash cluster_id{};
  config::Config config;
  const crypto::Signer* signer = nullptr;  // the Byzantine replica's own key: it may sign anything
};

// 6 (to nobody): as primary it proposes nothing, not even for a new view; otherwise it is correct.
std::unique_ptr<Strategy> silent_primary(Identity identity);
// 3: as primary it sends different, validly signed proposals to the two halves of the backups.
std::unique_ptr<Strategy> equivocating_primary(Identity identity);
// 43: answers reads with proofs in which one bit differs, and bundles with other results.
std::unique_ptr<Strategy> forged_proof(Identity identity);
// 42: answers every read from the first root that it ever certified.
std::unique_ptr<Strategy> stale_root(Identity identity);
// 22: commits everything and sends no root share.
std::unique_ptr<Strategy> no_shares(Identity identity);
// 23: signs shares for a wrong root.
std::unique_ptr<Strategy> wrong_shares(Identity identity);
// 19: PREPAREs with broken signatures over a valid link.
std::unique_ptr<Strategy> broken_prepares(Identity identity);

// By the name that bftmetad-evil takes; nullptr: unknown.
using Maker = std::unique_ptr<Strategy> (*)(Identity);
struct Named {
  const char* name;
  Maker make;
};
const std::vector<Named>& all_strategies();
Maker find_strategy(const std::string& name);

}  // namespace bftmeta::adversary
