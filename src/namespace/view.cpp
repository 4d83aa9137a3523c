#include "namespace/view.hpp"

#include "namespace/permissions.hpp"

namespace bftmeta::ns {

using schema::Code;

Code check_name(ByteView name) {
  if (name.empty() || name.size() > limits::kMaxName) return Code::invalid;
  if (name[0] == '.' && (name.size() == 1 || (name.size() == 2 && name[1] == '.')))
    return Code::invalid;
  for (const std::uint8_t c : name)
    if (c == 0 || c == '/') return Code::invalid;
  return Code::ok;
}

Code View::load(std::uint64_t ino, Inode& inode) const {
  inode.ino = ino;
  switch (record(schema::keys::attributes(ino), inode.attributes)) {
    case tree::Found::value: return Code::ok;
    case tree::Found::absent: return Code::stale_handle;
    case tree::Found::unknown: break;
  }
  return Code::io_error;
}

Code View::lookup(const Inode& directory, ByteView name, Key& key, schema::Dirent& entry) const {
  key =
      schema::keys::dirent(directory.ino, schema::keys::name_hash(directory.attributes.salt, name));
  switch (record(key, entry)) {
    case tree::Found::value: return equal(entry.name, name) ? Code::ok : Code::io_error;
    case tree::Found::absent: return Code::no_entry;
    case tree::Found::unknown: break;
  }
  return Code::io_error;
}

Code View::resolve(const schema::Target& target, const Credentials* who, bool strict,
                   Inode& inode) const {
  if (strict && target.base != schema::kRootIno) return Code::not_permitted;
  for (const schema::Name& name : target.path) BFTMETA_CHECK(check_name(name.bytes));
  BFTMETA_CHECK(load(target.base, inode));
  Key key;
  schema::Dirent entry;
  for (const schema::Name& name : target.path) {
    if (!inode.attributes.is_directory()) return Code::not_directory;
    if (who != nullptr && !may(*who, inode.attributes, Access::execute)) return Code::access_denied;
    BFTMETA_CHECK(lookup(inode, name.bytes, key, entry));
    BFTMETA_CHECK(load(entry.ino, inode));
  }
  return Code::ok;
}

}  // namespace bftmeta::ns
