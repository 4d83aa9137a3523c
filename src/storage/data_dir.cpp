#include "storage/data_dir.hpp"

#include <unistd.h>

#include "storage/log.hpp"

namespace bftmeta::storage {

namespace {

constexpr std::size_t kMaxLockFile = 64;

// The lock file says who holds it, for the message that the next one gets.
Result<std::unique_ptr<FileLock>> lock_directory(FileSystem& fs, const std::string& path) {
  const std::string name = path + "/lock";
  auto lock = fs.lock(name);
  if (!lock && lock.error().code == Errc::busy) {
    const auto holder = read_file(fs, name, kMaxLockFile);
    const std::string who =
        holder ? std::string(text(*holder)).substr(0, text(*holder).find(' ')) : std::string();
    return fail(Errc::identity, "data directory " + path + " is in use by a running bftmetad" +
                                    (who.empty() ? std::string() : " (process " + who + ")") +
                                    "; stop it first");
  }
  if (!lock) return lock;
  std::string holder = std::to_string(::getpid());
  holder.resize(20, ' ');
  BFTMETA_ASSIGN(const std::unique_ptr<File> file, fs.open(name, OpenMode::read_write));
  BFTMETA_TRY(file->write_at(0, view(holder)));
  return lock;
}

}  // namespace

Result<DataDirectory> DataDirectory::open(const std::string& path, const PublicKey& vote_key,
                                          const Hash& cluster_id, std::uint32_t replica_id) {
  FileSystem& fs = posix_file_system();
  BFTMETA_ASSIGN(const bool present, fs.exists(path));
  if (!present)
    return fail(Errc::not_found, "data directory " + path +
                                     " does not exist: it is made by 'bftadm keygen replica' "
                                     "together with its keys");
  BFTMETA_ASSIGN(auto lock, lock_directory(fs, path));
  DataDirectory directory(path, std::move(lock));
  BFTMETA_ASSIGN(directory.identity_, config::load_identity(directory.identity_path()));
  BFTMETA_TRY(config::check_identity(directory.identity_path(), directory.identity_, vote_key,
                                     cluster_id, replica_id));
  BFTMETA_TRY(directory.prepare_log());

  directory.identity_.cluster_id = cluster_id;
  directory.identity_.replica_id = replica_id;
  ++directory.identity_.incarnation;
  BFTMETA_TRY(config::replace_identity(directory.identity_path(), directory.identity_));
  return directory;
}

Status DataDirectory::prepare_log() const {
  FileSystem& fs = posix_file_system();
  BFTMETA_ASSIGN(const bool has_log, fs.exists(log_path()));
  const bool started_before = identity_.incarnation > 0;
  if (started_before && !has_log)
    return fail(Errc::identity,
                "the log " + log_path() + " is missing although this key has been in use (start " +
                    std::to_string(identity_.incarnation) +
                    "): its votes are lost, so the key must not vote again; run 'bftadm keygen "
                    "replica' for a new key and replace this replica in the configuration");
  if (started_before) return {};
  if (!has_log) return Log::create(fs, log_path(), identity_.log_secret);

  // A first start that was cut off behind the creation of the log leaves an empty one.
  BFTMETA_ASSIGN(const LogScan scan, scan_log(fs, log_path(), identity_.log_secret, 0));
  if (scan.last_lsn != 1)
    return fail(Errc::identity,
                "the log " + log_path() + " is not that of the identity in " + identity_path() +
                    ", which has never been started: one of them is of another time or store; "
                    "run 'bftadm keygen replica' for a new key and directory");
  return {};
}

}  // namespace bftmeta::storage
