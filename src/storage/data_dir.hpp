// The data directory of one replica: identity, log/, state/ (LMDB), blocks/, evidence/, epochs,
// lock; after a divergence its bundles (replica/divergence.hpp), around a damaged state store what
// it was and marks of it (replica/store_marks.hpp). Opening it locks it, checks that it belongs to
// this key, cluster and replica, binds it at the first start, and makes a new incarnation durable.
// A key whose log is missing may have voted: it is refused (protocol §3.6), there is no way to
// force it. Thread-safety: one thread.
#pragma once

#include "config/identity.hpp"
#include "storage/file.hpp"

namespace bftmeta::storage {

// The chain of epochs of a data directory: a file, read before the directory is opened.
inline std::string epochs_path(const std::string& data_dir) { return data_dir + "/epochs"; }

class DataDirectory {
 public:
  // Errors, each one line that names the directory and what to do: not_found (no directory or no
  // identity), identity (a running process has it; of another key, cluster or replica; log
  // missing although the key has voted; identity older than the log), corrupt, permission, io.
  static Result<DataDirectory> open(const std::string& path, const PublicKey& vote_key,
                                    const Hash& cluster_id, std::uint32_t replica_id);

  // With this start's incarnation, 1 at the first.
  const config::StoreIdentity& identity() const { return identity_; }
  const std::string& path() const { return path_; }
  std::string log_path() const { return path_ + "/log"; }
  std::string state_path() const { return path_ + "/state"; }
  std::string evidence_path() const { return path_ + "/evidence"; }
  std::string blocks_path() const { return path_ + "/blocks"; }

 private:
  DataDirectory(std::string path, std::unique_ptr<FileLock> lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string identity_path() const { return path_ + "/" + config::kIdentityFile; }
  Status prepare_log() const;

  std::string path_;
  std::unique_ptr<FileLock> lock_;
  config::StoreIdentity identity_;
};

}  // namespace bftmeta::storage
