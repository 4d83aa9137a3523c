#include "storage-crash/recorded_file.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "support/temp_dir.hpp"

namespace bftmeta::test {

namespace {

FileRecording* current_recording = nullptr;

FileRecording* recording_of(int descriptor) {
  FileRecording* recording = FileRecording::current();
  return recording != nullptr && recording->is_of(descriptor) ? recording : nullptr;
}

// The call that the program's own one hides.
template <class Function>
Function hidden(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

FileEvent::Kind write_kind(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return (flags & O_DSYNC) != 0 ? FileEvent::Kind::synced_write : FileEvent::Kind::write;
}

// Notes a write, at the descriptor's own place if none is given; false: it must fail.
bool note_write(int descriptor, const iovec* parts, int count,
                std::optional<off_t> where = std::nullopt) {
  FileRecording* recording = recording_of(descriptor);
  if (recording == nullptr) return true;
  const off_t offset = where ? *where : ::lseek(descriptor, 0, SEEK_CUR);
  Bytes all;
  for (int i = 0; i < count; ++i) {
    const auto* from = static_cast<const std::uint8_t*>(parts[i].iov_base);
    all.insert(all.end(), from, from + parts[i].iov_len);
  }
  return recording->add(
      {write_kind(descriptor), static_cast<std::uint64_t>(offset), std::move(all)});
}

// Notes a sync instead of doing it.
int sync_or(int descriptor, const char* name) {
  if (FileRecording* recording = recording_of(descriptor)) {
    if (recording->add({FileEvent::Kind::sync, 0, {}})) return 0;
    errno = EIO;
    return -1;
  }
  return hidden<int (*)(int)>(name)(descriptor);
}

}  // namespace

FileRecording::FileRecording(std::string path) : path_(std::move(path)) {
  const std::string content = read_text(path_);
  history_.before.assign(content.begin(), content.end());
  current_recording = this;
}

FileRecording::~FileRecording() { current_recording = nullptr; }

FileRecording* FileRecording::current() { return current_recording; }

bool FileRecording::is_of(int descriptor) const {
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  char target[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  return size > 0 && path_ == std::string_view(target, static_cast<std::size_t>(size));
}

bool FileRecording::add(FileEvent event) {
  if (events().size() >= last_event_) return false;
  history_.events.push_back(std::move(event));
  return true;
}

namespace {

// Writes one event into the image, sector by sector, where `survives` says so.
template <class Survives>
void write_sectors(Bytes& image, const FileEvent& event, const Survives& survives) {
  const std::uint64_t end = event.offset + event.bytes.size();
  for (std::uint64_t at = event.offset; at < end;) {
    const std::uint64_t next = std::min(end, (at / kSector + 1) * kSector);
    if (survives()) {
      if (image.size() < next) image.resize(next);
      std::copy_n(event.bytes.begin() + static_cast<std::ptrdiff_t>(at - event.offset), next - at,
                  image.begin() + static_cast<std::ptrdiff_t>(at));
    }
    at = next;
  }
}

}  // namespace

Bytes crash_image(const FileHistory& history, std::size_t count, Survival survival,
                  std::mt19937_64& random) {
  const std::vector<FileEvent>& events = history.events;
  std::size_t synced = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (events[i].kind == FileEvent::Kind::sync) synced = i;
  Bytes image = history.before;
  std::uint64_t size = image.size();
  for (std::size_t i = 0; i < count; ++i) {
    const FileEvent& event = events[i];
    size = std::max(size, event.offset + event.bytes.size());
    const bool durable = i < synced || event.kind == FileEvent::Kind::synced_write;
    write_sectors(image, event, [&] {
      if (durable) return true;
      switch (survival) {
        case Survival::none: return false;
        case Survival::all: return true;
        case Survival::some: return random() % 2 == 0;
        case Survival::newest: break;
      }
      return i + 1 == count;
    });
  }
  if (survival != Survival::none && random() % 2 == 0) image.resize(size);
  return image;
}

}  // namespace bftmeta::test

// What a library calls to change a file, with the types of the C library. Named by their symbols:
// what `pwrite` means here, with 64-bit offsets, is not what it means where liblmdb was compiled.
extern "C" {

using namespace bftmeta::test;
using PwriteCall = ssize_t(int, const void*, size_t, off_t);

PwriteCall recorded_pwrite asm("pwrite");
PwriteCall recorded_pwrite64 asm("pwrite64");

ssize_t recorded_pwrite64(int fd, const void* buffer, size_t size, off_t offset) {
  const iovec part{const_cast<void*>(buffer), size};
  if (!note_write(fd, &part, 1, offset)) return errno = EIO, -1;
  return hidden<PwriteCall*>("pwrite64")(fd, buffer, size, offset);
}

ssize_t recorded_pwrite(int fd, const void* buffer, size_t size, off_t offset) {
  return recorded_pwrite64(fd, buffer, size, offset);
}

ssize_t write(int fd, const void* buffer, size_t size) {
  const iovec part{const_cast<void*>(buffer), size};
  if (!note_write(fd, &part, 1)) return errno = EIO, -1;
  return hidden<decltype(&::write)>("write")(fd, buffer, size);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (!note_write(fd, parts, count)) return errno = EIO, -1;
  return hidden<decltype(&::writev)>("writev")(fd, parts, count);
}

int rename(const char* from, const char* to) noexcept {
  FileRecording* recording = FileRecording::current();
  if (recording != nullptr && recording->is_of(std::string_view(from)) &&
      !recording->add({FileEvent::Kind::renamed, 0, {}}))
    return errno = EIO, -1;
  return hidden<int (*)(const char*, const char*)>("rename")(from, to);
}

int fdatasync(int fd) { return sync_or(fd, "fdatasync"); }
int fsync(int fd) { return sync_or(fd, "fsync"); }

}  // extern "C"
