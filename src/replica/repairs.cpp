#include "replica/repairs.hpp"

#include <algorithm>

namespace bftmeta::replica {

using tree::Subtree;

void Repairs::met(const std::vector<Subtree>& places) {
  for (const Subtree& place : places)
    if (waiting_.size() < kMaxWaiting && std::ranges::find(waiting_, place) == waiting_.end())
      waiting_.push_back(place);
}

void Repairs::repaired(const std::vector<Subtree>& places, std::int64_t now_us) {
  count_ += places.size();
  for (const Subtree& place : places) done_.push_back({place, now_us});
  while (done_.size() > kMaxDone || (!done_.empty() && now_us - done_.front().at_us > kDayUs))
    done_.pop_front();
}

bool Repairs::repaired_lately(const Subtree& place, std::int64_t now_us) const {
  return std::ranges::any_of(
      done_, [&](const Done& d) { return d.place == place && now_us - d.at_us < kAgainUs; });
}

std::string Repairs::alarm(std::int64_t now_us) const {
  const auto n = static_cast<std::size_t>(
      std::ranges::count_if(done_, [&](const Done& d) { return now_us - d.at_us <= kDayUs; }));
  if (n <= kAlarm) return "";
  return std::to_string(n) +
         " damaged parts of the state store were repaired within a day: the disk or the memory of "
         "this machine fails; replace it";
}

}  // namespace bftmeta::replica
