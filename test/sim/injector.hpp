// Makes the faults of a schedule happen to a cluster, and ends those that last. Thread-safety: one
// thread.
#pragma once

#include "sim/cluster.hpp"

namespace bftmeta::sim {

class FaultInjector {
 public:
  explicit FaultInjector(Cluster& cluster) : cluster_(cluster) {}

  void schedule(const std::vector<FaultEvent>& events);
  // Everything that lasts is over; what is down starts.
  void end_all();
  const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  using Link = std::pair<messages::ReplicaId, messages::ReplicaId>;

  void apply(const FaultEvent& event);
  void restart_later(messages::ReplicaId id, std::uint64_t within_us, Random& random);
  void power_cut(const FaultEvent& event, Random random);
  void kill(const FaultEvent& event, Random random);
  void wipe(const FaultEvent& event, Random random);
  void outage(const FaultEvent& event, Random random);
  void split(const FaultEvent& event);
  void one_way(const FaultEvent& event);
  void stall(const FaultEvent& event);
  std::vector<Link> between(const FaultEvent& event) const;
  void cut(std::vector<Link> links, std::uint64_t for_us);
  void clock(const FaultEvent& event);
  void disk(const FaultEvent& event);
  template <class Visit>
  void each(std::uint32_t replicas, const Visit& visit) const;

  Cluster& cluster_;
  std::map<std::string, std::uint64_t> counts_;
};

}  // namespace bftmeta::sim
