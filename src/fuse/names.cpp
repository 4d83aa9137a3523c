// Making, removing and moving names: mknod, mkdir, symlink, link, unlink, rmdir, rename.
#include <sys/stat.h>

#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

schema::MakeNode make_node(fuse_ino_t parent, const char* name, schema::FileType type,
                           mode_t mode) {
  schema::MakeNode node;
  node.parent = target_of(parent);
  node.name = name_of(name);
  node.type = type;
  node.mode = static_cast<std::uint16_t>(mode & 07777);
  return node;
}

void mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  const mode_t format = mode & S_IFMT;
  const auto type = static_cast<schema::FileType>(format == 0 ? S_IFREG >> 12 : format >> 12);
  if (!schema::valid_value(type) || type == schema::FileType::directory ||
      type == schema::FileType::symlink)
    return static_cast<void>(fuse_reply_err(req, EINVAL));
  schema::MakeNode node = make_node(parent, name, type, mode);
  node.rdev = rdev;
  reply_entry(req, "mknod", parent, mount_of(req).metadata->apply_to_inode(caller_of(req), node));
}

void mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  const schema::MakeNode node = make_node(parent, name, schema::FileType::directory, mode);
  reply_entry(req, "mkdir", parent, mount_of(req).metadata->apply_to_inode(caller_of(req), node));
}

void symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  if (too_long(name) || std::string_view(target).size() > limits::kMaxSymlink)
    return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  schema::MakeNode node = make_node(parent, name, schema::FileType::symlink, 0777);
  node.symlink = to_bytes(std::string_view(target));
  reply_entry(req, "symlink", parent, mount_of(req).metadata->apply_to_inode(caller_of(req), node));
}

void link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  schema::Link link;
  link.source = target_of(ino);
  link.parent = target_of(parent);
  link.name = name_of(name);
  reply_entry(req, "link", parent, mount_of(req).metadata->apply_to_inode(caller_of(req), link));
}

void remove(fuse_req_t req, const char* call, fuse_ino_t parent, const char* name, bool directory) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  Mount& mount = mount_of(req);
  const schema::Caller caller = caller_of(req);
  schema::Remove remove;
  remove.parent = target_of(parent);
  remove.name = name_of(name);
  remove.directory = directory;
  const auto removed = mount.metadata->apply(caller, remove);
  if (!removed) return reply_failure(req, call, parent, removed.error());
  ++mount.mutations;
  if (*removed && !directory) {
    const schema::InodeReply& reply = **removed;
    if (const OpenFilePtr open = mount.files->find(reply.ino)) {
      open->data.observe(reply.attributes);
      if (reply.attributes.nlink == 0) {
        open->gone = true;
        mount.hold(*open, caller);
      }
    }
  }
  fuse_reply_err(req, 0);
}

void unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  remove(req, "unlink", parent, name, false);
}
void rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  remove(req, "rmdir", parent, name, true);
}

void rename(fuse_req_t req, fuse_ino_t from, const char* from_name, fuse_ino_t to,
            const char* to_name, unsigned int flags) {
  namespace rf = schema::rename_flags;
  if ((flags & ~(rf::kNoReplace | rf::kExchange)) != 0 || flags == (rf::kNoReplace | rf::kExchange))
    return static_cast<void>(fuse_reply_err(req, EINVAL));
  if (too_long(from_name) || too_long(to_name))
    return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  Mount& mount = mount_of(req);
  schema::Rename rename;
  rename.from_parent = target_of(from);
  rename.from_name = name_of(from_name);
  rename.to_parent = target_of(to);
  rename.to_name = name_of(to_name);
  rename.flags = flags;
  const auto renamed = mount.metadata->apply(caller_of(req), rename);
  if (!renamed) return reply_failure(req, "rename", from, renamed.error());
  ++mount.mutations;
  if (flags == 0) mount.look_for_unlinked();  // what was there before may be open
  fuse_reply_err(req, 0);
}

}  // namespace

void add_name_handlers(fuse_lowlevel_ops& ops) {
  ops.mknod = mknod;
  ops.mkdir = mkdir;
  ops.symlink = symlink;
  ops.link = link;
  ops.unlink = unlink;
  ops.rmdir = rmdir;
  ops.rename = rename;
}

}  // namespace bftmeta::fuse
