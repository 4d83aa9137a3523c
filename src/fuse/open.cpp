// The life of a handle: create, open, flush, fsync, release.
#include <fcntl.h>

#include "fuse/log.hpp"
#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

// Gives up the handle of an open that failed or that nobody waits for any more.
void close_file(Mount& mount, const OpenFilePtr& file, const schema::Caller& caller) {
  if (mount.files->release(file)) mount.let_go(*file, caller);
}

void create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) {
  if (too_long(name)) return static_cast<void>(fuse_reply_err(req, ENAMETOOLONG));
  Mount& mount = mount_of(req);
  const schema::Caller caller = caller_of(req);
  schema::MakeNode node;
  node.parent = target_of(parent);
  node.name = name_of(name);
  node.mode = static_cast<std::uint16_t>(mode & 07777);
  const auto made = mount.metadata->apply_to_inode(caller, node);
  if (!made) {
    // Somebody else made it since the kernel looked: without O_EXCL the kernel has to look again,
    // and to check permissions, which it does on ESTALE.
    const bool found_now = made.error().code == schema::Code::exists && (info->flags & O_EXCL) == 0;
    return reply_failure(req, "create", parent, found_now ? Failure(ESTALE) : made.error());
  }
  ++mount.mutations;
  OpenFilePtr file = mount.files->acquire(made->ino);
  file->data.observe(made->attributes);
  const fuse_entry_param entry = entry_of(mount, made->ino, made->attributes);
  attach_handle(*info, file, caller);
  info->keep_cache = 1;
  mount.kernel.pages_are(made->ino, made->attributes.version);
  if (fuse_reply_create(req, &entry, info) != -ENOENT) return;
  delete &file_handle(*info);
  close_file(mount, file, caller);
}

Outcome<schema::Attributes> open_fresh(Mount& mount, const schema::Caller& caller, OpenFile& file,
                                       int flags) {
  BFTFS_ASSIGN(schema::Attributes attributes, file.data.revalidate(caller));
  if ((flags & O_TRUNC) != 0 && (attributes.size > 0 || file.data.dirty())) {
    BFTFS_ASSIGN(attributes, file.data.truncate(caller, 0));
    ++mount.mutations;
  }
  return attributes;
}

void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  Mount& mount = mount_of(req);
  schema::Caller caller = caller_of(req);
  OpenFilePtr file = mount.files->acquire(ino);
  const auto attributes = open_fresh(mount, caller, *file, info->flags);
  if (!attributes) {
    close_file(mount, file, caller);
    return reply_failure(req, "open", ino, attributes.error());
  }
  // Close-to-open: whatever the kernel has cached of an older version is void now.
  const std::uint64_t version = attributes->version;
  info->keep_cache = mount.kernel.has_pages(ino, version) ? 1 : 0;
  if (!mount.kernel.knows(ino, version))
    fuse_lowlevel_notify_inval_inode(mount.session, ino, -1, 0);
  mount.kernel.pages_are(ino, version);
  attach_handle(*info, file, caller);
  if (fuse_reply_open(req, info) != -ENOENT) return;
  delete &file_handle(*info);
  close_file(mount, file, caller);
}

// Commits what is dirty. What this mount wrote is in the kernel's pages already.
Outcome<void> commit(Mount& mount, OpenFile& file) {
  if (!file.data.dirty()) return {};
  const auto before = file.data.known_attributes();
  BFTFS_TRY(file.data.flush());
  ++mount.mutations;
  const auto after = file.data.known_attributes();
  const bool only_ours = before && after && after->version == before->version + 1;
  if (only_ours && mount.kernel.has_pages(file.ino, before->version))
    mount.kernel.pages_are(file.ino, after->version);
  return {};
}

void flush(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  OpenFile& file = *file_handle(*info).file;
  // Nobody can open an unlinked file again: its contents need not outlive the last handle.
  if (file.gone) return static_cast<void>(fuse_reply_err(req, 0));
  reply_status(req, "close", ino, commit(mount_of(req), file));
}

void fsync(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info* info) {
  reply_status(req, "fsync", ino, commit(mount_of(req), *file_handle(*info).file));
}

// Pages of a shared mapping may have come after the last flush; no call is left that could be told
// of an error.
void release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  Mount& mount = mount_of(req);
  const std::unique_ptr<FileHandle> handle(&file_handle(*info));
  OpenFile& file = *handle->file;
  if (!file.gone) {
    if (const Outcome<void> done = commit(mount, file); !done) {
      log_line("inode " + std::to_string(ino) + ": data written after its last fsync or close is " +
               "lost: " +
               (done.error().reason.empty() ? std::generic_category().message(done.error().error)
                                            : done.error().reason));
      mount.kernel.pages_are(ino, 0);
    }
  }
  close_file(mount, handle->file, handle->caller);
  fuse_reply_err(req, 0);
}

}  // namespace

void add_open_handlers(fuse_lowlevel_ops& ops) {
  ops.create = create;
  ops.open = open;
  ops.flush = flush;
  ops.fsync = fsync;
  ops.release = release;
}

}  // namespace bftmeta::fuse
