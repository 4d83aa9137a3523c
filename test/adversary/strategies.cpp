#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

const std::vector<Named>& all_strategies() {
  static const std::vector<Named> all = [] {
    std::vector<Named> list;
    for (const auto family :
         {instance_strategies, order_strategies, batch_strategies, vote_strategies,
          view_change_strategies, new_view_strategies, data_strategies, transfer_strategies,
          epoch_strategies, meta_strategies}) {
      const auto some = family();
      list.insert(list.end(), some.begin(), some.end());
    }
    std::ranges::stable_sort(list, {}, &Named::number);
    return list;
  }();
  return all;
}

const Named* find_strategy(const std::string& name) {
  for (const Named& n : all_strategies())
    if (name == n.name) return &n;
  return nullptr;
}

}  // namespace bftmeta::adversary
