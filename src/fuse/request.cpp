#include "fuse/request.hpp"

#include <sys/stat.h>

#include "fuse/log.hpp"

namespace bftmeta::fuse {

schema::Caller caller_of(fuse_req_t req) {
  const fuse_ctx* context = fuse_req_ctx(req);
  schema::Caller caller;
  caller.uid = context->uid;
  caller.gid = context->gid;
  if (caller.uid == 0) return caller;  // its groups decide nothing
  std::array<gid_t, limits::kMaxGroups> groups{};
  const int count = fuse_req_getgroups(req, static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < std::min(count, static_cast<int>(groups.size())); ++i)
    caller.groups.push_back(groups[static_cast<std::size_t>(i)]);
  return caller;
}

schema::Name name_of(const char* name) { return {to_bytes(std::string_view(name))}; }
schema::Target target_of(std::uint64_t ino) { return {ino, {}}; }
schema::Target target_of(std::uint64_t parent, const char* name) {
  return {parent, {name_of(name)}};
}

namespace {
timespec to_timespec(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = ns / kSecond;
  std::int64_t rest = ns % kSecond;
  if (rest < 0) {
    --seconds;
    rest += kSecond;
  }
  return {seconds, rest};
}
}  // namespace

struct stat to_stat(std::uint64_t ino, const schema::Attributes& attributes) {
  struct stat st {};
  st.st_ino = ino;
  st.st_mode = (static_cast<mode_t>(attributes.type) << 12) | attributes.mode;
  st.st_nlink = attributes.nlink;
  st.st_uid = attributes.uid;
  st.st_gid = attributes.gid;
  st.st_rdev = attributes.rdev;
  st.st_size = static_cast<off_t>(attributes.size);
  st.st_blksize = 4096;
  if (attributes.type == schema::FileType::regular)
    st.st_blocks = static_cast<blkcnt_t>((attributes.size + 511) / 512);
  st.st_atim = to_timespec(attributes.atime_ns);
  st.st_mtim = to_timespec(attributes.mtime_ns);
  st.st_ctim = to_timespec(attributes.ctime_ns);
  return st;
}

struct stat present(Mount& mount, std::uint64_t ino, const schema::Attributes& attributes) {
  const OpenFilePtr open =
      attributes.type == schema::FileType::regular ? mount.files->find(ino) : nullptr;
  const schema::Attributes shown = open ? open->data.overlay(attributes) : attributes;
  mount.kernel.told(ino, shown.version);
  return to_stat(ino, shown);
}

fuse_entry_param entry_of(Mount& mount, std::uint64_t ino, const schema::Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = ino;
  entry.generation = 0;  // inode numbers are never reused
  entry.attr = present(mount, ino, attributes);
  entry.attr_timeout = mount.options.attr_timeout_s;
  entry.entry_timeout = mount.options.entry_timeout_s;
  return entry;
}

void reply_failure(fuse_req_t req, const char* call, std::uint64_t ino, const Failure& failure) {
  if (!failure.reason.empty())
    log_line(std::string(call) + " of inode " + std::to_string(ino) + ": " + failure.reason);
  fuse_reply_err(req, failure.error);
}

void reply_entry(fuse_req_t req, const char* call, std::uint64_t parent,
                 const Outcome<schema::InodeReply>& made) {
  if (!made) return reply_failure(req, call, parent, made.error());
  Mount& mount = mount_of(req);
  ++mount.mutations;
  const fuse_entry_param entry = entry_of(mount, made->ino, made->attributes);
  fuse_reply_entry(req, &entry);
}

void attach_handle(fuse_file_info& info, OpenFilePtr file, schema::Caller caller) {
  auto* handle = new FileHandle{std::move(file), std::move(caller)};
  info.fh = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle));
}

}  // namespace bftmeta::fuse
