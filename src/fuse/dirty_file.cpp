#include "fuse/dirty_file.hpp"

#include <algorithm>

namespace bftmeta::fuse {

namespace {
constexpr std::uint64_t kBlock = limits::kBlockSize;

std::uint64_t block_of(std::uint64_t offset) { return offset - offset % kBlock; }

// Calls piece(block, offset in the block, length, bytes done before) for [offset, offset + length).
template <class Piece>
Outcome<void> for_each_block(std::uint64_t offset, std::uint64_t length, Piece&& piece) {
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t at = offset + done;
    const std::uint64_t take = std::min(kBlock - at % kBlock, length - done);
    BFTFS_TRY(piece(block_of(at), static_cast<std::uint32_t>(at % kBlock), take, done));
    done += take;
  }
  return {};
}
}  // namespace

DirtyFile::~DirtyFile() { discard(); }

bool DirtyFile::observe(const schema::Attributes& attributes) {
  std::lock_guard lock(mutex_);
  return base_.observe(attributes);
}

Outcome<schema::Attributes> DirtyFile::revalidate(const schema::Caller& caller) {
  std::lock_guard lock(mutex_);
  BFTFS_TRY(base_.refresh(services_.metadata, caller));
  return base_.attributes();
}

schema::Attributes DirtyFile::overlay(const schema::Attributes& attributes) {
  std::lock_guard lock(mutex_);
  base_.observe(attributes);
  schema::Attributes shown = base_.attributes();
  if (blocks_.empty()) return shown;
  shown.size = size_locked();
  shown.mtime_ns = mtime_ns_;
  shown.ctime_ns = std::max(shown.ctime_ns, mtime_ns_);
  if (writer_.uid != 0) {
    shown.mode &= static_cast<std::uint16_t>(~04000U);
    if ((shown.mode & 010) != 0) shown.mode &= static_cast<std::uint16_t>(~02000U);
  }
  return shown;
}

std::optional<schema::Attributes> DirtyFile::known_attributes() {
  std::lock_guard lock(mutex_);
  if (!base_.known()) return {};
  return base_.attributes();
}

bool DirtyFile::dirty() {
  std::lock_guard lock(mutex_);
  return !blocks_.empty();
}

std::uint64_t DirtyFile::size_locked() const {
  return std::max(base_.attributes().size, dirty_end_);
}

// ---- reading

Outcome<std::size_t> DirtyFile::read(const schema::Caller& caller, std::uint64_t offset,
                                     std::span<std::uint8_t> out) {
  ReadPlan plan;
  {
    std::lock_guard lock(mutex_);
    BFTFS_ASSIGN(plan, plan_read(caller, offset, out));
  }
  for (const Fetch& fetch : plan.fetches) {
    BFTFS_ASSIGN(const blocks::Block block, services_.blocks.get(fetch.digest));
    if (block->size() <= fetch.from) continue;
    const std::size_t take = std::min(fetch.out.size(), block->size() - fetch.from);
    std::copy_n(block->begin() + fetch.from, take, fetch.out.begin());
  }
  for (const Overlay& overlay : plan.overlays)
    std::ranges::copy(overlay.bytes, out.begin() + static_cast<std::ptrdiff_t>(overlay.at));
  return plan.size;
}

Outcome<DirtyFile::ReadPlan> DirtyFile::plan_read(const schema::Caller& caller,
                                                  std::uint64_t offset,
                                                  std::span<std::uint8_t> out) {
  BFTFS_TRY(base_.ensure(services_.metadata, caller, offset));
  ReadPlan plan;
  const std::uint64_t size = size_locked();
  if (offset >= size) return plan;
  plan.size = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - offset));
  out = out.first(plan.size);
  std::ranges::fill(out, std::uint8_t{0});
  BFTFS_TRY(for_each_block(
      offset, plan.size,
      [&](std::uint64_t block, std::uint32_t from, std::uint64_t take, std::uint64_t done) {
        return plan_block(caller, block, from, out.subspan(done, take), done, plan);
      }));
  return plan;
}

Outcome<void> DirtyFile::plan_block(const schema::Caller& caller, std::uint64_t block,
                                    std::uint32_t from, std::span<std::uint8_t> out, std::size_t at,
                                    ReadPlan& plan) {
  const auto fetch_part = [&](const DataExtent& extent, std::uint64_t visible) {
    const std::uint64_t length = std::min<std::uint64_t>(extent.length, visible);
    if (from >= length) return;
    plan.fetches.push_back(
        {extent.digest, from, out.first(std::min<std::size_t>(out.size(), length - from))});
  };
  const auto overlay_part = [&](const Bytes& content) {
    if (from >= content.size()) return;
    const std::size_t take = std::min(out.size(), content.size() - from);
    const auto begin = content.begin() + from;
    plan.overlays.push_back({Bytes(begin, begin + static_cast<std::ptrdiff_t>(take)), at});
  };

  const auto it = blocks_.find(block);
  const Dirty* dirty = it == blocks_.end() ? nullptr : &it->second;
  if (dirty != nullptr && dirty->stored) {
    fetch_part(*dirty->stored, kBlock);
    return {};
  }
  if (dirty != nullptr && dirty->upload) {
    overlay_part(dirty->upload->content());
    return {};
  }
  if (dirty == nullptr || !dirty->replaced) {
    BFTFS_TRY(base_.ensure(services_.metadata, caller, block));
    if (const Bytes* content = base_.inline_data(); content != nullptr && block == 0)
      overlay_part(*content);
    else if (const auto extent = base_.extent_at(block))
      fetch_part(*extent, base_.attributes().size - block);
  }
  if (dirty != nullptr)
    dirty->segments.each(from, from + static_cast<std::uint32_t>(out.size()),
                         [&](std::uint32_t offset, ByteView bytes) {
                           plan.overlays.push_back({to_bytes(bytes), at + (offset - from)});
                         });
  return {};
}

Outcome<std::uint64_t> DirtyFile::seek(const schema::Caller& caller, std::uint64_t offset,
                                       bool data) {
  std::lock_guard lock(mutex_);
  BFTFS_TRY(base_.ensure(services_.metadata, caller, offset));
  const std::uint64_t size = size_locked();
  if (offset >= size) return tl::make_unexpected(Failure(ENXIO));
  for (std::uint64_t block = block_of(offset); block < size; block += kBlock) {
    const auto it = blocks_.find(block);
    std::uint64_t length = 0;  // of the data at the start of the block; the rest is a hole
    bool shows_base = true;
    if (it != blocks_.end()) {
      const Dirty& dirty = it->second;
      length = dirty.stored   ? dirty.stored->length
               : dirty.upload ? dirty.upload->length()
                              : dirty.segments.end();
      shows_base = !dirty.replaced;
    }
    if (shows_base) {
      BFTFS_TRY(base_.ensure(services_.metadata, caller, block));
      if (base_.inline_data() != nullptr && block == 0)
        length = std::max<std::uint64_t>(length, base_.inline_data()->size());
      else if (const auto extent = base_.extent_at(block))
        length = std::max<std::uint64_t>(length, extent->length);
    }
    const std::uint64_t end = std::min(block + length, size);
    if (data && std::max(offset, block) < end) return std::max(offset, block);
    if (!data && (offset >= end || end < std::min(block + kBlock, size)))
      return std::max(offset, end);
  }
  if (data) return tl::make_unexpected(Failure(ENXIO));
  return size;
}

// ---- writing

Outcome<void> DirtyFile::write(const schema::Caller& caller, std::uint64_t offset, ByteView bytes) {
  if (bytes.empty()) return {};
  std::lock_guard lock(mutex_);
  if (offset > limits::kMaxFileSize || bytes.size() > limits::kMaxFileSize - offset)
    return tl::make_unexpected(Failure(EFBIG));
  if (!base_.known()) BFTFS_TRY(base_.refresh(services_.metadata, caller));
  BFTFS_TRY(make_room());
  const auto prepare = [&](std::uint64_t block, std::uint32_t, std::uint64_t, std::uint64_t) {
    const auto it = blocks_.find(block);
    return it == blocks_.end() ? Outcome<void>{} : bring_back(it->second);
  };
  BFTFS_TRY(for_each_block(offset, bytes.size(), prepare));
  writer_ = caller;
  mtime_ns_ = services_.now_ns();
  return for_each_block(
      offset, bytes.size(),
      [&](std::uint64_t block, std::uint32_t from, std::uint64_t take, std::uint64_t done) {
        return write_piece(block, from, bytes.subspan(done, take));
      });
}

Outcome<void> DirtyFile::write_piece(std::uint64_t block, std::uint32_t from, ByteView bytes) {
  Dirty& dirty = blocks_[block];
  dirty.segments.write(from, bytes);
  if (dirty.segments.covers(limits::kBlockSize)) {
    dirty.upload = services_.uploader.start(dirty.segments.take_whole());
    dirty.replaced = true;
  }
  recount(dirty);
  dirty_end_ = std::max(dirty_end_, block + from + bytes.size());
  return {};
}

Outcome<void> DirtyFile::bring_back(Dirty& dirty) {
  if (dirty.upload) {
    dirty.segments.write(0, dirty.upload->content());
  } else if (dirty.stored) {
    BFTFS_ASSIGN(const blocks::Block block, services_.blocks.get(dirty.stored->digest));
    dirty.segments.write(
        0, ByteView(*block).first(std::min<std::size_t>(block->size(), dirty.stored->length)));
  }
  dirty.upload.reset();
  dirty.stored.reset();
  recount(dirty);
  return {};
}

void DirtyFile::recount(Dirty& dirty) {
  const std::size_t now = dirty.segments.bytes() + (dirty.upload ? dirty.upload->length() : 0);
  services_.budget.add(now);
  services_.budget.remove(dirty.counted);
  dirty.counted = now;
}

void DirtyFile::release(DirtyBlocks::iterator it) {
  services_.budget.remove(it->second.counted);
  blocks_.erase(it);
}

void DirtyFile::reap_uploads() {
  for (auto& [offset, dirty] : blocks_) {
    if (!dirty.upload || !dirty.upload->done()) continue;
    const Result<Hash> digest = dirty.upload->wait();
    if (!digest) continue;  // flush() tries again and reports
    if (dirty.upload->holders() != services_.uploader.holders()) {  // the only copy, perhaps
      dirty.upload = services_.uploader.start(dirty.upload->content());
      continue;
    }
    dirty.stored = DataExtent{dirty.upload->length(), *digest};
    dirty.holders = dirty.upload->holders();
    dirty.upload.reset();
    recount(dirty);
  }
}

// Called before more is buffered: first lets go of what is stored, then waits for what is on its
// way, then commits everything.
Outcome<void> DirtyFile::make_room() {
  if (services_.budget.over()) reap_uploads();
  if (services_.budget.over()) {
    for (const auto& [offset, dirty] : blocks_)
      if (dirty.upload) static_cast<void>(dirty.upload->wait());
    reap_uploads();
  }
  if (services_.budget.over() || blocks_.size() >= limits::kMaxExtentChanges) return flush_locked();
  return {};
}

Outcome<schema::Attributes> DirtyFile::truncate(const schema::Caller& caller, std::uint64_t size) {
  std::lock_guard lock(mutex_);
  if (size > limits::kMaxFileSize) return tl::make_unexpected(Failure(EFBIG));
  const auto edge = blocks_.find(block_of(size));
  if (edge != blocks_.end() && size % kBlock != 0) BFTFS_TRY(bring_back(edge->second));
  BFTFS_ASSIGN(const schema::Attributes after, services_.metadata.set_size(caller, ino_, size));
  base_.observe(after);
  for (auto it = blocks_.lower_bound(block_of(size)); it != blocks_.end();) {
    const auto next = std::next(it);
    if (it->first < size) {
      it->second.segments.cut(static_cast<std::uint32_t>(size - it->first));
      recount(it->second);
    }
    const bool nothing_left = it->second.segments.empty() && !it->second.replaced;
    if (it->first >= size || nothing_left) release(it);
    it = next;
  }
  dirty_end_ = std::min(dirty_end_, size);
  mtime_ns_ = services_.now_ns();
  return after;
}

Outcome<void> DirtyFile::punch(const schema::Caller& caller, std::uint64_t from, std::uint64_t to) {
  std::lock_guard lock(mutex_);
  BFTFS_TRY(base_.ensure(services_.metadata, caller, from));
  const std::uint64_t size = size_locked();
  to = std::min(to, size);
  if (from >= to) return {};
  writer_ = caller;
  mtime_ns_ = services_.now_ns();
  return for_each_block(from, to - from,
                        [&](std::uint64_t block, std::uint32_t at, std::uint64_t take,
                            std::uint64_t) -> Outcome<void> {
                          const bool whole = at == 0 && (take == kBlock || block + take == size);
                          auto it = blocks_.find(block);
                          if (it == blocks_.end()) {
                            BFTFS_TRY(base_.ensure(services_.metadata, caller, block));
                            const bool has_inline = block == 0 && base_.inline_data() != nullptr;
                            if (!has_inline && !base_.extent_at(block)) return {};
                            BFTFS_TRY(make_room());
                            it = blocks_.try_emplace(block).first;
                          }
                          if (!whole) {
                            BFTFS_TRY(bring_back(it->second));
                            return write_piece(block, at, Bytes(take, 0));
                          }
                          it->second.segments.clear();
                          it->second.upload.reset();
                          it->second.stored.reset();
                          it->second.replaced = true;
                          recount(it->second);
                          return {};
                        });
}

void DirtyFile::discard() {
  std::lock_guard lock(mutex_);
  while (!blocks_.empty()) release(blocks_.begin());
  dirty_end_ = 0;
  base_.forget();
}

}  // namespace bftmeta::fuse
