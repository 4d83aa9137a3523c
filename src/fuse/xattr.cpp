// Extended attributes. There are no POSIX ACLs.
#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

bool is_acl(std::string_view name) { return name.starts_with("system."); }

// The kernel asks for security.capability before every write; an open file that has no attributes
// at all need not ask the cluster.
bool surely_absent(Mount& mount, fuse_ino_t ino) {
  const OpenFilePtr open = mount.files->find(ino);
  if (!open) return false;
  const auto known = open->data.known_attributes();
  return known && known->xattr_count == 0;
}

// The size when `size` is 0, else the bytes.
void reply_bytes(fuse_req_t req, ByteView bytes, std::size_t size) {
  if (size == 0)
    fuse_reply_xattr(req, bytes.size());
  else if (bytes.size() > size)
    fuse_reply_err(req, ERANGE);
  else
    fuse_reply_buf(req, reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void setxattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, std::size_t size,
              int flags) {
  Mount& mount = mount_of(req);
  const std::string_view key(name);
  if (is_acl(key)) return static_cast<void>(fuse_reply_err(req, EOPNOTSUPP));
  if (key.size() > limits::kMaxXattrName) return static_cast<void>(fuse_reply_err(req, ERANGE));
  if (size > limits::kMaxXattrValue) return static_cast<void>(fuse_reply_err(req, E2BIG));
  schema::SetXattr set;
  set.target = target_of(ino);
  set.name = to_bytes(key);
  set.value = to_bytes(std::string_view(value, size));
  set.flags = static_cast<std::uint32_t>(flags);
  const auto done = mount.metadata->apply(caller_of(req), set);
  if (done) ++mount.mutations;
  if (const OpenFilePtr open = done ? mount.files->find(ino) : nullptr)
    static_cast<void>(open->data.revalidate(caller_of(req)));
  reply_status(req, "setxattr", ino, done);
}

void getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t size) {
  Mount& mount = mount_of(req);
  const std::string_view key(name);
  if (is_acl(key)) return static_cast<void>(fuse_reply_err(req, EOPNOTSUPP));
  if (key.size() > limits::kMaxXattrName) return static_cast<void>(fuse_reply_err(req, ERANGE));
  if (key == "security.capability" && surely_absent(mount, ino))
    return static_cast<void>(fuse_reply_err(req, ENODATA));
  const auto value = mount.metadata->xattr(caller_of(req), ino, to_bytes(key));
  if (!value) return reply_failure(req, "getxattr", ino, value.error());
  reply_bytes(req, *value, size);
}

void listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t size) {
  const auto names = mount_of(req).metadata->xattrs(caller_of(req), ino);
  if (!names) return reply_failure(req, "listxattr", ino, names.error());
  Bytes list;
  for (const Bytes& name : *names) {
    list.insert(list.end(), name.begin(), name.end());
    list.push_back(0);
  }
  reply_bytes(req, list, size);
}

void removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  Mount& mount = mount_of(req);
  const std::string_view key(name);
  if (is_acl(key)) return static_cast<void>(fuse_reply_err(req, EOPNOTSUPP));
  if (key.size() > limits::kMaxXattrName) return static_cast<void>(fuse_reply_err(req, ERANGE));
  schema::RemoveXattr remove;
  remove.target = target_of(ino);
  remove.name = to_bytes(key);
  const auto done = mount.metadata->apply(caller_of(req), remove);
  if (done) ++mount.mutations;
  reply_status(req, "removexattr", ino, done);
}

}  // namespace

void add_xattr_handlers(fuse_lowlevel_ops& ops) {
  ops.setxattr = setxattr;
  ops.getxattr = getxattr;
  ops.listxattr = listxattr;
  ops.removexattr = removexattr;
}

}  // namespace bftmeta::fuse
