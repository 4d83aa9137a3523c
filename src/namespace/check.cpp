#include "namespace/check.hpp"

#include <map>
#include <set>

#include "namespace/view.hpp"

namespace bftmeta::ns {

using schema::FileType;
namespace keys = schema::keys;

namespace {

constexpr std::size_t kKindAt = 1 + 8;

// What is known of one inode: from its attributes, and what the other leaves say.
struct Summary {
  bool live = false;  // an attribute leaf exists
  FileType type = FileType::regular;
  schema::DataKind data = schema::DataKind::none;
  std::uint32_t nlink = 0;
  std::uint64_t size = 0;
  std::uint64_t parent = 0;
  std::uint32_t xattr_count = 0;

  std::uint64_t references = 0;  // dirents that lead here
  std::uint64_t referrer = 0;    // directory of the last one
  std::uint64_t entries = 0;
  std::uint64_t subdirectories = 0;
  std::uint64_t xattrs = 0;
  std::uint64_t content = 0;  // bytes of inline data or of a symlink
  bool has_content = false;
  bool has_extents = false;
  std::uint64_t orphan_entries = 0;
};

class Checker {
 public:
  Checker(const View& view, const CheckOptions& options) : view_(view), options_(options) {}

  CheckReport run() {
    report_.complete = read_inodes() && read_indexes();
    if (!report_.complete) return report_;
    resolve_references();
    for (const auto& [ino, summary] : inodes_) check_inode(ino, summary);
    check_reachable();
    check_totals();
    report_.complete = !view_.unknown();
    return report_;
  }

 private:
  void problem(std::string sentence) {
    if (report_.problems.size() < kMaxProblems) report_.problems.push_back(std::move(sentence));
  }
  void expect(bool holds, std::uint64_t ino, const std::string& sentence) {
    if (!holds) problem("inode " + std::to_string(ino) + ": " + sentence);
  }

  bool read_inodes();
  bool read_indexes();
  void read_leaf(const Key& key, ByteView value);
  void read_entry(std::uint64_t directory, const Key& key, ByteView value);
  void read_extent(std::uint64_t ino, const Key& key, ByteView value);
  void read_attributes(Summary& s, std::uint64_t ino, ByteView value);
  void resolve_references();
  void check_inode(std::uint64_t ino, const Summary& s);
  void check_directory(std::uint64_t ino, const Summary& s);
  void check_contents(std::uint64_t ino, const Summary& s);
  void check_reachable();
  void check_totals();
  template <class T>
  bool decode_leaf(const Key& key, ByteView value, T& out) {
    const bool well_formed = View::decoded(value, out);
    if (!well_formed) problem("leaf " + to_hex(key) + " does not decode");
    return well_formed;
  }

  struct Reference {
    std::uint64_t directory = 0;
    std::uint64_t ino = 0;
    FileType type = FileType::regular;
  };

  const View& view_;
  const CheckOptions& options_;
  CheckReport report_;
  std::map<std::uint64_t, Summary> inodes_;
  std::vector<Reference> references_;
  schema::Attributes current_;  // attributes sort before everything else of their inode
  std::uint64_t current_ino_ = 0;
  std::set<std::uint64_t> garbage_;  // whole inodes that wait to be purged
  std::set<std::uint64_t> purging_;  // live files with dead extents
  std::vector<std::pair<std::uint64_t, Id16>> holds_;
  std::set<std::pair<std::uint64_t, Id16>> session_holds_;
};

bool Checker::read_inodes() {
  const Key garbages = keys::garbages();
  const bool known = view_.scan(garbages, garbages.prefix_end(), [&](const Key& key, ByteView v) {
    schema::Garbage garbage;
    if (decode_leaf(key, v, garbage))
      (garbage.whole ? garbage_ : purging_).insert(keys::ino_of_garbage(key));
    return true;
  });
  const Key first = Key().append_u8(keys::inode_prefix(0).data()[0]);
  return known && view_.scan(first, first.prefix_end(), [&](const Key& key, ByteView value) {
    read_leaf(key, value);
    return true;
  });
}

void Checker::read_attributes(Summary& s, std::uint64_t ino, ByteView value) {
  schema::Attributes& a = current_;
  if (!decode_leaf(keys::attributes(ino), value, a)) return;
  current_ino_ = ino;
  s.live = true;
  s.type = a.type;
  s.data = a.data;
  s.nlink = a.nlink;
  s.size = a.size;
  s.parent = a.parent;
  s.xattr_count = a.xattr_count;
  ++report_.inodes;
}

void Checker::read_entry(std::uint64_t directory, const Key& key, ByteView value) {
  schema::Dirent entry;
  if (!decode_leaf(key, value, entry)) return;
  ++report_.entries;
  ++inodes_[directory].entries;
  references_.push_back({directory, entry.ino, entry.type});
  expect(current_ino_ == directory &&
             key == keys::dirent(directory, keys::name_hash(current_.salt, entry.name)),
         directory, "entry '" + std::string(text(entry.name)) + "' stands under a foreign hash");
  expect(check_name(entry.name) == schema::Code::ok, directory, "an entry has an impossible name");
}

void Checker::read_extent(std::uint64_t ino, const Key& key, ByteView value) {
  schema::Extent extent;
  if (!decode_leaf(key, value, extent)) return;
  const std::uint64_t offset = keys::offset_of_extent(key);
  if (current_ino_ != ino) return;
  if (!schema::live_extent(current_, offset, extent)) {
    expect(purging_.contains(ino), ino, "a dead extent that no purge will find");
    return;
  }
  inodes_[ino].has_extents = true;
  expect(extent.length > 0 && extent.length <= extent.block_length &&
             extent.block_length <= limits::kBlockSize && offset % limits::kBlockSize == 0 &&
             offset + extent.length <= current_.size,
         ino, "extent at " + std::to_string(offset) + " has an impossible place or length");
}

void Checker::read_leaf(const Key& key, ByteView value) {
  const std::uint64_t ino = keys::ino_of(key);
  if (garbage_.contains(ino)) return;
  Summary& s = inodes_[ino];
  schema::Content content;
  schema::Xattr xattr;
  switch (static_cast<keys::InodeKind>(key.data()[kKindAt])) {
    case keys::InodeKind::attributes: return read_attributes(s, ino, value);
    case keys::InodeKind::dirent: return read_entry(ino, key, value);
    case keys::InodeKind::extent: return read_extent(ino, key, value);
    case keys::InodeKind::xattr:
      if (decode_leaf(key, value, xattr)) ++s.xattrs;
      return;
    case keys::InodeKind::inline_data:
    case keys::InodeKind::symlink:
      s.has_content = true;
      if (decode_leaf(key, value, content)) s.content = content.bytes.size();
      return;
    case keys::InodeKind::hold: holds_.emplace_back(ino, keys::session_of_hold(key)); return;
    case keys::InodeKind::lock: break;
  }
  problem("leaf " + to_hex(key) + " is of no known kind");
}

bool Checker::read_indexes() {
  const Key orphans = keys::orphans();
  const bool known = view_.scan(orphans, orphans.prefix_end(), [&](const Key& key, ByteView) {
    ++inodes_[keys::ino_of_orphan(key)].orphan_entries;
    return true;
  });
  const Key sessions = keys::sessions();
  return known && view_.scan(sessions, sessions.prefix_end(), [&](const Key& key, ByteView) {
    const Id16 session = keys::session_of(key);
    if (key.starts_with(keys::session_holds(session)))
      session_holds_.emplace(keys::ino_of_session_hold(key), session);
    return true;
  });
}

void Checker::resolve_references() {
  for (const Reference& r : references_) {
    const auto it = inodes_.find(r.ino);
    if (it == inodes_.end() || !it->second.live) {
      problem("directory " + std::to_string(r.directory) + ": an entry leads to inode " +
              std::to_string(r.ino) + ", which does not exist");
      continue;
    }
    Summary& s = it->second;
    expect(s.type == r.type, r.ino, "an entry names another type");
    ++s.references;
    s.referrer = r.directory;
    if (s.type == FileType::directory) ++inodes_[r.directory].subdirectories;
  }
  for (const auto& [ino, session] : holds_) {
    expect(session_holds_.erase({ino, session}) == 1, ino, "a hold that its session does not know");
    schema::Session record;
    if (options_.sessions && view_.record(keys::session(session), record) != tree::Found::value)
      problem("inode " + std::to_string(ino) + ": held by a session that does not exist");
  }
  for (const auto& [ino, session] : session_holds_)
    problem("session " + short_hex(session) + " holds inode " + std::to_string(ino) +
            ", which does not know it");
}

void Checker::check_inode(std::uint64_t ino, const Summary& s) {
  if (!s.live) return problem("inode " + std::to_string(ino) + ": leaves without attributes");
  expect(s.xattrs == s.xattr_count, ino, "the number of extended attributes is wrong");
  check_contents(ino, s);
  if (s.type == FileType::directory) return check_directory(ino, s);
  expect(s.entries == 0, ino, "entries in something that is no directory");
  expect(s.nlink == s.references, ino,
         "nlink is " + std::to_string(s.nlink) + ", names are " + std::to_string(s.references));
  expect(s.orphan_entries == (s.nlink == 0 ? 1U : 0U), ino,
         "orphan entries do not fit the link count");
}

void Checker::check_directory(std::uint64_t ino, const Summary& s) {
  expect(s.size == s.entries, ino, "the number of entries is wrong");
  expect(s.nlink == 2 + s.subdirectories, ino, "nlink is not 2 + subdirectories");
  expect(s.orphan_entries == 0, ino, "a directory in the orphan index");
  if (ino == schema::kRootIno) {
    expect(s.references == 0 && s.parent == ino, ino, "the root has a parent");
  } else {
    expect(s.references == 1 && s.parent == s.referrer, ino, "its parent is not who names it");
  }
}

void Checker::check_contents(std::uint64_t ino, const Summary& s) {
  const bool is_symlink = s.type == FileType::symlink;
  const bool is_inline = s.data == schema::DataKind::inline_leaf;
  expect(s.type == FileType::regular || s.data == schema::DataKind::none, ino,
         "data in something that is no regular file");
  expect(s.has_content == (is_symlink || is_inline), ino, "contents do not fit the kind of data");
  expect(s.content <= s.size && (!is_symlink || s.content == s.size), ino,
         "contents do not fit the size");
  expect(!s.has_extents || s.data == schema::DataKind::extents, ino,
         "live extents do not fit the kind of data");
}

// Follows parents. With one parent each, the directories that do not lead to the root are those
// that hang on a cycle.
void Checker::check_reachable() {
  std::set<std::uint64_t> seen{schema::kRootIno};
  std::set<std::uint64_t> lost;
  for (const auto& [ino, s] : inodes_) {
    if (!s.live || s.type != FileType::directory) continue;
    std::vector<std::uint64_t> path;
    std::uint64_t at = ino;
    for (auto it = inodes_.find(at); seen.insert(at).second; it = inodes_.find(at)) {
      path.push_back(at);
      if (it == inodes_.end()) break;
      at = it->second.parent;
    }
    const bool on_this_path = std::ranges::find(path, at) != path.end();
    if (!on_this_path && !lost.contains(at)) continue;
    lost.insert(path.begin(), path.end());
    expect(path.empty(), ino, "the root does not reach it");
  }
}

void Checker::check_totals() {
  schema::Counters counters;
  if (view_.record(keys::counters(), counters) != tree::Found::value) return problem("no counters");
  std::uint64_t bytes = 0;
  for (const auto& [ino, s] : inodes_)
    if (s.live && s.type == FileType::regular) bytes += s.size;
  if (counters.inodes != report_.inodes)
    problem("the counter of inodes says " + std::to_string(counters.inodes) + ", there are " +
            std::to_string(report_.inodes));
  if (counters.bytes != bytes)
    problem("the counter of bytes says " + std::to_string(counters.bytes) + ", there are " +
            std::to_string(bytes));
  const std::uint64_t last = inodes_.empty() ? 0 : inodes_.rbegin()->first;
  if (last >= counters.next_ino) problem("inode " + std::to_string(last) + " is above next_ino");
  if (!inodes_.contains(schema::kRootIno)) problem("no root");
}

}  // namespace

CheckReport check(const tree::Reader& reader, const CheckOptions& options) {
  const View view(reader);
  return Checker(view, options).run();
}

}  // namespace bftmeta::ns
