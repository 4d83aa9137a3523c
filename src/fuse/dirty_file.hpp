// The contents of one open regular file as this mount sees them: what the cluster holds, with what
// was written here and not yet committed laid over it. Shared by all handles of the inode in this
// mount. flush() makes everything written before it durable: blocks first, on 2f+1 replicas, then
// one compare-and-set per 512 blocks that names them; if the file changed meanwhile, what was
// written is laid over the new state and tried again. If others hold the blocks than when they were
// put (an epoch has ended), they are put again: until a file names them, nobody fetches them. A
// failed flush keeps what was written.
// Thread-safety: all calls; they exclude each other, except that reads fetch blocks outside the
// lock.
#pragma once

#include <functional>
#include <mutex>

#include "fuse/base_image.hpp"
#include "fuse/segments.hpp"
#include "fuse/uploader.hpp"

namespace bftmeta::fuse {

// What all files of a mount share; outlives them.
struct FileServices {
  FileMetadata& metadata;
  blocks::BlockStore& blocks;  // for reading; a cache
  Uploader& uploader;
  DirtyBudget& budget;
  std::function<std::int64_t()> now_ns;         // wall clock: mtime of what is written
  std::function<void(unsigned attempt)> pause;  // before the next try of a commit
};

class DirtyFile {
 public:
  DirtyFile(std::uint64_t ino, FileServices& services)
      : services_(services), base_(ino), ino_(ino) {}
  ~DirtyFile();
  DirtyFile(const DirtyFile&) = delete;
  DirtyFile& operator=(const DirtyFile&) = delete;

  // Attributes that somebody else just read or got in a reply. True if they are news.
  bool observe(const schema::Attributes& attributes);
  // Reads them, and the first data with them, at one root.
  Outcome<schema::Attributes> revalidate(const schema::Caller& caller);
  // Size and times with what is not committed; of the caller's attributes if they are newer.
  schema::Attributes overlay(const schema::Attributes& attributes);
  std::optional<schema::Attributes> known_attributes();
  bool dirty();

  // Up to out.size() bytes; fewer at the end of the file.
  Outcome<std::size_t> read(const schema::Caller& caller, std::uint64_t offset,
                            std::span<std::uint8_t> out);
  // Buffers. Errors of storing it come from here only when memory is short and it has to be written
  // back at once; then nothing of this call was taken.
  Outcome<void> write(const schema::Caller& caller, std::uint64_t offset, ByteView bytes);
  // Ordered at once; what was written behind `size` is forgotten.
  Outcome<schema::Attributes> truncate(const schema::Caller& caller, std::uint64_t size);
  // Makes [from, to) read as zeros, within the file's size.
  Outcome<void> punch(const schema::Caller& caller, std::uint64_t from, std::uint64_t to);
  Outcome<void> flush();
  // The same, if blocks that no file names yet, and that are not in memory any more, were put while
  // others held the blocks.
  Outcome<void> flush_unnamed();
  // Forgets what is not committed (the file is gone, or nobody is left who could be told).
  void discard();

  // lseek(2) SEEK_DATA and SEEK_HOLE; ENXIO behind the last one.
  Outcome<std::uint64_t> seek(const schema::Caller& caller, std::uint64_t offset, bool data);

 private:
  struct Dirty {
    Segments segments;                 // written bytes, while they are here
    bool replaced = false;             // nothing of the cluster's block shows through
    UploadPtr upload;                  // instead of segments: whole content, being stored
    std::optional<DataExtent> stored;  // instead of both: durable, and dropped from memory
    std::uint64_t holders = 0;         // BlockStore::holders() of `stored`
    std::size_t counted = 0;           // bytes in the budget
  };
  using DirtyBlocks = std::map<std::uint64_t, Dirty>;  // by offset
  // Where bytes of a read come from when they are not in memory.
  struct Fetch {
    Hash digest{};
    std::uint32_t from = 0;  // in the block
    std::span<std::uint8_t> out;
  };
  struct Overlay {
    Bytes bytes;
    std::size_t at = 0;
  };
  struct ReadPlan {
    std::size_t size = 0;
    std::vector<Fetch> fetches;
    std::vector<Overlay> overlays;
  };

  std::uint64_t size_locked() const;
  Outcome<ReadPlan> plan_read(const schema::Caller& caller, std::uint64_t offset,
                              std::span<std::uint8_t> out);
  Outcome<void> plan_block(const schema::Caller& caller, std::uint64_t block, std::uint32_t from,
                           std::span<std::uint8_t> out, std::size_t at, ReadPlan& plan);
  Outcome<void> write_piece(std::uint64_t block, std::uint32_t from, ByteView bytes);
  Outcome<void> bring_back(Dirty& dirty);
  void recount(Dirty& dirty);
  void release(DirtyBlocks::iterator it);
  void reap_uploads();
  Outcome<void> make_room();

  Outcome<void> flush_locked();
  bool fits_inline() const;
  Outcome<schema::CommitData> make_inline_commit();
  Outcome<schema::CommitData> make_extent_commit(std::vector<std::uint64_t>& included,
                                                 std::uint64_t holders);
  static Result<Hash> finish(UploadPtr& upload, Uploader& uploader, std::uint64_t holders);
  Outcome<Bytes> compose(std::uint64_t block, const Dirty& dirty);
  Outcome<void> commit_once(bool& conflict);
  Outcome<void> put_again(const schema::CommitData& commit);

  FileServices& services_;
  std::mutex mutex_;
  BaseImage base_;
  const std::uint64_t ino_;
  DirtyBlocks blocks_;
  std::uint64_t dirty_end_ = 0;  // behind the last byte written and not committed
  std::int64_t mtime_ns_ = 0;    // of the last write
  schema::Caller writer_;        // on whose behalf a flush commits
};

}  // namespace bftmeta::fuse
