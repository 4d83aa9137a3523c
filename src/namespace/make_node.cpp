// create, mkdir, mknod, symlink and link: new names.
#include <limits>

#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
using schema::FileType;

namespace {

bool is_device(FileType type) {
  return type == FileType::character_device || type == FileType::block_device;
}

Code check_static(const schema::MakeNode& op) {
  if (op.mode > mode_bits::kAll) return Code::invalid;
  if (op.type != FileType::symlink) return op.symlink.empty() ? Code::ok : Code::invalid;
  if (op.symlink.empty()) return Code::no_entry;
  return std::ranges::find(op.symlink, 0) == op.symlink.end() ? Code::ok : Code::invalid;
}

// O_CREAT without O_EXCL found something.
Code answer_existing(const Inode& existing, const schema::MakeNode& op, schema::InodeReply& reply) {
  if (op.exclusive || op.type != FileType::regular) return Code::exists;
  if (existing.attributes.is_directory()) return Code::is_directory;
  reply = {existing.ino, false, existing.attributes};
  return Code::ok;
}

// Group and mode of what is made in `parent`: a setgid directory hands its group down, and the bit
// itself to directories.
void inherit(const Credentials& who, const Inode& parent, std::uint16_t mode,
             schema::Attributes& made) {
  const bool setgid_parent = (parent.attributes.mode & mode_bits::kSetgid) != 0;
  made.uid = who.uid;
  made.gid = setgid_parent ? parent.attributes.gid : who.gid;
  made.project = parent.attributes.project;
  constexpr unsigned kSetgidExecutable = mode_bits::kSetgid | mode_bits::kGroupExecute;
  unsigned bits = mode;
  if (made.is_directory()) {
    bits &= 01777U;
    if (setgid_parent) bits |= mode_bits::kSetgid;
  } else if (setgid_parent && (bits & kSetgidExecutable) == kSetgidExecutable &&
             !keeps_setgid(who, made.gid)) {
    bits &= ~unsigned{mode_bits::kSetgid};
  }
  made.mode = made.type == FileType::symlink ? 0777 : static_cast<std::uint16_t>(bits);
}

schema::Attributes new_attributes(const Transaction& t, const schema::MakeNode& op,
                                  const Inode& parent, std::uint64_t ino) {
  schema::Attributes made;
  made.type = op.type;
  inherit(t.who(), parent, op.mode, made);
  made.salt = inode_salt(t.context().cluster_id, ino, t.context().history_hash);
  made.atime_ns = made.mtime_ns = made.ctime_ns = made.btime_ns = t.now();
  if (is_device(op.type)) made.rdev = op.rdev;
  if (op.type == FileType::symlink) made.size = op.symlink.size();
  if (made.is_directory()) {
    made.nlink = 2;
    made.parent = parent.ino;
    made.depth = parent.attributes.depth + 1;
  }
  return made;
}

}  // namespace

Code make_node(Transaction& t, const schema::MakeNode& op, schema::InodeReply& reply) {
  BFTMETA_CHECK(check_static(op));
  Inode parent;
  BFTMETA_CHECK(t.resolve_parent(op.parent, op.name, parent));
  Key key;
  Inode existing;
  const Code found = t.find(parent, op.name, key, existing);
  if (found == Code::ok) return answer_existing(existing, op, reply);
  if (found != Code::no_entry) return found;
  if (!may(t.who(), parent.attributes, Access::write_execute)) return Code::access_denied;
  if (is_device(op.type) && !t.who().root()) return Code::not_permitted;
  const bool directory = op.type == FileType::directory;
  if (directory && parent.attributes.nlink >= limits::kMaxLinks) return Code::too_many_links;
  if (directory && parent.attributes.depth >= limits::kMaxDepth) return Code::invalid;
  schema::Counters counters;
  BFTMETA_CHECK(t.load_counters(counters));
  if (counters.next_ino == std::numeric_limits<std::uint64_t>::max()) return Code::no_space;

  Inode made{counters.next_ino, new_attributes(t, op, parent, counters.next_ino)};
  ++counters.next_ino;
  ++counters.inodes;
  t.store_counters(counters);
  t.store(made);
  if (op.type == FileType::symlink) {
    schema::Content target;
    target.bytes = op.symlink;
    t.put(schema::keys::symlink(made.ino), target);
  }
  t.put_entry(key, made.ino, op.type, op.name.bytes);
  ++parent.attributes.size;
  if (directory) ++parent.attributes.nlink;
  t.entries_changed(parent);
  t.store(parent);
  reply = {made.ino, true, made.attributes};
  return Code::ok;
}

Code link(Transaction& t, const schema::Link& op, schema::InodeReply& reply) {
  Inode source;
  Inode parent;
  BFTMETA_CHECK(t.resolve(op.source, source));
  BFTMETA_CHECK(t.resolve_parent(op.parent, op.name, parent));
  Key key;
  schema::Dirent existing;
  const Code found = t.lookup(parent, op.name.bytes, key, existing);
  if (found == Code::ok) return Code::exists;
  if (found != Code::no_entry) return found;
  if (!may(t.who(), parent.attributes, Access::write_execute)) return Code::access_denied;
  if (source.attributes.is_directory()) return Code::not_permitted;
  if (source.attributes.nlink == 0) return Code::no_entry;
  if (source.attributes.nlink >= limits::kMaxLinks) return Code::too_many_links;

  ++source.attributes.nlink;
  t.changed(source);
  t.store(source);
  t.put_entry(key, source.ino, source.attributes.type, op.name.bytes);
  ++parent.attributes.size;
  t.entries_changed(parent);
  t.store(parent);
  reply = {source.ino, false, source.attributes};
  return Code::ok;
}

}  // namespace bftmeta::ns
