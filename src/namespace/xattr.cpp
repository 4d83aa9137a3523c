#include "namespace/xattr.hpp"

#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;

namespace {

constexpr std::string_view kUser = "user.";
constexpr std::string_view kTrusted = "trusted.";
constexpr std::string_view kSecurity = "security.";

bool is(ByteView name, std::string_view prefix) { return text(name).starts_with(prefix); }

bool takes_user_xattrs(const schema::Attributes& inode) {
  return inode.is_directory() || inode.type == schema::FileType::regular;
}

}  // namespace

Code check_xattr_name(ByteView name) {
  if (name.empty() || name.size() > limits::kMaxXattrName) return Code::invalid;
  if (std::ranges::find(name, 0) != name.end()) return Code::invalid;
  for (const std::string_view prefix : {kUser, kTrusted, kSecurity})
    if (is(name, prefix)) return name.size() > prefix.size() ? Code::ok : Code::invalid;
  return Code::not_supported;
}

Code check_xattr_read(const Credentials& who, const schema::Attributes& inode, ByteView name) {
  if (is(name, kTrusted)) return who.root() ? Code::ok : Code::no_attribute;
  if (!is(name, kUser)) return Code::ok;
  if (!takes_user_xattrs(inode)) return Code::no_attribute;
  return may(who, inode, Access::read) ? Code::ok : Code::access_denied;
}

Code check_xattr_write(const Credentials& who, const schema::Attributes& inode, ByteView name) {
  if (!is(name, kUser)) return who.root() ? Code::ok : Code::not_permitted;
  if (!takes_user_xattrs(inode)) return Code::not_permitted;
  // In a shared directory nobody but its owner marks the directory itself.
  if (inode.is_directory() && (inode.mode & mode_bits::kSticky) != 0 && !owns(who, inode))
    return Code::not_permitted;
  return may(who, inode, Access::write) ? Code::ok : Code::access_denied;
}

bool xattr_visible(const Credentials& who, ByteView name) {
  return who.root() || !is(name, kTrusted);
}

Key xattr_key(const Inode& inode, ByteView name) {
  return schema::keys::xattr(inode.ino, schema::keys::name_hash(inode.attributes.salt, name));
}

Code load_xattr(const View& view, const Key& key, ByteView name, schema::Xattr& xattr) {
  switch (view.record(key, xattr)) {
    case tree::Found::value: return equal(xattr.name, name) ? Code::ok : Code::io_error;
    case tree::Found::absent: return Code::no_attribute;
    case tree::Found::unknown: break;
  }
  return Code::io_error;
}

Code set_xattr(Transaction& t, const schema::SetXattr& op) {
  namespace flags = schema::xattr_flags;
  if ((op.flags & ~(flags::kCreate | flags::kReplace)) != 0) return Code::invalid;
  BFTMETA_CHECK(check_xattr_name(op.name));
  Inode inode;
  BFTMETA_CHECK(t.resolve(op.target, inode));
  BFTMETA_CHECK(check_xattr_write(t.who(), inode.attributes, op.name));
  const Key key = xattr_key(inode, op.name);
  schema::Xattr xattr;
  const Code found = load_xattr(t, key, op.name, xattr);
  if (found != Code::ok && found != Code::no_attribute) return found;
  const bool exists = found == Code::ok;
  if (exists && (op.flags & flags::kCreate) != 0) return Code::exists;
  if (!exists && (op.flags & flags::kReplace) != 0) return Code::no_attribute;
  if (!exists && inode.attributes.xattr_count >= limits::kMaxXattrsPerInode) return Code::no_space;

  xattr.name = op.name;
  xattr.value = op.value;
  t.put(key, xattr);
  if (!exists) ++inode.attributes.xattr_count;
  t.changed(inode);
  t.store(inode);
  return Code::ok;
}

Code remove_xattr(Transaction& t, const schema::RemoveXattr& op) {
  BFTMETA_CHECK(check_xattr_name(op.name));
  Inode inode;
  BFTMETA_CHECK(t.resolve(op.target, inode));
  BFTMETA_CHECK(check_xattr_write(t.who(), inode.attributes, op.name));
  const Key key = xattr_key(inode, op.name);
  schema::Xattr xattr;
  BFTMETA_CHECK(load_xattr(t, key, op.name, xattr));

  t.overlay().erase(key);
  --inode.attributes.xattr_count;
  t.changed(inode);
  t.store(inode);
  return Code::ok;
}

}  // namespace bftmeta::ns
