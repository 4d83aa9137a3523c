#include "execution/state.hpp"

namespace bftmeta::execution {

std::vector<Key> State::keys_between(const Key& from, const Key& to, std::size_t limit) const {
  std::vector<Key> keys;
  if (limit == 0) return keys;
  overlay_.scan(from, to, [&](const Key& key, ByteView) {
    keys.push_back(key);
    return keys.size() < limit;
  });
  return keys;
}

std::vector<Key> State::keys_under(const Key& prefix) const {
  std::vector<Key> keys;
  overlay_.scan(prefix, prefix.prefix_end(), [&](const Key& key, ByteView) {
    keys.push_back(key);
    return true;
  });
  return keys;
}

}  // namespace bftmeta::execution
