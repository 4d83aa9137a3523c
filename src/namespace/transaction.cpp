#include "namespace/transaction.hpp"

#include <limits>

#include "namespace/permissions.hpp"

namespace bftmeta::ns {

using schema::Code;

Code Transaction::resolve_parent(const schema::Target& target, const schema::Name& name,
                                 Inode& directory) const {
  BFTMETA_CHECK(check_name(name.bytes));
  BFTMETA_CHECK(resolve(target, directory));
  if (!directory.attributes.is_directory()) return Code::not_directory;
  return may(who_, directory.attributes, Access::execute) ? Code::ok : Code::access_denied;
}

Code Transaction::resolve_handle(std::uint64_t ino, Inode& inode) const {
  if (context_.rules->strict) return Code::not_permitted;
  return load(ino, inode);
}

Code Transaction::find(const Inode& directory, const schema::Name& name, Key& key,
                       Inode& inode) const {
  schema::Dirent entry;
  BFTMETA_CHECK(lookup(directory, name.bytes, key, entry));
  return load(entry.ino, inode);
}

void Transaction::changed(Inode& inode) const {
  inode.attributes.ctime_ns = now();
  ++inode.attributes.version;
}

void Transaction::entries_changed(Inode& directory) const {
  directory.attributes.mtime_ns = now();
  changed(directory);
}

void Transaction::store(const Inode& inode) {
  put(schema::keys::attributes(inode.ino), inode.attributes);
}

void Transaction::put_entry(const Key& key, std::uint64_t ino, schema::FileType type,
                            ByteView name) {
  schema::Dirent entry;
  entry.ino = ino;
  entry.type = type;
  entry.name.assign(name.begin(), name.end());
  put(key, entry);
}

Code Transaction::load_counters(schema::Counters& counters) const {
  return record(schema::keys::counters(), counters) == tree::Found::value ? Code::ok
                                                                          : Code::io_error;
}

void Transaction::store_counters(const schema::Counters& counters) {
  put(schema::keys::counters(), counters);
}

Code Transaction::count_bytes(std::uint64_t before, std::uint64_t after) {
  if (before == after) return Code::ok;
  schema::Counters counters;
  BFTMETA_CHECK(load_counters(counters));
  if (counters.bytes < before) return Code::io_error;
  const std::uint64_t others = counters.bytes - before;
  if (after > std::numeric_limits<std::uint64_t>::max() - others) return Code::no_space;
  counters.bytes = others + after;
  store_counters(counters);
  return Code::ok;
}

}  // namespace bftmeta::ns
