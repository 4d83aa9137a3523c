// unlink and rmdir, and what becomes of an inode that lost its last name.
#include "base/assert.hpp"
#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
using schema::FileType;

Code remove(Transaction& t, const schema::Remove& op, schema::InodeReply& reply) {
  Inode parent;
  BFTMETA_CHECK(t.resolve_parent(op.parent, op.name, parent));
  Key key;
  Inode victim;
  BFTMETA_CHECK(t.find(parent, op.name, key, victim));
  if (!may(t.who(), parent.attributes, Access::write_execute)) return Code::access_denied;
  if (sticky_forbids(t.who(), parent.attributes, victim.attributes)) return Code::not_permitted;
  const bool directory = victim.attributes.is_directory();
  if (op.directory && !directory) return Code::not_directory;
  if (!op.directory && directory) return Code::is_directory;
  if (directory) BFTMETA_CHECK(check_empty(t, victim));

  t.overlay().erase(key);
  --parent.attributes.size;
  if (directory) --parent.attributes.nlink;
  t.entries_changed(parent);
  t.store(parent);
  BFTMETA_CHECK(drop_name(t, victim));
  reply = {victim.ino, false, victim.attributes};
  return Code::ok;
}

Code check_empty(const Transaction& t, const Inode& directory) {
  const auto entries = t.reader().count(schema::keys::dirents(directory.ino));
  if (!entries) return Code::io_error;
  return *entries == 0 ? Code::ok : Code::not_empty;
}

Code drop_name(Transaction& t, Inode& victim) {
  t.changed(victim);
  schema::Attributes& a = victim.attributes;
  a.nlink = a.is_directory() || a.nlink == 0 ? 0 : a.nlink - 1;
  if (a.nlink > 0) {
    t.store(victim);
    return Code::ok;
  }
  if (a.is_directory() || a.type == FileType::symlink) return dispose(t, victim);
  schema::Counters counters;
  BFTMETA_CHECK(t.load_counters(counters));
  t.store(victim);
  t.put(schema::keys::orphan(counters.lease_time_us + limits::kOrphanGraceUs, victim.ino),
        schema::Marker{});
  return Code::ok;
}

Code dispose(Transaction& t, const Inode& inode) {
  schema::Counters counters;
  BFTMETA_CHECK(t.load_counters(counters));
  const std::uint64_t bytes =
      inode.attributes.type == FileType::regular ? inode.attributes.size : 0;
  if (counters.inodes == 0 || counters.bytes < bytes) return Code::io_error;
  --counters.inodes;
  counters.bytes -= bytes;
  t.store_counters(counters);

  t.overlay().erase(schema::keys::attributes(inode.ino));
  const Key prefix = schema::keys::inode_prefix(inode.ino);
  std::size_t erased = 0;
  bool all = false;
  BFTMETA_CHECK(erase_leaves(t, prefix, limits::kPurgePerOperation, erased, all));
  const Key garbage = schema::keys::garbage(inode.ino);
  if (all) {
    t.overlay().erase(garbage);
  } else {
    schema::Garbage rest;
    rest.whole = true;
    t.put(garbage, rest);
  }
  return Code::ok;
}

Code erase_leaves(Transaction& t, const Key& prefix, std::size_t limit, std::size_t& erased,
                  bool& all) {
  std::vector<Key> leaves;
  if (!t.first_keys(prefix, prefix.prefix_end(), limit + 1, leaves)) return Code::io_error;
  all = leaves.size() <= limit;
  if (!all) leaves.pop_back();
  for (const Key& key : leaves) t.overlay().erase(key);
  erased = leaves.size();
  return Code::ok;
}

}  // namespace bftmeta::ns
