// A cluster whose replicas, keys and client all lie in one directory on this machine, as
// `bftadm dev` makes it: for trying out and for tests, not for trust, since one hand holds every
// key. Only one command at a time works on it (a lock file). Thread-safety: one thread.
#pragma once

#include <optional>
#include <string>

#include "admin/processes.hpp"
#include "config/genesis.hpp"

namespace bftmeta::admin {

struct DevOptions {
  std::uint32_t replicas = 0;  // 0: as it is, or 4
  std::uint16_t port = 0;      // first of 4 * replicas on loopback; 0: as it is, or free ones
};

class DevCluster {
 public:
  // Opens the cluster in `dir`, making it first when there is none: complete or not at all. Errors:
  // those of keyring.hpp; busy: another command works on it; config: it is not what `options` says.
  static Result<DevCluster> open_or_make(const std::string& dir, const DevOptions& options);
  // Errc::not_found when there is none.
  static Result<DevCluster> open(const std::string& dir);
  DevCluster(DevCluster&& other) noexcept;
  DevCluster& operator=(DevCluster&&) = delete;
  ~DevCluster();

  const std::string& dir() const { return dir_; }
  const config::Genesis& genesis() const { return genesis_; }
  std::string client_toml() const { return dir_ + "/client.toml"; }
  std::string log_file(std::uint32_t id) const { return replica_dir(id) + "/log.txt"; }
  std::optional<Process> running(std::uint32_t id) const;

  // False: it ran already. Returns when it serves. `strategy`: run bftmetad-evil with it.
  Result<bool> start(std::uint32_t id, const std::string& strategy) const;
  // Ends all that run, at once. True: none had to be killed.
  Result<bool> stop_all() const;

  // Where it is mounted now, by mount(); empty: nowhere.
  std::string mounted_at() const;
  // False: it was mounted there already. Errors of bftfs.
  Result<bool> mount(const std::string& mountpoint) const;
  Status unmount() const;

 private:
  DevCluster(std::string dir, int lock) : dir_(std::move(dir)), lock_(lock) {}
  static Result<DevCluster> locked(const std::string& dir);
  std::string replica_dir(std::uint32_t id) const;
  std::string mount_file() const { return dir_ + "/mount"; }

  std::string dir_;
  int lock_;
  config::Genesis genesis_;
};

}  // namespace bftmeta::admin
