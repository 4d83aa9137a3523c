// Oracles about view changes and bounds (L3, L4, L5 and S12 of protocol §11.3; L1 is the
// cluster's). Bounds that depend on faults hold from the moment at which the faults end ("GST");
// the memory bounds always. Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "sim/host.hpp"

namespace bftmeta::sim {

class Liveness {
 public:
  using Violation = std::function<void(const char* oracle, const std::string& what)>;

  Liveness(const config::Config& config, Violation violation)
      : config_(config), violation_(std::move(violation)) {}

  // Nothing is wrong in this run: no fault, no Byzantine replica, load that one primary can serve.
  void expect_no_fault(bool none = true) { fault_free_ = none; }
  // Nothing goes wrong, and the first primary is correct; others may be faulty, and clients
  // hostile. Then nobody has a reason to leave its view.
  void expect_one_view(bool one = true) { one_view_ = one; }
  // A correct replica sends this.
  void sent(messages::ReplicaId from, messages::ReplicaId to, const messages::PeerMessage& message,
            std::uint64_t now_us);
  // Of a correct replica, whenever convenient. `correct`: bitmap of all of these.
  void sample(const Host& host, std::uint32_t correct);
  // What a correct replica keeps for others.
  void holds(messages::ReplicaId replica, const consensus::Core::Holding& holding);
  // The faults are over. `highest` is the highest view that a correct replica is in or wants.
  void healed(std::uint64_t epoch, messages::View highest);
  // In the end; of the newest epoch, which has a membership and views of its own.
  void check_views(const config::Config& config, messages::View highest);

 private:
  const config::Config& config_;
  Violation violation_;
  bool fault_free_ = false;
  bool one_view_ = false;
  struct Second {
    std::uint64_t number = 0;
    std::uint64_t count = 0;
  };
  std::map<std::pair<messages::ReplicaId, messages::ReplicaId>, Second> histories_;  // by link
  std::optional<std::pair<std::uint64_t, messages::View>> healed_at_;  // epoch and view
};

}  // namespace bftmeta::sim
