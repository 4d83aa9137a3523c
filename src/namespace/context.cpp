#include "namespace/context.hpp"

#include <algorithm>
#include <limits>

namespace bftmeta::ns {

namespace {

std::vector<std::uint32_t> squashed(std::vector<std::uint32_t> groups) {
  std::ranges::replace(groups, 0U, kNobody);
  return groups;
}

}  // namespace

std::int64_t Context::now_ns() const {
  constexpr std::uint64_t kLatest = std::numeric_limits<std::int64_t>::max() / 1000;
  return static_cast<std::int64_t>(std::min(exec_time_us, kLatest)) * 1000;
}

bool Credentials::in_group(std::uint32_t g) const {
  return g == gid || std::ranges::find(groups, g) != groups.end();
}

std::optional<Credentials> effective_caller(const config::ClientRules& rules,
                                            const schema::Caller& caller) {
  Credentials c = rules.gateway ? Credentials{caller.uid, caller.gid, caller.groups}
                                : Credentials{rules.uid_first, rules.gid, rules.groups};
  if (rules.root_squash && c.uid == 0) return Credentials{};
  if (rules.gateway && (c.uid < rules.uid_first || c.uid > rules.uid_last)) return std::nullopt;
  if (rules.root_squash) {
    if (c.gid == 0) c.gid = kNobody;
    c.groups = squashed(std::move(c.groups));
  }
  return c;
}

Hash inode_salt(const Hash& cluster_id, std::uint64_t ino, const Hash& history_hash) {
  constexpr std::uint64_t kGeneration = 0;
  return crypto::Hasher(tags::Domain::salt)
      .update(cluster_id)
      .update_u64(ino)
      .update_u64(kGeneration)
      .update(history_hash)
      .finish();
}

}  // namespace bftmeta::ns
