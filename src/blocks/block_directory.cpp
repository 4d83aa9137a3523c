#include "blocks/block_directory.hpp"

#include <map>
#include <set>

#include "crypto/hash.hpp"

namespace bftmeta::blocks {

namespace {
constexpr const char* kUnfinished = "unfinished";
}

Result<std::unique_ptr<BlockDirectory>> BlockDirectory::open(storage::FileSystem& fs,
                                                             std::string root, Report report) {
  std::unique_ptr<BlockDirectory> directory(
      new BlockDirectory(fs, std::move(root), std::move(report)));
  BFTMETA_TRY(directory->prepare());
  return directory;
}

BlockDirectory::BlockDirectory(storage::FileSystem& fs, std::string root, Report report)
    : fs_(fs), root_(std::move(root)), report_(std::move(report)) {}

Status BlockDirectory::prepare() {
  BFTMETA_ASSIGN(const bool known, fs_.exists(root_));
  if (!known) {
    BFTMETA_TRY(fs_.make_directory(root_));
    BFTMETA_TRY(fs_.sync_directory(storage::parent_of(root_)));
  }
  BFTMETA_ASSIGN(lock_, fs_.lock(root_ + "/lock"));
  const std::string unfinished = root_ + "/" + kUnfinished;
  BFTMETA_ASSIGN(const bool prepared, fs_.exists(unfinished));
  if (!prepared) BFTMETA_TRY(fs_.make_directory(unfinished));
  BFTMETA_ASSIGN(const std::vector<std::string> leftovers, fs_.list(unfinished));
  for (const std::string& name : leftovers) BFTMETA_TRY(fs_.unlink(unfinished + "/" + name));
  return {};
}

std::string BlockDirectory::subdirectory_of(const Hash& digest) const {
  return root_ + "/" + to_hex(ByteView(digest).first(1));
}

std::string BlockDirectory::path_of(const Hash& digest) const {
  return subdirectory_of(digest) + "/" + to_hex(ByteView(digest).subspan(1));
}

Result<Hash> BlockDirectory::put(ByteView content) {
  BFTMETA_TRY(check_block_size(content));
  const Named block{crypto::sha256(content), content};
  BFTMETA_TRY(put_group({&block, 1}).front());
  return block.digest;
}

Status BlockDirectory::write_beside(const std::string& path, ByteView content) {
  BFTMETA_ASSIGN(const auto file, fs_.open(path, storage::OpenMode::create));
  BFTMETA_TRY(file->write_at(0, content));
  return file->sync_data();
}

Result<std::string> BlockDirectory::stage(const Named& block) {
  const Result<Block> present = get(block.digest);
  if (present) return std::string{};
  if (present.error().code != Errc::not_found && present.error().code != Errc::corrupt)
    return tl::make_unexpected(present.error());
  const std::string path = root_ + "/" + kUnfinished + "/" + std::to_string(next_unfinished_++);
  if (const Status written = write_beside(path, block.content); !written) {
    // Whether removing it works or not, the caller's answer is the first error; a leftover goes
    // when the directory is opened next.
    static_cast<void>(fs_.unlink(path));
    return tl::make_unexpected(written.error());
  }
  return path;
}

Status BlockDirectory::make_subdirectories(std::span<const Named> group) {
  std::set<std::uint8_t> unknown;
  for (const Named& block : group)
    if (!subdirectory_known_[block.digest[0]]) unknown.insert(block.digest[0]);
  if (unknown.empty()) return {};
  for (const std::uint8_t byte : unknown) {
    const Status made = fs_.make_directory(root_ + "/" + to_hex({&byte, 1}));
    if (!made && made.error().code != Errc::already_exists) return made;
  }
  BFTMETA_TRY(fs_.sync_directory(root_));
  for (const std::uint8_t byte : unknown) subdirectory_known_[byte] = true;
  return {};
}

std::vector<Status> BlockDirectory::put_group(std::span<const Named> group) {
  std::vector<Status> results(group.size());
  if (const Status made = make_subdirectories(group); !made) {
    if (report_) report_(made.error().message);
    return std::vector<Status>(group.size(), made);
  }
  std::map<std::string, std::vector<std::size_t>> by_directory;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const Result<std::string> staged = stage(group[i]);
    Status placed;
    if (!staged)
      placed = tl::make_unexpected(staged.error());
    else if (!staged->empty())
      placed = fs_.rename(*staged, path_of(group[i].digest));
    results[i] = placed;
    if (!placed && report_) report_(placed.error().message);
    // A block that was there already may have got its name from a call that has not synced yet.
    if (placed) by_directory[subdirectory_of(group[i].digest)].push_back(i);
  }
  for (const auto& [directory, members] : by_directory) {
    const Status synced = fs_.sync_directory(directory);
    if (synced) continue;
    for (const std::size_t i : members) results[i] = synced;
  }
  return results;
}

Result<Block> BlockDirectory::get(const Hash& digest) {
  const std::string path = path_of(digest);
  Result<Bytes> content = storage::read_file(fs_, path, limits::kBlockSize);
  if (!content && content.error().code != Errc::limit)
    return tl::make_unexpected(std::move(content.error()));
  if (!content || crypto::sha256(*content) != digest) {
    const std::string line = "block " + short_hex(digest) + ": " + path +
                             " has rotted and counts as missing; it is replaced when the block is "
                             "stored again";
    if (report_) report_(line);
    return fail(Errc::corrupt, line);
  }
  return std::make_shared<const Bytes>(std::move(*content));
}

Result<bool> BlockDirectory::has(const Hash& digest) {
  const Result<Block> block = get(digest);
  if (block) return true;
  if (block.error().code == Errc::not_found || block.error().code == Errc::corrupt) return false;
  return tl::make_unexpected(block.error());
}

}  // namespace bftmeta::blocks
