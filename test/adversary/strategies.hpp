// The registry of Byzantine strategies (protocol §11.2): number, name, what it does. A family is
// one file in strategies/. Thread-safety: constant after first use.
#pragma once

#include "adversary/strategy.hpp"

namespace bftmeta::adversary {

using Maker = std::unique_ptr<Strategy> (*)(Identity);

struct Named {
  int number;        // in the design's list
  const char* name;  // what bftmetad-evil, bftadm dev up and simulate take
  const char* what;
  Maker make;
  bool simulator_only = false;   // it needs powers that no process has
  const char* client = nullptr;  // the hostile client that it works with
  bool wraps = false;            // what it does is what another one does that it draws
  bool transfer = false;  // it is nothing unless a replica fetches the state (protocol §7.7)
  bool epochs = false;    // it is nothing unless the members change (protocol §9.2)
};

const std::vector<Named>& all_strategies();
// nullptr: unknown.
const Named* find_strategy(const std::string& name);

template <class T>
std::unique_ptr<Strategy> make_strategy(Identity identity) {
  return std::make_unique<T>(std::move(identity));
}

// The families.
std::vector<Named> instance_strategies();     // correct code in the wrong number
std::vector<Named> order_strategies();        // whom a primary tells what, and when
std::vector<Named> batch_strategies();        // what a primary puts into batches
std::vector<Named> vote_strategies();         // PREPARE, COMMIT, shares, certificates
std::vector<Named> view_change_strategies();  // VIEW-CHANGE
std::vector<Named> new_view_strategies();     // NEW-VIEW, and the views around it
std::vector<Named> data_strategies();         // answers, STATUS, fetches
std::vector<Named> transfer_strategies();     // what is served to who fetches the state
std::vector<Named> epoch_strategies();        // who joins, stays and has left when members change
std::vector<Named> meta_strategies();         // what wraps or mutates others

}  // namespace bftmeta::adversary
