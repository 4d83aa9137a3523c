#include "transfer/work.hpp"

#include <algorithm>

#include "base/mutant.hpp"

namespace bftmeta::transfer {

using tree::NodeCache;
using tree::Subtree;
using tree::Update;

namespace {

// So many leaves take what a comparison takes, about.
constexpr std::uint64_t kWholeLeaves = 64;
constexpr std::size_t kErasedAtOnce = 1024;
// What a leaf takes in memory beside its bytes, with its share of nodes.
constexpr std::size_t kLeafOverhead = 256;

}  // namespace

template <class F>
auto Work::tolerant(const F& f) -> decltype(f()) {
  while (true) {
    auto result = f();
    if (result || result.error().code != Errc::corrupt) return result;
    const std::vector<Subtree> rotten = own_.take_rotten();
    if (rotten.empty()) return result;
    BFTMETA_TRY(damaged(rotten));
  }
}

Status Work::damaged(const std::vector<Subtree>& rotten) {
  for (const Subtree& subtree : rotten) {
    std::vector<Subtree> cut;
    BFTMETA_ASSIGN(own_, own_.without(subtree.region, cut));
    repairs_ += cut.size();
    cut_ = cut_ || !cut.empty();
    for (Subtree& part : cut) open_again(std::move(part));
  }
  own_.take_rotten();  // met on the way, and cut out as well
  return {};
}

// Only where the own tree is to be what it was is its hash the one to ask for.
void Work::open_again(Subtree part) {
  if (!restoring_) return lost_.push_back(std::move(part));
  if (part.region.bits == 0) part.hash = target_.state_root;
  tasks_.push_back({std::move(part), false, 0});
}

void Work::restore(const messages::CertBody& sound) {
  target_ = sound;
  restoring_ = true;
  for (Subtree& part : std::exchange(lost_, {})) open_again(std::move(part));
}

Status Work::restart(const messages::CertBody& target) {
  tasks_.clear();
  surplus_.clear();
  lost_.clear();
  target_ = target;
  target_leaves_ = 0;
  NodeCache cache;
  return add({{}, target.state_root}, tree::kMaxLeaves, cache);
}

bool Work::reached() const {
  return own_.state_root(cluster_id_, target_.sm_version) == target_.state_root;
}

Result<bool> Work::has(const Subtree& subtree, NodeCache& cache) {
  if (subtree.region.bits == 0) return reached();
  return tolerant([&] { return tree::holds(own_, subtree, cache); });
}

Status Work::add(Subtree subtree, std::uint64_t leaves, NodeCache& cache) {
  BFTMETA_ASSIGN(const bool own,
                 tolerant([&] { return tree::holds_any(own_, subtree.region, cache); }));
  tasks_.push_back({std::move(subtree), own && leaves > kWholeLeaves, 0});
  return {};
}

Result<std::vector<Task>> Work::take(ReplicaId peer, std::size_t most) {
  std::vector<Task> taken;
  NodeCache cache;
  for (std::size_t i = tasks_.size(); i-- > 0 && taken.size() < most;) {
    const Task task = tasks_[i];  // a copy: more may be opened meanwhile
    if ((task.gone >> peer & 1) != 0 || (!taken.empty() && task.compares != taken.front().compares))
      continue;
    BFTMETA_ASSIGN(const bool done, has(task.subtree, cache));
    if (!done) taken.push_back(task);
    tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return taken;
}

// As they were taken: the first was the last.
void Work::put_back(std::vector<Task> tasks) {
  std::ranges::move(tasks.rbegin(), tasks.rend(), std::back_inserter(tasks_));
}

bool Work::stuck(std::uint32_t peers) const {
  return !tasks_.empty() &&
         std::ranges::all_of(tasks_, [peers](const Task& t) { return (peers & ~t.gone) == 0; });
}

Status Work::merge(const Task& task, ByteView fragment) {
  const Subtree& subtree = task.subtree;
  BFTMETA_ASSIGN(const tree::PartialTree theirs, tree::PartialTree::parse(fragment));
  const Hash root = subtree.region.bits == 0 ? theirs.state_root(cluster_id_, target_.sm_version)
                                             : theirs.root_hash();
  if (root != subtree.hash && !mutant(Mutant::fragment_unchecked))
    return fail(Errc::unverified, "fragment: not the subtree that was asked for");
  if (subtree.region.bits == 0) target_leaves_ = theirs.leaf_count();
  NodeCache cache;
  const auto take_over = [&]() -> Result<tree::Difference> {
    BFTMETA_ASSIGN(auto found, tree::compare(own_, theirs, subtree.region, cache));
    BFTMETA_TRY(apply(found.missing, cache));
    return found;
  };
  BFTMETA_ASSIGN(tree::Difference difference, tolerant(take_over));
  std::ranges::move(difference.surplus, std::back_inserter(surplus_));
  std::ranges::reverse(difference.not_shown);
  for (auto& [part, leaves] : difference.not_shown)
    BFTMETA_TRY(add(std::move(part), leaves, cache));
  return {};
}

Result<bool> Work::erase_some() {
  if (surplus_.empty()) return false;
  std::vector<Update> updates;
  tree::KeyRange& range = surplus_.front();
  const auto erase = [&]() -> Status {
    NodeCache cache;
    updates.clear();
    BFTMETA_TRY(own_.read_range(
        range.from, range.to,
        [&](const Key& key, ByteView) {
          updates.push_back({key, std::nullopt});
          return updates.size() < kErasedAtOnce;
        },
        &cache));
    return apply(updates, cache);
  };
  BFTMETA_TRY(tolerant(erase));
  if (updates.size() < kErasedAtOnce)
    surplus_.pop_front();
  else
    range.from = updates.back().key;
  return true;
}

Status Work::apply(const std::vector<Update>& updates, NodeCache& cache) {
  if (updates.empty()) return {};
  for (const Update& update : updates)
    unwritten_ += kLeafOverhead + update.key.size() + (update.value ? update.value->size() : 0);
  BFTMETA_ASSIGN(own_, own_.apply(updates, &cache));
  return {};
}

tree::WriteSet Work::begin_write() {
  unwritten_ = 0;
  return tree::begin_flush(own_);
}

void Work::written(const tree::WriteSet& set, std::shared_ptr<const tree::Snapshot> snapshot) {
  own_ = tree::rebase(own_, set, std::move(snapshot));
}

}  // namespace bftmeta::transfer
