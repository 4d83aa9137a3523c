// rename with NOREPLACE and EXCHANGE, in the order of checks of Linux's vfs_rename.
#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;

namespace {

// Everything that a rename touches. With both names in one directory there is one parent object.
struct Move {
  Inode from_parent;
  Inode other_parent;
  Inode moved;
  Inode target;  // what the new name leads to now, if `replaces`
  Key from_key;
  Key to_key;
  bool one_parent = false;
  bool replaces = false;
  bool exchange = false;

  Inode& to_parent() { return one_parent ? from_parent : other_parent; }
  bool moves_directory() const { return moved.attributes.is_directory(); }
  bool target_is_directory() const { return replaces && target.attributes.is_directory(); }
};

// Whether `directory` is `start` or above it. Code::invalid: too deep to tell.
Code is_above(const Transaction& t, std::uint64_t directory, const Inode& start, bool& above) {
  above = false;
  Inode at = start;
  for (std::uint32_t steps = 0; steps <= limits::kMaxDepth; ++steps) {
    if (at.ino == directory) {
      above = true;
      return Code::ok;
    }
    if (at.ino == schema::kRootIno) return Code::ok;
    BFTMETA_CHECK(t.load(at.attributes.parent, at));
  }
  return Code::invalid;
}

Code check_loops(const Transaction& t, Move& m) {
  if (m.one_parent) return Code::ok;
  bool above = false;
  if (m.moves_directory()) {
    BFTMETA_CHECK(is_above(t, m.moved.ino, m.to_parent(), above));
    if (above) return Code::invalid;
  }
  if (m.target_is_directory()) {
    BFTMETA_CHECK(is_above(t, m.target.ino, m.from_parent, above));
    if (above) return m.exchange ? Code::invalid : Code::not_empty;
  }
  return Code::ok;
}

// May `entry` lose its name in `parent`?
Code check_taken_away(const Transaction& t, const Inode& parent, const Inode& entry) {
  if (!may(t.who(), parent.attributes, Access::write_execute)) return Code::access_denied;
  return sticky_forbids(t.who(), parent.attributes, entry.attributes) ? Code::not_permitted
                                                                      : Code::ok;
}

Code check_permissions(const Transaction& t, Move& m) {
  BFTMETA_CHECK(check_taken_away(t, m.from_parent, m.moved));
  if (!m.replaces) {
    if (!may(t.who(), m.to_parent().attributes, Access::write_execute)) return Code::access_denied;
  } else {
    BFTMETA_CHECK(check_taken_away(t, m.to_parent(), m.target));
    if (!m.exchange && m.moves_directory() && !m.target_is_directory()) return Code::not_directory;
    if (!m.exchange && !m.moves_directory() && m.target_is_directory()) return Code::is_directory;
  }
  if (m.one_parent) return Code::ok;
  // A directory that changes its parent is itself written: its "..".
  if (m.moves_directory() && !may(t.who(), m.moved.attributes, Access::write))
    return Code::access_denied;
  if (m.exchange && m.target_is_directory() && !may(t.who(), m.target.attributes, Access::write))
    return Code::access_denied;
  return Code::ok;
}

Code check_limits(const Transaction& t, Move& m) {
  if (!m.one_parent) {
    const bool comes = m.moves_directory() && !m.target_is_directory();
    const bool goes = m.exchange && m.target_is_directory() && !m.moves_directory();
    if (comes && m.to_parent().attributes.nlink >= limits::kMaxLinks) return Code::too_many_links;
    if (goes && m.from_parent.attributes.nlink >= limits::kMaxLinks) return Code::too_many_links;
    if (m.moves_directory() && m.to_parent().attributes.depth >= limits::kMaxDepth)
      return Code::invalid;
    if (m.exchange && m.target_is_directory() &&
        m.from_parent.attributes.depth >= limits::kMaxDepth)
      return Code::invalid;
  }
  if (!m.exchange && m.target_is_directory()) return check_empty(t, m.target);
  return Code::ok;
}

void settle(const Transaction& t, Inode& inode, const Inode& parent) {
  if (inode.attributes.is_directory()) {
    inode.attributes.parent = parent.ino;
    inode.attributes.depth = parent.attributes.depth + 1;
  }
  t.changed(inode);
}

void leave(Inode& parent, const Inode& entry) {
  --parent.attributes.size;
  if (entry.attributes.is_directory()) --parent.attributes.nlink;
}

void join(Inode& parent, const Inode& entry) {
  ++parent.attributes.size;
  if (entry.attributes.is_directory()) ++parent.attributes.nlink;
}

Code write(Transaction& t, Move& m, const schema::Rename& op) {
  Inode& to_parent = m.to_parent();
  leave(m.from_parent, m.moved);
  if (m.replaces) leave(to_parent, m.target);
  join(to_parent, m.moved);
  if (m.exchange) {
    join(m.from_parent, m.target);
    settle(t, m.target, m.from_parent);
    t.store(m.target);
    t.put_entry(m.from_key, m.target.ino, m.target.attributes.type, op.from_name.bytes);
  } else {
    t.overlay().erase(m.from_key);
    if (m.replaces) BFTMETA_CHECK(drop_name(t, m.target));
  }
  settle(t, m.moved, to_parent);
  t.store(m.moved);
  t.put_entry(m.to_key, m.moved.ino, m.moved.attributes.type, op.to_name.bytes);
  t.entries_changed(m.from_parent);
  t.store(m.from_parent);
  if (!m.one_parent) {
    t.entries_changed(to_parent);
    t.store(to_parent);
  }
  return Code::ok;
}

}  // namespace

Code rename(Transaction& t, const schema::Rename& op, schema::InodeReply& reply) {
  namespace flags = schema::rename_flags;
  if ((op.flags & ~(flags::kNoReplace | flags::kExchange)) != 0) return Code::invalid;
  if (op.flags == (flags::kNoReplace | flags::kExchange)) return Code::invalid;
  Move m;
  m.exchange = op.flags == flags::kExchange;
  BFTMETA_CHECK(t.resolve_parent(op.from_parent, op.from_name, m.from_parent));
  BFTMETA_CHECK(t.resolve_parent(op.to_parent, op.to_name, m.other_parent));
  m.one_parent = m.from_parent.ino == m.other_parent.ino;
  BFTMETA_CHECK(t.find(m.from_parent, op.from_name, m.from_key, m.moved));
  const Code found = t.find(m.to_parent(), op.to_name, m.to_key, m.target);
  if (found != Code::ok && found != Code::no_entry) return found;
  m.replaces = found == Code::ok;
  if (m.replaces && op.flags == flags::kNoReplace) return Code::exists;
  if (!m.replaces && m.exchange) return Code::no_entry;
  BFTMETA_CHECK(check_loops(t, m));
  if (!m.replaces || m.moved.ino != m.target.ino) {
    BFTMETA_CHECK(check_permissions(t, m));
    BFTMETA_CHECK(check_limits(t, m));
    BFTMETA_CHECK(write(t, m, op));
  }
  reply = {m.moved.ino, false, m.moved.attributes};
  return Code::ok;
}

}  // namespace bftmeta::ns
