// A std::map as the base of an overlay: what a tree version is in production, without hashes, for
// tests. Thread-safety: none.
#pragma once

#include "model/model.hpp"
#include "tree/overlay.hpp"

namespace bftmeta::test {

class MapReader final : public tree::Reader {
 public:
  tree::Found get(const Key& key, Bytes& value) const override {
    const auto it = leaves.find(key);
    if (it == leaves.end()) return tree::Found::absent;
    value = it->second;
    return tree::Found::value;
  }
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override {
    for (auto it = leaves.lower_bound(from); it != leaves.end() && (!to || it->first < *to); ++it)
      if (!visit(it->first, it->second)) break;
    return true;
  }
  std::optional<std::uint64_t> count(const Key& prefix) const override {
    std::uint64_t n = 0;
    for (auto it = leaves.lower_bound(prefix); it != leaves.end() && it->first.starts_with(prefix);
         ++it)
      ++n;
    return n;
  }

  void absorb(tree::Overlay& overlay) {
    for (tree::Update& u : overlay.take_updates()) {
      if (u.value)
        leaves[u.key] = std::move(*u.value);
      else
        leaves.erase(u.key);
    }
  }

  LeafMap leaves;
};

}  // namespace bftmeta::test
