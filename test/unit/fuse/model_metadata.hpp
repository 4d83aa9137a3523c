// A metadata service for one file in memory, with the state machine's rules for data: versions,
// compare-and-set, inline or extents, truncation. Also blocks in memory, which can be made to fail.
#pragma once

#include <atomic>
#include <mutex>

#include "blocks/block_store.hpp"
#include "crypto/hash.hpp"
#include "fuse/dirty_file.hpp"

namespace bftmeta::test {

class MemoryBlocks final : public blocks::BlockStore {
 public:
  Result<Hash> put(ByteView content) override {
    BFTMETA_TRY(blocks::check_block_size(content));
    std::lock_guard lock(mutex);
    if (refuse) return fail(*refuse, "refused by the test");
    ++puts;
    const Hash digest = crypto::sha256(content);
    put_under[digest] = holders_now;
    held[digest] = std::make_shared<const Bytes>(to_bytes(content));
    return digest;
  }
  Result<blocks::Block> get(const Hash& digest) override {
    std::lock_guard lock(mutex);
    const auto it = held.find(digest);
    if (it == held.end()) return fail(Errc::not_found, "no such block");
    return it->second;
  }
  Result<bool> has(const Hash& digest) override {
    std::lock_guard lock(mutex);
    return held.contains(digest);
  }

  std::uint64_t holders() const override { return holders_now; }

  std::mutex mutex;
  std::atomic<std::uint64_t> holders_now{0};
  std::map<Hash, std::uint64_t> put_under;  // by whom its last put was taken
  std::map<Hash, blocks::Block> held;
  std::optional<Errc> refuse;
  std::size_t puts = 0;
};

class ModelMetadata final : public fuse::FileMetadata {
 public:
  explicit ModelMetadata(blocks::BlockStore& blocks) : blocks_(blocks) {}

  fuse::Outcome<fuse::FileData> fetch(const schema::Caller&, std::uint64_t, std::uint64_t from,
                                      std::uint64_t to) override {
    std::lock_guard lock(mutex);
    ++fetches;
    fuse::FileData data = file;
    std::erase_if(data.extents, [&](const auto& e) { return e.first < from || e.first >= to; });
    return data;
  }

  fuse::Outcome<schema::Attributes> commit(const schema::Caller&,
                                           const schema::CommitData& c) override {
    std::lock_guard lock(mutex);
    if (before_commit) before_commit();
    if (fail_with) return tl::make_unexpected(fuse::Failure(*fail_with));
    schema::Attributes& a = file.attributes;
    if (c.expected_version != a.version)
      return tl::make_unexpected(fuse::Failure(schema::Code::version_conflict));
    if (const schema::Code code = check(c); code != schema::Code::ok)
      return tl::make_unexpected(fuse::Failure(code));
    if (c.inline_data)
      write_inline(c);
    else
      write_extents(c);
    a.size = c.new_size;
    a.mtime_ns = c.mtime_ns;
    ++a.version;
    ++commits;
    return a;
  }

  fuse::Outcome<schema::Attributes> set_size(const schema::Caller&, std::uint64_t,
                                             std::uint64_t size) override {
    std::lock_guard lock(mutex);
    cut(size);
    file.attributes.size = size;
    ++file.attributes.version;
    return file.attributes;
  }

  // The contents as the cluster would serve them.
  Bytes contents() {
    std::lock_guard lock(mutex);
    Bytes out(static_cast<std::size_t>(file.attributes.size));
    if (file.inline_data)
      std::copy_n(file.inline_data->begin(), std::min(file.inline_data->size(), out.size()),
                  out.begin());
    for (const auto& [offset, extent] : file.extents) {
      const auto block = blocks_.get(extent.digest);
      if (!block) return {};
      std::copy_n((*block)->begin(), extent.length,
                  out.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    return out;
  }

  std::mutex mutex;
  fuse::FileData file;
  std::function<void()> before_commit;  // under the lock: may change `file` as another client does
  std::optional<schema::Code> fail_with;
  std::size_t commits = 0;
  std::size_t fetches = 0;

 private:
  schema::Code check(const schema::CommitData& c) {
    if (c.inline_data && (c.inline_data->bytes.size() > limits::kMaxInline ||
                          c.inline_data->bytes.size() > c.new_size || !c.extents.empty()))
      return schema::Code::invalid;
    if (c.extents.size() > limits::kMaxExtentChanges) return schema::Code::invalid;
    std::optional<std::uint64_t> before;
    for (const auto& e : c.extents) {
      if (e.offset % limits::kBlockSize != 0 || (before && e.offset <= *before) ||
          (e.length > 0 && e.offset + e.length > c.new_size))
        return schema::Code::invalid;
      before = e.offset;
      if (e.length == 0) continue;
      // Every block is durable before it is named.
      const auto block = blocks_.get(e.digest);
      if (!block || (*block)->size() != e.length) return schema::Code::invalid;
    }
    return schema::Code::ok;
  }

  void write_inline(const schema::CommitData& c) {
    file.extents.clear();
    file.inline_data.reset();
    file.attributes.data = schema::DataKind::none;
    if (c.inline_data->bytes.empty()) return;
    file.inline_data = c.inline_data->bytes;
    file.attributes.data = schema::DataKind::inline_leaf;
  }

  void write_extents(const schema::CommitData& c) {
    if (file.inline_data && !c.extents.empty()) {
      file.inline_data.reset();
      file.attributes.data = schema::DataKind::none;
    }
    cut(c.new_size);
    for (const auto& e : c.extents) {
      if (e.length == 0) {
        file.extents.erase(e.offset);
        continue;
      }
      file.extents[e.offset] = {e.length, e.digest};
      file.attributes.data = schema::DataKind::extents;
    }
  }

  void cut(std::uint64_t size) {
    if (file.inline_data && file.inline_data->size() > size)
      file.inline_data->resize(static_cast<std::size_t>(size));
    for (auto it = file.extents.begin(); it != file.extents.end();) {
      if (it->first >= size) {
        it = file.extents.erase(it);
        continue;
      }
      it->second.length =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(it->second.length, size - it->first));
      ++it;
    }
  }

  blocks::BlockStore& blocks_;
};

}  // namespace bftmeta::test
