// Finding things: lookup, forget, readlink, statfs. Inode numbers of the cluster are those of the
// kernel, so there is nothing to remember between lookup and forget.
#include <sys/statvfs.h>

#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  Mount& mount = mount_of(req);
  const schema::Caller caller = caller_of(req);
  const std::string_view text(name);
  Outcome<ns::InodeAnswer> found = text == "." || text == ".."
                                       ? mount.metadata->inode(caller, target_of(parent))
                                       : mount.metadata->inode(caller, target_of(parent, name));
  if (found && text == "..")
    found = mount.metadata->inode(caller, target_of(found->attributes.parent));
  if (!found) return reply_failure(req, "lookup", parent, found.error());
  const fuse_entry_param entry = entry_of(mount, found->ino, found->attributes);
  fuse_reply_entry(req, &entry);
}

void forget(fuse_req_t req, fuse_ino_t, std::uint64_t) { fuse_reply_none(req); }
void forget_multi(fuse_req_t req, std::size_t, fuse_forget_data*) { fuse_reply_none(req); }

void readlink(fuse_req_t req, fuse_ino_t ino) {
  Mount& mount = mount_of(req);
  const auto found = mount.metadata->inode(caller_of(req), target_of(ino), true);
  if (!found) return reply_failure(req, "readlink", ino, found.error());
  if (!found->symlink) return static_cast<void>(fuse_reply_err(req, EINVAL));
  fuse_reply_readlink(req, std::string(text(*found->symlink)).c_str());
}

// The cluster does not count the space on its replicas; what is free is a number that no program
// mistakes for a nearly full disk.
void statfs(fuse_req_t req, fuse_ino_t ino) {
  constexpr std::uint64_t kBlock = 4096;
  constexpr std::uint64_t kPretended = std::uint64_t{1} << 50;
  Mount& mount = mount_of(req);
  const auto counters = mount.metadata->statistics(caller_of(req));
  if (!counters) return reply_failure(req, "statfs", ino, counters.error());
  struct statvfs st {};
  st.f_bsize = kBlock;
  st.f_frsize = kBlock;
  st.f_bfree = st.f_bavail = kPretended / kBlock;
  st.f_blocks = st.f_bfree + (counters->bytes + kBlock - 1) / kBlock;
  st.f_ffree = st.f_favail = std::uint64_t{1} << 48;
  st.f_files = st.f_ffree + counters->inodes;
  st.f_namemax = limits::kMaxName;
  fuse_reply_statfs(req, &st);
}

}  // namespace

void add_lookup_handlers(fuse_lowlevel_ops& ops) {
  ops.lookup = lookup;
  ops.forget = forget;
  ops.forget_multi = forget_multi;
  ops.readlink = readlink;
  ops.statfs = statfs;
}

}  // namespace bftmeta::fuse
