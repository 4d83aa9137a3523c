// What every handler of a kernel request uses: the mount, the caller, attributes in and out, and
// answering exactly once. Thread-safety: handlers run on any number of threads.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>

#include "fuse/mount.hpp"

namespace bftmeta::fuse {

inline Mount& mount_of(fuse_req_t req) { return *static_cast<Mount*>(fuse_req_userdata(req)); }
schema::Caller caller_of(fuse_req_t req);

// The kernel hands on names that are longer than ours may be; none of them may get any further.
inline bool too_long(const char* name) { return std::string_view(name).size() > limits::kMaxName; }
// Precondition of both: not too long.
schema::Name name_of(const char* name);
schema::Target target_of(std::uint64_t parent, const char* name);
schema::Target target_of(std::uint64_t ino);

struct stat to_stat(std::uint64_t ino, const schema::Attributes& attributes);

// Attributes as this mount sees them: with what is written and not committed, if the inode is open
// here. Notes what the kernel is told.
struct stat present(Mount& mount, std::uint64_t ino, const schema::Attributes& attributes);
fuse_entry_param entry_of(Mount& mount, std::uint64_t ino, const schema::Attributes& attributes);

// Errors with a reason are worth a line in the log, ordinary ones are not.
void reply_failure(fuse_req_t req, const char* call, std::uint64_t ino, const Failure& failure);

template <class T>
void reply_status(fuse_req_t req, const char* call, std::uint64_t ino, const Outcome<T>& outcome) {
  if (outcome)
    fuse_reply_err(req, 0);
  else
    reply_failure(req, call, ino, outcome.error());
}

// After an operation that made or found an inode under a name.
void reply_entry(fuse_req_t req, const char* call, std::uint64_t parent,
                 const Outcome<schema::InodeReply>& made);

inline FileHandle& file_handle(const fuse_file_info& info) {
  return *reinterpret_cast<FileHandle*>(static_cast<std::uintptr_t>(info.fh));
}
// An open handle of an inode whose attributes are known; owned by the kernel until release.
void attach_handle(fuse_file_info& info, OpenFilePtr file, schema::Caller caller);

// The handlers, a family per file.
void add_lookup_handlers(fuse_lowlevel_ops& ops);     // lookup, forget, readlink, statfs
void add_attribute_handlers(fuse_lowlevel_ops& ops);  // getattr, setattr
void add_name_handlers(fuse_lowlevel_ops& ops);       // mknod, mkdir, symlink, link, unlink, rename
void add_directory_handlers(fuse_lowlevel_ops& ops);  // opendir, readdir, readdirplus
void add_open_handlers(fuse_lowlevel_ops& ops);       // create, open, flush, release, fsync
void add_data_handlers(fuse_lowlevel_ops& ops);       // read, write, lseek, fallocate
void add_xattr_handlers(fuse_lowlevel_ops& ops);

}  // namespace bftmeta::fuse
