#include "tree/flush.hpp"

#include "tree/pins.hpp"

namespace bftmeta::tree {

namespace {

// What was erased in later epochs than `epoch`.
std::shared_ptr<const Erased> erased_after(const Erased* newest, std::uint32_t epoch) {
  if (newest == nullptr || newest->epoch <= epoch) return nullptr;
  auto kept = std::make_shared<Erased>();
  kept->epoch = newest->epoch;
  for (const Erased* e = newest; e != nullptr && e->epoch > epoch; e = e->before.get()) {
    kept->leaves.insert(kept->leaves.end(), e->leaves.begin(), e->leaves.end());
    kept->nodes.insert(kept->nodes.end(), e->nodes.begin(), e->nodes.end());
    kept->regions.insert(kept->regions.end(), e->regions.begin(), e->regions.end());
  }
  return kept;
}

}  // namespace

WriteSet::WriteSet(Version version)
    : version_(std::move(version)), erased_(version_.erased_.get()) {
  if (is_dirty(version_.root_)) stack_.push_back(version_.root_.node().get());
}

bool WriteSet::is_dirty(const Ref& ref) const {
  return ref.node() && ref.node().get()->stamp() > version_.flushed_;
}

Result<bool> WriteSet::write_some(GenerationWriter& writer, std::size_t max_records) {
  std::size_t left = max_records;
  BFTMETA_TRY(write_erased(writer, left));
  if (erased_ == nullptr) BFTMETA_TRY(write_nodes(writer, left));
  return erased_ == nullptr && stack_.empty();
}

Status WriteSet::write_erased(GenerationWriter& writer, std::size_t& left) {
  while (erased_ != nullptr && left > 0) {
    if (erased_leaves_ < erased_->leaves.size()) {
      BFTMETA_TRY(writer.erase_leaf(erased_->leaves[erased_leaves_++]));
      --left;
    } else if (erased_nodes_ < erased_->nodes.size()) {
      BFTMETA_TRY(writer.erase_node(erased_->nodes[erased_nodes_++]));
      --left;
    } else if (erased_regions_ < erased_->regions.size()) {
      BFTMETA_TRY(writer.erase_region(erased_->regions[erased_regions_++]));
      --left;
    } else {
      erased_ = erased_->before.get();
      erased_leaves_ = erased_nodes_ = erased_regions_ = 0;
    }
  }
  return {};
}

Status WriteSet::write_nodes(GenerationWriter& writer, std::size_t& left) {
  while (!stack_.empty() && left > 0) {
    const Node& node = *stack_.back();
    stack_.pop_back();
    if (node.is_leaf()) {
      BFTMETA_TRY(writer.put_leaf(Key(node.key()), node.value()));
      --left;
      continue;
    }
    if (node.count() > kSmallSubtree) {
      BFTMETA_TRY(writer.put_node(node_id(node), encode_node_record(node)));
      --left;
    }
    // In key order, which stores like best.
    for (const bool side : {true, false})
      if (is_dirty(node.child(side))) stack_.push_back(node.child(side).node().get());
  }
  return {};
}

Bytes WriteSet::root_record() const { return encode_root_record(version_.root_); }

WriteSet begin_flush(Version& head) {
  WriteSet set(head);
  ++head.epoch_;
  return set;
}

Version rebase(const Version& head, const WriteSet& flushed,
               std::shared_ptr<const Snapshot> snapshot) {
  const std::uint32_t clean = flushed.version_.epoch_;
  BFTMETA_ASSERT(head.epoch_ > clean && head.flushed_ == flushed.version_.flushed_);
  Version next = head;
  const std::uint64_t pin_above = pin_threshold(head.root_.count(), head.options_.pinned_nodes);
  std::optional<std::uint32_t> trimmed;
  if (pin_above <= head.pin_above_) trimmed = head.flushed_;
  next.root_ = trim(head.root_, clean, trimmed, pin_above);
  next.pin_above_ = pin_above;
  next.snapshot_ = std::move(snapshot);
  next.flushed_ = clean;
  next.erased_ = erased_after(head.erased_.get(), clean);
  return next;
}

Version on_equal(const Version& head, std::shared_ptr<const Snapshot> snapshot) {
  Version same = head;
  same.snapshot_ = std::move(snapshot);
  return same;
}

}  // namespace bftmeta::tree
