// Due work at the start of a batch: orphans whose grace is over, leaves that nothing shows any
// more.
#include "namespace/apply.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
namespace keys = schema::keys;

namespace {

Code expire_orphan(Transaction& t, const Key& entry, std::uint64_t lease_time) {
  const std::uint64_t ino = keys::ino_of_orphan(entry);
  const auto holds = t.reader().count(keys::holds(ino));
  if (!holds) return Code::io_error;
  t.overlay().erase(entry);
  // Somebody has it open: look again after another grace.
  if (*holds > 0) {
    t.put(keys::orphan(lease_time + limits::kOrphanGraceUs, ino), schema::Marker{});
    return Code::ok;
  }
  Inode inode;
  BFTMETA_CHECK(t.load(ino, inode));
  return dispose(t, inode);
}

Code expire_orphans(Transaction& t, std::size_t limit) {
  schema::Counters counters;
  BFTMETA_CHECK(t.load_counters(counters));
  std::vector<Key> due;
  const Key end = keys::orphan(counters.lease_time_us, ~std::uint64_t{0});
  if (!t.first_keys(keys::orphans(), end, limit, due)) return Code::io_error;
  for (const Key& entry : due) BFTMETA_CHECK(expire_orphan(t, entry, counters.lease_time_us));
  return Code::ok;
}

// Erases what is dead among the next `budget` extents of a live file.
Code purge_extents(Transaction& t, const Key& entry, schema::Garbage garbage, std::size_t& budget) {
  const std::uint64_t ino = keys::ino_of_garbage(entry);
  Inode file;
  BFTMETA_CHECK(t.load(ino, file));
  std::vector<Key> dead;
  std::optional<Key> next;
  const bool known =
      t.scan(keys::extent(ino, garbage.from), keys::extents(ino).prefix_end(),
             [&](const Key& key, ByteView value) {
               if (budget == 0) {
                 next = key;
                 return false;
               }
               --budget;
               schema::Extent extent;
               if (!View::decoded(value, extent) ||
                   !schema::live_extent(file.attributes, keys::offset_of_extent(key), extent))
                 dead.push_back(key);
               return true;
             });
  if (!known) return Code::io_error;
  for (const Key& key : dead) t.overlay().erase(key);
  if (next) {
    garbage.from = keys::offset_of_extent(*next);
    t.put(entry, garbage);
  } else {
    t.overlay().erase(entry);
  }
  return Code::ok;
}

Code purge_garbage(Transaction& t, std::size_t budget) {
  std::vector<std::pair<Key, schema::Garbage>> queue;
  const Key prefix = keys::garbages();
  const bool known = t.scan(prefix, prefix.prefix_end(), [&](const Key& key, ByteView value) {
    queue.emplace_back(key, schema::Garbage{});
    static_cast<void>(View::decoded(value, queue.back().second));
    return queue.size() < budget;
  });
  if (!known) return Code::io_error;
  for (const auto& [entry, garbage] : queue) {
    if (budget == 0) return Code::ok;
    if (!garbage.whole) {
      BFTMETA_CHECK(purge_extents(t, entry, garbage, budget));
      continue;
    }
    std::size_t erased = 0;
    bool all = false;
    BFTMETA_CHECK(
        erase_leaves(t, keys::inode_prefix(keys::ino_of_garbage(entry)), budget, erased, all));
    budget -= erased;
    if (all) t.overlay().erase(entry);
  }
  return Code::ok;
}

}  // namespace

void housekeeping(tree::Overlay& overlay, const Context& context, std::size_t operations) {
  Transaction t(overlay, context, Credentials{});
  if (expire_orphans(t, limits::kMaxExpiriesPerBatch + operations) != Code::ok) return;
  static_cast<void>(purge_garbage(t, limits::kPurgePerBatch));
}

}  // namespace bftmeta::ns
