// Makes proofs: a query is run on a Recorder over a version, which notes what was looked at;
// prove() then cuts out the smallest partial tree on which the same query gives the same answers.
// Thread-safety: a Recorder belongs to one thread; any number of them may share a version.
#pragma once

#include <set>

#include "tree/proof.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree {

// A part of the key space, from <= key < to.
struct KeyRange {
  Key from;
  std::optional<Key> to;
};

class Recorder final : public Reader {
 public:
  explicit Recorder(Version version) : version_(std::move(version)) {}

  Found get(const Key& key, Bytes& value) const override;
  // Notes the range up to where the visit ended.
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override;
  std::optional<std::uint64_t> count(const Key& prefix) const override;

  const CachedVersion& version() const { return version_; }
  // Something that was asked could not be read from the store: no proof can be made.
  bool fault() const { return fault_; }
  const std::set<Key>& keys() const { return keys_; }
  const std::vector<KeyRange>& ranges() const { return ranges_; }
  const std::set<Key>& counted() const { return counted_; }

 private:
  CachedVersion version_;
  mutable std::set<Key> keys_;
  mutable std::vector<KeyRange> ranges_;
  mutable std::set<Key> counted_;  // prefixes
  mutable bool fault_ = false;
};

// The partial tree for everything that was noted. Values of leaves that only show that something
// is absent, or that are only counted, are redacted. Errors: corrupt, io (the store); limit (the
// proof would exceed kMaxProof: ask for less at a time).
Result<Bytes> prove(const Recorder& recorder);

}  // namespace bftmeta::tree
