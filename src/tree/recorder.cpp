#include "tree/recorder.hpp"

namespace bftmeta::tree {

Found Recorder::get(const Key& key, Bytes& value) const {
  keys_.insert(key);
  const Found found = version_.get(key, value);
  if (found == Found::unknown) fault_ = true;
  return found;
}

bool Recorder::scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const {
  std::optional<Key> end = to;
  const bool known = version_.scan(from, to, [&](const Key& key, ByteView value) {
    if (visit(key, value)) return true;
    end = key.prefix_end();  // no other key begins with it
    return false;
  });
  if (!known) fault_ = true;
  if (!end || from < *end) ranges_.push_back({from, end});
  return known;
}

std::optional<std::uint64_t> Recorder::count(const Key& prefix) const {
  counted_.insert(prefix);
  const auto n = version_.count(prefix);
  if (!n) fault_ = true;
  return n;
}

}  // namespace bftmeta::tree
