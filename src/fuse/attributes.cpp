// getattr and setattr.
#include <sys/stat.h>

#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

void reply_attributes(fuse_req_t req, fuse_ino_t ino, const schema::Attributes& attributes) {
  Mount& mount = mount_of(req);
  const struct stat st = present(mount, ino, attributes);
  fuse_reply_attr(req, &st, mount.options.attr_timeout_s);
}

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  const auto found = mount_of(req).metadata->inode(caller_of(req), target_of(ino));
  if (!found) return reply_failure(req, "getattr", ino, found.error());
  reply_attributes(req, ino, found->attributes);
}

std::int64_t to_ns(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// Everything but the size.
schema::SetAttributes changes_of(fuse_ino_t ino, const struct stat& st, int to_set) {
  namespace mask = schema::set_mask;
  schema::SetAttributes change;
  change.target = target_of(ino);
  const auto take = [&](int flag, std::uint32_t bit) {
    if ((to_set & flag) != 0) change.mask |= bit;
  };
  take(FUSE_SET_ATTR_MODE, mask::kMode);
  take(FUSE_SET_ATTR_UID, mask::kUid);
  take(FUSE_SET_ATTR_GID, mask::kGid);
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0)
    change.mask |= mask::kAtimeNow;
  else
    take(FUSE_SET_ATTR_ATIME, mask::kAtime);
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0)
    change.mask |= mask::kMtimeNow;
  else
    take(FUSE_SET_ATTR_MTIME, mask::kMtime);
  take(FUSE_SET_ATTR_CTIME, mask::kCtime);
  change.mode = static_cast<std::uint16_t>(st.st_mode & 07777);
  change.uid = st.st_uid;
  change.gid = st.st_gid;
  change.atime_ns = to_ns(st.st_atim);
  change.mtime_ns = to_ns(st.st_mtim);
  return change;
}

Outcome<schema::Attributes> resize(Mount& mount, const schema::Caller& caller, fuse_ino_t ino,
                                   std::uint64_t size) {
  if (const OpenFilePtr open = mount.files->find(ino)) return open->data.truncate(caller, size);
  if (size > limits::kMaxFileSize) return tl::make_unexpected(Failure(EFBIG));
  return mount.metadata->set_size(caller, ino, size);
}

Outcome<schema::Attributes> change(Mount& mount, const schema::Caller& caller, fuse_ino_t ino,
                                   const struct stat& st, int to_set) {
  std::optional<schema::Attributes> after;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    BFTFS_ASSIGN(after, resize(mount, caller, ino, static_cast<std::uint64_t>(st.st_size)));
  }
  const schema::SetAttributes rest = changes_of(ino, st, to_set);
  if (rest.mask != 0) {
    // Times and owner are those after the writes that came before, so the writes go first.
    if (const OpenFilePtr open = mount.files->find(ino)) BFTFS_TRY(open->data.flush());
    BFTFS_ASSIGN(const schema::InodeReply reply, mount.metadata->apply_to_inode(caller, rest));
    after = reply.attributes;
  }
  if (!after) {
    BFTFS_ASSIGN(const ns::InodeAnswer found, mount.metadata->inode(caller, target_of(ino)));
    after = found.attributes;
  }
  return *after;
}

void setattr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int to_set, fuse_file_info* info) {
  Mount& mount = mount_of(req);
  const bool by_handle = info != nullptr && (to_set & FUSE_SET_ATTR_SIZE) != 0;
  const schema::Caller caller = by_handle ? file_handle(*info).caller : caller_of(req);
  const auto after = change(mount, caller, ino, *st, to_set);
  if (!after) return reply_failure(req, "setattr", ino, after.error());
  ++mount.mutations;
  reply_attributes(req, ino, *after);
}

}  // namespace

void add_attribute_handlers(fuse_lowlevel_ops& ops) {
  ops.getattr = getattr;
  ops.setattr = setattr;
}

}  // namespace bftmeta::fuse
