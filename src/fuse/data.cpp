// Contents: read, write, lseek, fallocate.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

void read(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t off, fuse_file_info* info) {
  FileHandle& handle = file_handle(*info);
  Bytes content(std::min<std::size_t>(size, 4U << 20));
  const auto got = handle.file->data.read(handle.caller, static_cast<std::uint64_t>(off), content);
  if (!got) return reply_failure(req, "read", ino, got.error());
  fuse_reply_buf(req, reinterpret_cast<const char*>(content.data()), *got);
}

void write(fuse_req_t req, fuse_ino_t ino, const char* buffer, std::size_t size, off_t off,
           fuse_file_info* info) {
  FileHandle& handle = file_handle(*info);
  const ByteView bytes(reinterpret_cast<const std::uint8_t*>(buffer), size);
  const auto done = handle.file->data.write(handle.caller, static_cast<std::uint64_t>(off), bytes);
  if (!done) return reply_failure(req, "write", ino, done.error());
  fuse_reply_write(req, size);
}

void lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, fuse_file_info* info) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE)
    return static_cast<void>(fuse_reply_err(req, EINVAL));
  if (off < 0) return static_cast<void>(fuse_reply_err(req, ENXIO));
  FileHandle& handle = file_handle(*info);
  const auto found =
      handle.file->data.seek(handle.caller, static_cast<std::uint64_t>(off), whence == SEEK_DATA);
  if (!found) return reply_failure(req, "lseek", ino, found.error());
  fuse_reply_lseek(req, static_cast<off_t>(*found));
}

// Space is not reserved: mode 0 only extends the file, and keeping the size without punching a hole
// would promise what cannot be kept.
Outcome<void> allocate(FileHandle& handle, int mode, std::uint64_t from, std::uint64_t to) {
  DirtyFile& data = handle.file->data;
  if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
    return data.punch(handle.caller, from, to);
  if (mode != 0) return tl::make_unexpected(Failure(EOPNOTSUPP));
  const auto known = data.known_attributes();
  if (!known) return tl::make_unexpected(Failure(EIO));
  if (data.overlay(*known).size >= to) return {};
  BFTFS_TRY(data.truncate(handle.caller, to));
  return {};
}

void fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
               fuse_file_info* info) {
  if (offset < 0 || length <= 0) return static_cast<void>(fuse_reply_err(req, EINVAL));
  const auto from = static_cast<std::uint64_t>(offset);
  const std::uint64_t to = from + static_cast<std::uint64_t>(length);
  if (to > limits::kMaxFileSize) return static_cast<void>(fuse_reply_err(req, EFBIG));
  reply_status(req, "fallocate", ino, allocate(file_handle(*info), mode, from, to));
}

}  // namespace

void add_data_handlers(fuse_lowlevel_ops& ops) {
  ops.read = read;
  ops.write = write;
  ops.lseek = lseek;
  ops.fallocate = fallocate;
}

}  // namespace bftmeta::fuse
