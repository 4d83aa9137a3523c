// What is left to do between the own tree and the target: the subtrees that differ, and the ranges
// in which the own tree has leaves too many. The own tree is at any time a whole tree, a mixture of
// states; each fragment that was verified against the target is merged at once. So whatever is
// stored of it is never lost: another target, or another start, finds it equal and skips it.
// What is rotten of the own tree is cut out of it, and so differs. Invariant: nothing enters the
// own tree that the target's root does not commit to. Thread-safety: one thread.
#pragma once

#include <deque>

#include "messages/transfer.hpp"
#include "tree/flush.hpp"
#include "tree/fragment.hpp"

namespace bftmeta::transfer {

using messages::ReplicaId;

struct Task {
  tree::Subtree subtree;   // without bits: the whole tree, by its state root
  bool compares = false;   // few levels tell which parts differ, as the own tree has leaves there
  std::uint32_t gone = 0;  // bitmap: peers that do not serve it
};

class Work {
 public:
  Work(const Hash& cluster_id, tree::Version own) : cluster_id_(cluster_id), own_(std::move(own)) {}

  // These subtrees can not be read. Errors: the store can not.
  Status damaged(const std::vector<tree::Subtree>& rotten);
  // From now on towards the own tree as it was before damaged(): `sound` is its root, and only what
  // was cut out is open.
  void restore(const messages::CertBody& sound);
  // From now on towards this state; what was open is forgotten.
  Status restart(const messages::CertBody& target);
  // Once after something was cut out: the walk has to begin again.
  bool take_cut() { return std::exchange(cut_, false); }
  std::size_t repairs() const { return repairs_; }  // subtrees that were cut out
  // The own tree is the target's.
  bool reached() const;

  // ---- subtrees
  bool empty() const { return tasks_.empty() && surplus_.empty(); }
  std::size_t open() const { return tasks_.size(); }
  // Leaves of the target; 0: nobody has shown its root yet.
  std::uint64_t target_leaves() const { return target_leaves_; }
  // At most so many tasks for one question to `peer`, all with equal `compares`; what the own tree
  // has by now is dropped. Errors: of the own tree.
  Result<std::vector<Task>> take(ReplicaId peer, std::size_t most);
  void put_back(std::vector<Task> tasks);
  // Whether there are tasks, and nobody of this bitmap serves any of them.
  bool stuck(std::uint32_t peers) const;
  // Errors: unverified, malformed, limit (the fragment is not what was asked for: its sender lies);
  // of the own tree.
  Status merge(const Task& task, ByteView fragment);
  // Removes some leaves that are too many. False: none is left. Errors: of the own tree.
  Result<bool> erase_some();

  // ---- the own tree
  const tree::Version& own() const { return own_; }
  std::size_t unwritten() const { return unwritten_; }  // bytes, about
  tree::WriteSet begin_write();
  void written(const tree::WriteSet& set, std::shared_ptr<const tree::Snapshot> snapshot);

 private:
  void open_again(tree::Subtree part);
  Result<bool> has(const tree::Subtree& subtree, tree::NodeCache& cache);
  // `f` again whenever what it could not read has been cut out of the own tree.
  template <class F>
  auto tolerant(const F& f) -> decltype(f());
  // `leaves`: the target has at most so many there.
  Status add(tree::Subtree subtree, std::uint64_t leaves, tree::NodeCache& cache);
  Status apply(const std::vector<tree::Update>& updates, tree::NodeCache& cache);

  const Hash cluster_id_;
  tree::Version own_;
  messages::CertBody target_;
  std::uint64_t target_leaves_ = 0;
  std::vector<Task> tasks_;  // the last is next: depth first keeps them few
  std::deque<tree::KeyRange> surplus_;
  std::size_t unwritten_ = 0;
  std::vector<tree::Subtree> lost_;  // cut out, of the tree that is restored
  bool restoring_ = false;
  bool cut_ = false;
  std::size_t repairs_ = 0;
};

}  // namespace bftmeta::transfer
