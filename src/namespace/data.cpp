// File data: inline leaf, extents, and how a truncate leaves dead extents to later batches.
#include <limits>

#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
using schema::DataKind;
namespace keys = schema::keys;

namespace {

constexpr std::uint64_t kBlock = limits::kBlockSize;

// The extent that `size` cuts through keeps its block and its digest; it shows fewer bytes.
Code shorten_last(Transaction& t, const Inode& file, std::uint64_t size) {
  const std::uint64_t inside = size % kBlock;
  if (inside == 0) return Code::ok;
  const std::uint64_t offset = size - inside;
  const Key key = keys::extent(file.ino, offset);
  schema::Extent extent;
  const tree::Found found = t.record(key, extent);
  if (found == tree::Found::unknown) return Code::io_error;
  if (found == tree::Found::absent || extent.length <= inside ||
      !schema::live_extent(file.attributes, offset, extent))
    return Code::ok;
  extent.length = static_cast<std::uint32_t>(inside);
  t.put(key, extent);
  return Code::ok;
}

// Too many extents to erase now: a new generation makes them dead at once. Extents that a pending
// purge owns must stay below neither the old limit nor the new one.
Code bury_extents(Transaction& t, Inode& file, std::uint64_t limit) {
  schema::Attributes& a = file.attributes;
  schema::Garbage garbage;
  const tree::Found pending = t.record(keys::garbage(file.ino), garbage);
  if (pending == tree::Found::unknown) return Code::io_error;
  if (pending == tree::Found::value && limit > a.live_limit) return Code::try_again;
  if (a.data_generation == std::numeric_limits<std::uint32_t>::max()) return Code::no_space;
  ++a.data_generation;
  a.live_limit = limit;
  garbage = {};
  garbage.from = limit;
  t.put(keys::garbage(file.ino), garbage);
  return Code::ok;
}

// Extents at and behind `size` die.
Code cut_extents(Transaction& t, Inode& file, std::uint64_t size) {
  BFTMETA_CHECK(shorten_last(t, file, size));
  const std::uint64_t limit = (size + kBlock - 1) / kBlock * kBlock;
  std::vector<Key> behind;
  if (!t.first_keys(keys::extent(file.ino, limit), keys::extents(file.ino).prefix_end(),
                    limits::kPurgePerOperation + 1, behind))
    return Code::io_error;
  if (behind.size() > limits::kPurgePerOperation) {
    BFTMETA_CHECK(bury_extents(t, file, limit));
  } else {
    for (const Key& key : behind) t.overlay().erase(key);
  }
  if (size == 0) file.attributes.data = DataKind::none;
  return Code::ok;
}

// Inline data never reaches behind the end of the file.
Code cut_inline(Transaction& t, Inode& file, std::uint64_t size) {
  const Key key = keys::inline_data(file.ino);
  if (size == 0) {
    t.overlay().erase(key);
    file.attributes.data = DataKind::none;
    return Code::ok;
  }
  schema::Content content;
  if (t.record(key, content) != tree::Found::value) return Code::io_error;
  if (content.bytes.size() <= size) return Code::ok;
  content.bytes.resize(size);
  t.put(key, content);
  return Code::ok;
}

Code check_static(const schema::CommitData& op) {
  if (op.new_size > limits::kMaxFileSize) return Code::file_too_big;
  if (op.inline_data) {
    const std::size_t length = op.inline_data->bytes.size();
    const bool fits = length <= limits::kMaxInline && length <= op.new_size;
    const bool alone = op.extents.empty() && op.inline_data->format == schema::kRecordFormat;
    return fits && alone ? Code::ok : Code::invalid;
  }
  const schema::ExtentChange* before = nullptr;
  for (const schema::ExtentChange& e : op.extents) {
    if (e.offset % kBlock != 0 || e.length > kBlock || e.offset >= limits::kMaxFileSize)
      return Code::invalid;
    if (e.length > 0 && e.offset + e.length > op.new_size) return Code::invalid;
    if (before != nullptr && e.offset <= before->offset) return Code::invalid;
    before = &e;
  }
  return Code::ok;
}

Code write_inline(Transaction& t, Inode& file, const schema::CommitData& op) {
  schema::Attributes& a = file.attributes;
  if (a.data == DataKind::extents) BFTMETA_CHECK(cut_extents(t, file, 0));
  const Key key = keys::inline_data(file.ino);
  if (op.inline_data->bytes.empty()) {
    if (a.data == DataKind::inline_leaf) t.overlay().erase(key);
    a.data = DataKind::none;
  } else {
    t.put(key, *op.inline_data);
    a.data = DataKind::inline_leaf;
  }
  BFTMETA_CHECK(t.count_bytes(a.size, op.new_size));
  a.size = op.new_size;
  return Code::ok;
}

Code write_extents(Transaction& t, Inode& file, const schema::CommitData& op) {
  schema::Attributes& a = file.attributes;
  if (a.data == DataKind::inline_leaf && !op.extents.empty()) {
    t.overlay().erase(keys::inline_data(file.ino));
    a.data = DataKind::none;
  }
  BFTMETA_CHECK(resize(t, file, op.new_size));
  for (const schema::ExtentChange& e : op.extents) {
    const Key key = keys::extent(file.ino, e.offset);
    if (e.length == 0) {
      t.overlay().erase(key);
      continue;
    }
    schema::Extent extent;
    extent.length = extent.block_length = e.length;
    extent.generation = a.data_generation;
    extent.digest = e.digest;
    t.put(key, extent);
    a.data = DataKind::extents;
  }
  return Code::ok;
}

}  // namespace

Code resize(Transaction& t, Inode& file, std::uint64_t size) {
  schema::Attributes& a = file.attributes;
  BFTMETA_CHECK(t.count_bytes(a.size, size));
  if (size < a.size) {
    if (a.data == DataKind::extents) BFTMETA_CHECK(cut_extents(t, file, size));
    if (a.data == DataKind::inline_leaf) BFTMETA_CHECK(cut_inline(t, file, size));
  }
  a.size = size;
  return Code::ok;
}

Code commit_data(Transaction& t, const schema::CommitData& op, schema::InodeReply& reply) {
  BFTMETA_CHECK(check_static(op));
  Inode file;
  BFTMETA_CHECK(t.resolve_handle(op.ino, file));
  schema::Attributes& a = file.attributes;
  if (a.is_directory()) return Code::is_directory;
  if (a.type != schema::FileType::regular) return Code::invalid;
  if (!may_write_data(t.who(), a)) return Code::access_denied;
  if (op.expected_version != 0 && op.expected_version != a.version) return Code::version_conflict;
  BFTMETA_CHECK(op.inline_data ? write_inline(t, file, op) : write_extents(t, file, op));
  a.mode = mode_after_write(t.who(), a);
  a.mtime_ns = op.mtime_ns != 0 ? op.mtime_ns : t.now();
  t.changed(file);
  t.store(file);
  reply = {file.ino, false, a};
  return Code::ok;
}

}  // namespace bftmeta::ns
