// How everything above reads the authenticated map: an overlay in execution, an immutable version
// on the read path, a recording wrapper when a proof is made, a parsed partial tree at a client.
// The same query code runs on all of them. Thread-safety: const calls of a Version and of a
// PartialTree may run concurrently; an Overlay belongs to one thread.
#pragma once

#include <functional>
#include <optional>

#include "base/bytes.hpp"

namespace bftmeta::tree {

// `unknown`: a partial tree does not cover it, or the store failed. Nothing may be concluded from
// it; whoever meets it gives up the whole evaluation.
enum class Found : std::uint8_t { value, absent, unknown };

class Reader {
 public:
  virtual ~Reader() = default;

  // The value under exactly this key. `value` is assigned only with Found::value.
  virtual Found get(const Key& key, Bytes& value) const = 0;

  // Visits the leaves with from <= key < to (nullopt: to the end) in key order until `visit`
  // returns false. Returns false if anything up to the end of the visit is unknown.
  using Visit = std::function<bool(const Key& key, ByteView value)>;
  virtual bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const = 0;

  // Leaves whose key starts with `prefix` (authenticated count); nullopt: unknown.
  virtual std::optional<std::uint64_t> count(const Key& prefix) const = 0;
};

}  // namespace bftmeta::tree
