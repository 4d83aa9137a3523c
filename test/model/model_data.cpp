// The part of the model that knows what a file contains.
#include "model/model.hpp"

namespace bftmeta::test {

using schema::Code;
using schema::DataKind;
using schema::FileType;

namespace {
constexpr std::uint64_t kBlock = limits::kBlockSize;
}

// The mode without setuid, and without setgid where it means something.
unsigned Model::stripped(const Node& node) const {
  unsigned mode = node.a.mode & 05777U;
  const bool keeps_setgid = (node.a.mode & 010) == 0 && member(node.a.gid);
  if (keeps_setgid) mode |= node.a.mode & 02000U;
  return mode & 03777U;
}

void Model::require_countable(std::uint64_t before, std::uint64_t after) const {
  require(after <= ~std::uint64_t{0} - (counters_.bytes - before), Code::no_space);
}

// A purge that is under way knows its dead blocks by their place behind the place where the file
// was cut; a second cut of many blocks behind that place has to wait.
void Model::require_cuttable(std::uint64_t ino, std::uint64_t size) const {
  const Node& node = nodes_.at(ino);
  if (node.a.data != DataKind::extents || size >= node.a.size) return;
  std::uint64_t limit = size;
  while (limit % kBlock != 0) limit += kBlock - limit % kBlock;
  std::size_t behind = 0;
  for (const auto& [offset, block] : node.blocks) behind += offset >= limit ? 1 : 0;
  if (behind <= limits::kPurgePerOperation) return;
  require(!purges_.contains(ino) || limit <= node.a.live_limit, Code::try_again);
}

// Whatever the file shows behind `size` is gone.
void Model::cut(std::uint64_t ino, std::uint64_t size) {
  Node& node = nodes_.at(ino);
  if (node.a.data == DataKind::inline_leaf && node.content.size() > size) node.content.resize(size);
  if (node.a.data == DataKind::extents) {
    std::set<std::uint64_t> behind;
    for (auto& [offset, block] : node.blocks) {
      if (offset >= size)
        behind.insert(offset);
      else if (!block.dead && offset + block.extent.length > size)
        block.extent.length = static_cast<std::uint32_t>(size - offset);
    }
    if (behind.size() <= limits::kPurgePerOperation) {
      for (const std::uint64_t offset : behind) node.blocks.erase(offset);
    } else {
      for (const std::uint64_t offset : behind) node.blocks.at(offset).dead = true;
      node.a.data_generation += 1;
      node.a.live_limit = (size + kBlock - 1) / kBlock * kBlock;
      purges_[ino] = node.a.live_limit;
    }
  }
  if (size == 0) node.a.data = DataKind::none;
}

void Model::set_size(std::uint64_t ino, std::uint64_t size) {
  Node& node = nodes_.at(ino);
  if (size < node.a.size) cut(ino, size);
  counters_.bytes = counters_.bytes - node.a.size + size;
  node.a.size = size;
}

void Model::run(const schema::SetAttributes& op) {
  const auto wants = [&](std::uint32_t bits) { return (op.mask & bits) != 0; };
  constexpr std::uint32_t mode = 1, uid = 2, gid = 4, size = 8, atime = 16, mtime = 32;
  constexpr std::uint32_t atime_now = 64, mtime_now = 128, ctime = 256;
  require(op.mask < 512, Code::invalid);
  require(!(wants(atime) && wants(atime_now)), Code::invalid);
  require(!(wants(mtime) && wants(mtime_now)), Code::invalid);
  require(!wants(mode) || op.mode <= 07777, Code::invalid);
  require(!wants(uid) || op.uid != 0xffffffff, Code::invalid);
  require(!wants(gid) || op.gid != 0xffffffff, Code::invalid);
  require(!wants(size) || op.size <= limits::kMaxFileSize, Code::file_too_big);
  const std::uint64_t ino = walk(op.target);
  Node& node = nodes_.at(ino);
  require(!wants(size) || node.a.type != FileType::directory, Code::is_directory);
  require(!wants(size) || node.a.type == FileType::regular, Code::invalid);
  require(!wants(mode) || node.a.type != FileType::symlink, Code::not_supported);
  const bool root = who_.uid == 0;
  const bool writer = mine(node) || allowed(node, 2);
  require(!wants(size) || writer, Code::access_denied);
  require(!wants(uid) || root || (mine(node) && op.uid == node.a.uid), Code::not_permitted);
  require(!wants(gid) || root || (mine(node) && (op.gid == node.a.gid || member(op.gid))),
          Code::not_permitted);
  require(!wants(mode) || mine(node), Code::not_permitted);
  require(op.mask != ctime || mine(node), Code::not_permitted);
  const std::uint32_t times = op.mask & (atime | mtime | atime_now | mtime_now);
  if (times == (atime_now | mtime_now))
    require(writer, Code::access_denied);
  else
    require(times == 0 || mine(node), Code::not_permitted);
  require(op.expected_version == 0 || op.expected_version == node.a.version,
          Code::version_conflict);
  if (wants(size)) {
    require_countable(node.a.size, op.size);
    require_cuttable(ino, op.size);
    set_size(ino, op.size);
  }
  if (op.mask != 0) {
    if (wants(size) && !root) node.a.mode = static_cast<std::uint16_t>(stripped(node));
    if (wants(uid | gid) && node.a.type != FileType::directory)
      node.a.mode = static_cast<std::uint16_t>(stripped(node));
    if (wants(uid)) node.a.uid = op.uid;
    if (wants(gid)) node.a.gid = op.gid;
    if (wants(mode))
      node.a.mode = static_cast<std::uint16_t>(member(node.a.gid) ? op.mode : op.mode & 05777);
    if (wants(atime | atime_now)) node.a.atime_ns = wants(atime) ? op.atime_ns : now();
    if (wants(mtime | mtime_now | size)) node.a.mtime_ns = wants(mtime) ? op.mtime_ns : now();
    touch(node);
  }
  answer(ino);
}

void Model::run(const schema::CommitData& op) {
  require(op.new_size <= limits::kMaxFileSize, Code::file_too_big);
  if (op.inline_data) {
    require(op.inline_data->format == 1 && op.extents.empty(), Code::invalid);
    require(op.inline_data->bytes.size() <= 1536, Code::invalid);
    require(op.inline_data->bytes.size() <= op.new_size, Code::invalid);
  }
  for (std::size_t i = 0; i < op.extents.size(); ++i) {
    const schema::ExtentChange& e = op.extents[i];
    require(e.offset % kBlock == 0 && e.offset < limits::kMaxFileSize, Code::invalid);
    require(e.length <= kBlock, Code::invalid);
    require(e.length == 0 || e.offset + e.length <= op.new_size, Code::invalid);
    require(i == 0 || op.extents[i - 1].offset < e.offset, Code::invalid);
  }
  require(!env_.rules.strict, Code::not_permitted);
  require(nodes_.contains(op.ino), Code::stale_handle);
  Node& node = nodes_.at(op.ino);
  require(node.a.type != FileType::directory, Code::is_directory);
  require(node.a.type == FileType::regular, Code::invalid);
  require(mine(node) || allowed(node, 2), Code::access_denied);
  require(op.expected_version == 0 || op.expected_version == node.a.version,
          Code::version_conflict);
  require_countable(node.a.size, op.new_size);
  if (op.inline_data) {
    cut(op.ino, 0);
    set_size(op.ino, op.new_size);
    node.content = op.inline_data->bytes;
    node.a.data = node.content.empty() ? DataKind::none : DataKind::inline_leaf;
  } else {
    require_cuttable(op.ino, op.new_size);
    if (node.a.data == DataKind::inline_leaf && !op.extents.empty()) {
      node.content.clear();
      node.a.data = DataKind::none;
    }
    set_size(op.ino, op.new_size);
    for (const schema::ExtentChange& e : op.extents) {
      node.blocks.erase(e.offset);
      if (e.length == 0) continue;
      node.blocks[e.offset] = {
          {schema::kRecordFormat, e.length, e.length, node.a.data_generation, e.digest}, false};
      node.a.data = DataKind::extents;
    }
  }
  if (who_.uid != 0) node.a.mode = static_cast<std::uint16_t>(stripped(node));
  node.a.mtime_ns = op.mtime_ns == 0 ? now() : op.mtime_ns;
  touch(node);
  answer(op.ino);
}

}  // namespace bftmeta::test
