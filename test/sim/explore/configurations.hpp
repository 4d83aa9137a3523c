// The searches that scripts/explore makes, by name. Thread-safety: pure.
#pragma once

#include "sim/explore/search.hpp"

namespace bftmeta::sim::explore {

struct Configuration {
  std::string
      name;  // "1x3-b0-cut": sequence numbers x views, Byzantine replica, what else there is
  Options options;
};

// In the order of their size. Replicas that lead no view of a search are interchangeable, so not
// every one has to be the Byzantine one.
std::vector<Configuration> configurations();
// Those whose names begin like this.
std::vector<Configuration> configurations(const std::string& prefix);

}  // namespace bftmeta::sim::explore
