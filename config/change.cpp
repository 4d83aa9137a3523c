#include "config/change.hpp"

#include <algorithm>

namespace bftmeta::config {

namespace {

std::string size_text(const Config& c) {
  return std::to_string(c.n()) + " replicas (quorum " + std::to_string(c.quorum()) + ")";
}

}  // namespace

std::optional<std::uint32_t> position_of(const Config& config, const PublicKey& vote_key) {
  const auto at = std::ranges::find(config.replicas, vote_key, &Replica::vote_key);
  if (at == config.replicas.end()) return std::nullopt;
  return static_cast<std::uint32_t>(at - config.replicas.begin());
}

Difference difference(const Config& from, const Config& to) {
  Difference d;
  for (std::uint32_t i = 0; i < to.n(); ++i)
    if (!position_of(from, to.replicas[i].vote_key)) d.joining.push_back(i);
  for (std::uint32_t i = 0; i < from.n(); ++i)
    if (!position_of(to, from.replicas[i].vote_key)) d.leaving.push_back(i);
  return d;
}

Status check_step(const Config& from, const Config& to) {
  const std::string step = "change from " + size_text(from) + " to " + size_text(to) + ": ";
  const auto refuse = [&](const std::string& why) { return fail(Errc::config, step + why); };
  const bool three = to.n() == from.n() + 3 || to.n() + 3 == from.n();
  if (to.n() != from.n() && !three)
    return refuse("a step adds or removes three replicas, since n = 3f + 1; name three at once");
  if (auto valid = validate(to); !valid) return refuse(valid.error().message);
  if (to.epoch != from.epoch + 1)
    return refuse("the next epoch is " + std::to_string(from.epoch + 1) + ", not " +
                  std::to_string(to.epoch));
  // Whoever follows would have a chain that it can not store (limits::kMaxEpochs), at each start.
  if (to.epoch > limits::kMaxEpochs)
    return refuse("a cluster has at most " + std::to_string(limits::kMaxEpochs) +
                  " changes of its members, and these were made: it goes on with those of now; "
                  "copy its files into a new cluster");
  if (to.protocol_version != from.protocol_version || to.sm_version != from.sm_version)
    return refuse("versions do not change with the members");
  const Difference d = difference(from, to);
  if (to.n() == from.n()) {
    if (d.joining.size() > from.f())
      return refuse("it replaces " + std::to_string(d.joining.size()) +
                    " of them; at most f = " + std::to_string(from.f()) + " at a time");
    return {};
  }
  if (to.n() == from.n() + 3) {
    if (!d.leaving.empty())
      return refuse("nobody may leave in a step that adds; replace in a step of its own");
    return {};
  }
  if (!d.joining.empty())
    return refuse("nobody may join in a step that removes; replace in a step of its own");
  return {};
}

}  // namespace bftmeta::config
