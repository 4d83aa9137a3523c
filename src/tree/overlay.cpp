#include "tree/overlay.hpp"

namespace bftmeta::tree {

Found Overlay::get(const Key& key, Bytes& value) const {
  if (const auto it = dirty_.find(key); it != dirty_.end()) {
    if (!it->second) return Found::absent;
    value = *it->second;
    return Found::value;
  }
  const Found found = base_.get(key, value);
  if (found == Found::unknown) fault_ = true;
  return found;
}

bool Overlay::scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const {
  auto it = dirty_.lower_bound(from);
  const auto dirty_ends = [&] { return it == dirty_.end() || (to && it->first >= *to); };
  bool wants_more = true;
  const bool known = base_.scan(from, to, [&](const Key& key, ByteView value) {
    while (wants_more && !dirty_ends() && it->first < key) {
      if (it->second) wants_more = visit(it->first, *it->second);
      ++it;
    }
    if (!wants_more) return false;
    if (!dirty_ends() && it->first == key) {
      if (it->second) wants_more = visit(key, *it->second);
      ++it;
    } else {
      wants_more = visit(key, value);
    }
    return wants_more;
  });
  if (!known) {
    fault_ = true;
    return false;
  }
  for (; wants_more && !dirty_ends(); ++it)
    if (it->second) wants_more = visit(it->first, *it->second);
  return true;
}

std::optional<std::uint64_t> Overlay::count(const Key& prefix) const {
  auto n = base_.count(prefix);
  if (!n) {
    fault_ = true;
    return std::nullopt;
  }
  Bytes ignored;
  for (auto it = dirty_.lower_bound(prefix); it != dirty_.end() && it->first.starts_with(prefix);
       ++it) {
    const Found before = base_.get(it->first, ignored);
    if (before == Found::unknown) {
      fault_ = true;
      return std::nullopt;
    }
    if (it->second && before == Found::absent) ++*n;
    if (!it->second && before == Found::value) --*n;
  }
  return n;
}

void Overlay::put(const Key& key, Bytes value) { set(key, std::move(value)); }

void Overlay::erase(const Key& key) { set(key, std::nullopt); }

void Overlay::set(const Key& key, std::optional<Bytes> value) {
  const auto [it, inserted] = dirty_.try_emplace(key);
  undo_.push_back({key, !inserted, inserted ? std::nullopt : std::move(it->second)});
  it->second = std::move(value);
}

void Overlay::rollback(Savepoint to) {
  while (undo_.size() > to) {
    Undo& u = undo_.back();
    if (u.was_dirty)
      dirty_[u.key] = std::move(u.before);
    else
      dirty_.erase(u.key);
    undo_.pop_back();
  }
}

std::vector<Update> Overlay::take_updates() {
  std::vector<Update> updates;
  updates.reserve(dirty_.size());
  for (auto& [key, value] : dirty_) updates.push_back({key, std::move(value)});
  dirty_.clear();
  undo_.clear();
  return updates;
}

}  // namespace bftmeta::tree
