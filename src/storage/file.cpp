#include "storage/file.hpp"

namespace bftmeta::storage {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::size_t max_size) {
  BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs.open(path, OpenMode::read_write));
  BFTMETA_ASSIGN(const std::uint64_t size, file->size());
  if (size > max_size)
    return fail(Errc::limit, path + " has " + std::to_string(size) + " bytes, at most " +
                                 std::to_string(max_size) + " are expected");
  Bytes contents(static_cast<std::size_t>(size));
  BFTMETA_ASSIGN(const std::size_t got, file->read_at(0, contents));
  contents.resize(got);
  return contents;
}

Status write_file(FileSystem& fs, const std::string& path, ByteView contents) {
  const std::string fresh = path + ".new";
  BFTMETA_ASSIGN(const bool leftover, fs.exists(fresh));
  if (leftover) BFTMETA_TRY(fs.unlink(fresh));
  {
    BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs.open(fresh, OpenMode::create));
    BFTMETA_TRY(file->write_at(0, contents));
    BFTMETA_TRY(file->sync_data());
  }
  BFTMETA_TRY(fs.rename(fresh, path));
  return fs.sync_directory(parent_of(path));
}

}  // namespace bftmeta::storage
