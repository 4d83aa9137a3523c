#include "verify/path_fact.hpp"

#include <algorithm>

#include "schema/keys.hpp"

namespace bftmeta::verify {

namespace {

namespace keys = schema::keys;

bool valid_name(ByteView name) {
  return !name.empty() && name.size() <= limits::kMaxName && text(name) != "." &&
         text(name) != ".." &&
         std::ranges::none_of(name, [](std::uint8_t c) { return c == 0 || c == '/'; });
}

// nullopt: proven absent.
template <class T>
Result<std::optional<T>> load(const tree::Reader& reader, const Key& key, const char* what) {
  Bytes value;
  switch (reader.get(key, value)) {
    case tree::Found::absent: return std::optional<T>{};
    case tree::Found::unknown:
      return fail(Errc::unverified, std::string("proof: it does not cover the ") + what);
    case tree::Found::value: break;
  }
  auto record = schema::decode_record<T>(value, what);
  if (!record) return fail(Errc::unverified, "proof: " + record.error().message);
  return std::optional<T>(std::move(*record));
}

}  // namespace

Result<PathFact> path_fact(const tree::Reader& reader, const schema::Target& target) {
  std::uint64_t ino = target.base;
  BFTMETA_ASSIGN(auto inode, load<schema::Attributes>(reader, keys::attributes(ino), "base inode"));
  for (const schema::Name& name : target.path) {
    if (!valid_name(name.bytes))
      return fail(Errc::invalid_argument, "path: '" + std::string(text(name.bytes)) +
                                              "' is no name that an entry can have");
    if (!inode || !inode->is_directory()) return PathFact{};
    BFTMETA_ASSIGN(
        const auto entry,
        load<schema::Dirent>(reader, keys::dirent(ino, keys::name_hash(inode->salt, name.bytes)),
                             "directory entry"));
    if (!entry) return PathFact{};
    if (entry->name != name.bytes)
      return fail(Errc::unverified, "proof: the directory entry has another name");
    ino = entry->ino;
    BFTMETA_ASSIGN(inode, load<schema::Attributes>(reader, keys::attributes(ino), "inode"));
    if (!inode)
      return fail(Errc::unverified, "proof: the directory entry names inode " +
                                        std::to_string(ino) + ", which is proven not to exist");
  }
  if (!inode) return PathFact{};
  return PathFact{true, ino, *inode};
}

std::string target_name(const schema::Target& target) {
  std::string name = target.base == schema::kRootIno ? "" : "inode " + std::to_string(target.base);
  for (const schema::Name& n : target.path) name += '/' + std::string(text(n.bytes));
  return name.empty() ? "/" : name;
}

}  // namespace bftmeta::verify
