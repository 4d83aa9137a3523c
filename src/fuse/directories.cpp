// Listing: opendir, readdir, readdirplus, releasedir, fsyncdir. A cookie is the hash prefix of a
// name (schema/keys.hpp), so an offset means the same for ever, whatever is made or removed
// meanwhile. A handle keeps one verified page, which is complete for its range of cookies.
#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

constexpr std::uint32_t kPageEntries = 800;
constexpr std::uint32_t kPlusPageEntries = 200;
constexpr auto kPageLifetime = std::chrono::seconds(1);

// "." and ".." stand before all entries; their offsets are cookies that no entry has.
constexpr std::uint64_t kAfterDot = 1;
constexpr std::uint64_t kAfterDotDot = 2;

struct DirectoryHandle {
  schema::Caller caller;
  std::mutex mutex;
  // The page covers cookies [from, next_cookie), or [from, end).
  bool have_page = false;
  bool with_attributes = false;
  std::uint64_t from = 0;
  ns::DirectoryPage page;
  std::uint64_t mutations = 0;
  std::chrono::steady_clock::time_point read_at{};
};

DirectoryHandle& handle_of(const fuse_file_info& info) {
  return *reinterpret_cast<DirectoryHandle*>(static_cast<std::uintptr_t>(info.fh));
}

// One answer to the kernel.
class Listing {
 public:
  Listing(fuse_req_t req, std::size_t size, bool plus) : req_(req), buffer_(size), plus_(plus) {}

  bool empty() const { return used_ == 0; }
  // False: no room.
  bool add(const std::string& name, const fuse_entry_param& entry, std::uint64_t offset) {
    const auto off = static_cast<off_t>(offset);
    char* at = buffer_.data() + used_;
    const std::size_t room = buffer_.size() - used_;
    const std::size_t need =
        plus_ ? fuse_add_direntry_plus(req_, at, room, name.c_str(), &entry, off)
              : fuse_add_direntry(req_, at, room, name.c_str(), &entry.attr, off);
    if (need > room) return false;
    used_ += need;
    return true;
  }
  void reply() { fuse_reply_buf(req_, buffer_.data(), used_); }
  std::size_t mark() const { return used_; }
  void rewind(std::size_t mark) { used_ = mark; }

 private:
  fuse_req_t req_;
  std::vector<char> buffer_;
  std::size_t used_ = 0;
  bool plus_;
};

bool covers(const DirectoryHandle& handle, std::uint64_t want, bool plus) {
  if (!handle.have_page || (plus && !handle.with_attributes)) return false;
  return want >= handle.from && (handle.page.eof || want < handle.page.next_cookie);
}

Outcome<void> load_page(Mount& mount, DirectoryHandle& handle, fuse_ino_t ino, std::uint64_t want,
                        bool plus) {
  handle.have_page = false;
  for (std::uint32_t entries = plus ? kPlusPageEntries : kPageEntries;; entries /= 2) {
    handle.mutations = mount.mutations;
    handle.read_at = std::chrono::steady_clock::now();
    auto page = mount.metadata->list(handle.caller, ino, want, entries, plus);
    if (!page && page.error().error == EIO && entries > 8) continue;  // its proof may be too large
    if (!page) return tl::make_unexpected(page.error());
    handle.page = std::move(*page);
    handle.from = want;
    handle.with_attributes = plus;
    handle.have_page = true;
    return {};
  }
}

// An entry whose attributes are too old to be given to the kernel is a name only: the kernel looks
// it up when it needs more.
fuse_entry_param entry_param(Mount& mount, const DirectoryHandle& handle,
                             const ns::DirectoryEntry& entry) {
  const bool fresh = handle.mutations == mount.mutations &&
                     std::chrono::steady_clock::now() - handle.read_at < kPageLifetime;
  if (fresh && entry.attributes && !mount.files->find(entry.ino))
    return entry_of(mount, entry.ino, *entry.attributes);
  fuse_entry_param name_only{};
  name_only.attr.st_ino = entry.ino;
  name_only.attr.st_mode = static_cast<mode_t>(entry.type) << 12;
  return name_only;
}

bool add_dots(Listing& listing, const DirectoryHandle& handle, fuse_ino_t ino,
              std::uint64_t offset) {
  fuse_entry_param dot{};
  dot.attr.st_mode = S_IFDIR;
  dot.attr.st_ino = ino;
  if (offset < kAfterDot && !listing.add(".", dot, kAfterDot)) return false;
  dot.attr.st_ino = handle.page.directory.parent;
  return offset >= kAfterDotDot || listing.add("..", dot, kAfterDotDot);
}

// Entries of the page from `want` on; false when the answer is full. Entries with one cookie go
// together: the next call starts behind it.
bool add_entries(Mount& mount, Listing& listing, const DirectoryHandle& handle,
                 std::uint64_t want) {
  const auto& entries = handle.page.entries;
  auto it = std::ranges::lower_bound(entries, want, {}, &ns::DirectoryEntry::cookie);
  while (it != entries.end()) {
    const std::size_t mark = listing.mark();
    const std::uint64_t cookie = it->cookie;
    for (; it != entries.end() && it->cookie == cookie; ++it) {
      const std::string name(text(it->name));
      if (listing.add(name, entry_param(mount, handle, *it), cookie)) continue;
      if (mark > 0) listing.rewind(mark);
      return false;
    }
  }
  return true;
}

Outcome<void> fill(Mount& mount, Listing& listing, DirectoryHandle& handle, fuse_ino_t ino,
                   std::uint64_t offset, bool plus) {
  std::uint64_t want = offset <= kAfterDotDot ? 0 : offset + 1;
  if (offset == 0 || !covers(handle, want, plus))
    BFTFS_TRY(load_page(mount, handle, ino, want, plus));
  if (offset < kAfterDotDot && !add_dots(listing, handle, ino, offset)) return {};
  for (;;) {
    if (!add_entries(mount, listing, handle, want)) return {};
    // The kernel asks again; only an empty answer would mean the end to it.
    if (handle.page.eof || !listing.empty()) return {};
    want = handle.page.next_cookie;
    BFTFS_TRY(load_page(mount, handle, ino, want, plus));
  }
}

void list(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t off, fuse_file_info* info,
          bool plus) {
  if (off < 0) return static_cast<void>(fuse_reply_err(req, EINVAL));
  DirectoryHandle& handle = handle_of(*info);
  std::lock_guard lock(handle.mutex);
  Listing listing(req, std::min<std::size_t>(size, 1U << 20), plus);
  const auto filled =
      fill(mount_of(req), listing, handle, ino, static_cast<std::uint64_t>(off), plus);
  if (!filled) return reply_failure(req, "readdir", ino, filled.error());
  listing.reply();
}

void readdir(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t off, fuse_file_info* info) {
  list(req, ino, size, off, info, false);
}
void readdirplus(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t off,
                 fuse_file_info* info) {
  list(req, ino, size, off, info, true);
}

void opendir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  auto* handle = new DirectoryHandle;
  handle->caller = caller_of(req);
  info->fh = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle));
  // An interrupted open() is not followed by a release.
  if (fuse_reply_open(req, info) == -ENOENT) delete handle;
}

void releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  delete &handle_of(*info);
  fuse_reply_err(req, 0);
}

// Every change of a directory is certified, hence durable, before its call returns.
void fsyncdir(fuse_req_t req, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(req, 0); }

}  // namespace

void add_directory_handlers(fuse_lowlevel_ops& ops) {
  ops.opendir = opendir;
  ops.readdir = readdir;
  ops.readdirplus = readdirplus;
  ops.releasedir = releasedir;
  ops.fsyncdir = fsyncdir;
}

}  // namespace bftmeta::fuse
