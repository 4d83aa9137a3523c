// What must hold in every state of the small case. Thread-safety: one thread.
#pragma once

#include "sim/explore/menu.hpp"

namespace bftmeta::sim::explore {

class Checks {
 public:
  Checks(World& world, Moves& moves, Lives& lives, Menu& menu)
      : world_(world), moves_(moves), lives_(lives), menu_(menu) {}

  // Empty: all of it holds. No two batches are executed under one number; no two bodies of one
  // number can be certified; what was executed or can be certified is still chosen by every legal
  // NEW-VIEW after a power cut of all. Without `only_agreement` also: no correct replica stops, is
  // told that it lost votes, or says something invalid.
  std::string violation(const Nodes& nodes, const Facts& facts, bool only_agreement);

 private:
  struct Bound {  // what a NEW-VIEW may not replace
    Seq seq = 0;
    BatchNo batch = 0;
  };

  std::string lost(const Nodes& nodes, const Facts& facts);
  std::vector<Bound> bound(const Facts& facts) const;
  std::string lost_by(const std::vector<std::uint32_t>& view_changes, const Facts& facts,
                      const std::vector<Bound>& bound);
  std::vector<std::uint32_t> after_power_cut(const Nodes& nodes);

  World& world_;
  Moves& moves_;
  Lives& lives_;
  Menu& menu_;
  std::map<std::vector<std::uint64_t>, std::string> verdicts_;
};

}  // namespace bftmeta::sim::explore
