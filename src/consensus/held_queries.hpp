// Queries for the newest certificate that may not be answered yet (protocol §6.3). Few per client
// link: the oldest of a link gives way, because its client has given that round up. Thread-safety:
// one thread.
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include "messages/client.hpp"

namespace bftmeta::consensus {

struct HeldQuery {
  std::uint64_t link = 0;  // the driver's token for the answer
  messages::Fresh query;
  messages::Seq floor = 0;  // a certificate below this is no answer
};

class HeldQueries {
 public:
  void hold(HeldQuery query);
  // The link is gone.
  void drop(std::uint64_t link) { by_link_.erase(link); }
  // Those with a floor below `blocked`, which are not held any more; by link and arrival.
  std::vector<HeldQuery> release(messages::Seq blocked);
  bool empty() const { return by_link_.empty(); }
  std::size_t longest() const {  // queries of the link that holds most
    std::size_t most = 0;
    for (const auto& [link, held] : by_link_) most = std::max(most, held.size());
    return most;
  }

 private:
  std::map<std::uint64_t, std::deque<HeldQuery>> by_link_;  // no empty ones
};

}  // namespace bftmeta::consensus
