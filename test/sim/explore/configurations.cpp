#include "sim/explore/configurations.hpp"

namespace bftmeta::sim::explore {

namespace {

enum class With : std::uint8_t { nothing, lies, cut };

Configuration make(std::uint32_t seqs, std::uint32_t views, ReplicaId byzantine, With with) {
  Configuration c;
  c.name = std::to_string(seqs) + "x" + std::to_string(views) + "-b" + std::to_string(byzantine);
  if (with == With::lies) c.name += "-lies";
  if (with == With::cut) c.name += "-cut";
  c.options.scope = {.seqs = seqs,
                     .views = views,
                     .byzantine = byzantine,
                     .crashes = with == With::cut ? 1U : 0U,
                     .lies = with == With::lies};
  return c;
}

}  // namespace

std::vector<Configuration> configurations() {
  std::vector<Configuration> all;
  const auto add = [&](std::uint32_t seqs, std::uint32_t views, With with) {
    for (ReplicaId b = 0; b <= std::min(views, kReplicas - 1); ++b)
      all.push_back(make(seqs, views, b, with));
  };
  for (const With with : {With::nothing, With::lies, With::cut}) add(1, 2, with);
  for (const With with : {With::nothing, With::lies, With::cut}) add(1, 3, with);
  for (const With with : {With::nothing, With::lies, With::cut}) add(2, 2, with);
  add(2, 3, With::nothing);
  return all;
}

std::vector<Configuration> configurations(const std::string& prefix) {
  std::vector<Configuration> some = configurations();
  std::erase_if(some, [&](const Configuration& c) { return !c.name.starts_with(prefix); });
  return some;
}

}  // namespace bftmeta::sim::explore
