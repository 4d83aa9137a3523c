// A disk that behaves as badly as real ones do: what was not synced is volatile, a power cut keeps
// any subset of unsynced 512 B sectors and any prefix of a directory's unsynced changes, a failed
// sync marks pages clean that the disk does not hold; bits rot, writes land elsewhere, space ends.
// Everything follows from the seed. A file handle from before a power cut is dead.
// Thread-safety: every member.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include "storage/file.hpp"

namespace bftmeta::sim {

class SimulatedDisk final : public storage::FileSystem {
 public:
  static constexpr std::size_t kSector = 512;
  enum class Survival : std::uint8_t { none, all, some };  // of what was not synced

  explicit SimulatedDisk(std::uint64_t seed);
  ~SimulatedDisk() override;

  // ---- faults
  // The power goes off during the n-th of the changes and syncs that follow (counted from 0): that
  // one reaches the volatile state only and fails, like all that come after it.
  void cut_power_at(std::uint64_t n);
  // Decides what survives, and switches the power on again.
  void restart(Survival survival);
  void fail_next_sync();
  // The n-th write from now (0: the next) lands `distance` bytes away from where it should.
  void misdirect_write(std::uint64_t n, std::int64_t distance);
  // Flips bits of what the disk holds and of what is cached.
  void rot(const std::string& path, std::uint64_t offset, std::uint8_t mask);
  // Reads that touch this byte fail with Errc::io from now on.
  void make_unreadable(const std::string& path, std::uint64_t offset);
  void set_capacity(std::uint64_t bytes);

  // ---- observations
  std::uint64_t operations() const;  // changes and syncs so far
  Bytes contents(const std::string& path) const;
  Bytes durable_contents(const std::string& path) const;  // what a power cut cannot take

  Result<std::unique_ptr<storage::File>> open(const std::string& path,
                                              storage::OpenMode mode) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status unlink(const std::string& path) override;
  Status remove_directory(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<std::unique_ptr<storage::FileLock>> lock(const std::string& path) override;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;
  class OpenFile;
  class HeldLock;

  // Counts an operation; Errc::io when the power is off, or goes off now (then it still happens).
  enum class Power : std::uint8_t { on, goes_off, off };
  Power tick();
  Status power_status(Power power) const;
  NodePtr find(const std::string& path) const;
  NodePtr find_directory(const std::string& path) const;
  Status change(const std::string& directory, std::map<std::string, NodePtr> names);
  void settle(Node& node, Survival survival);
  bool keep(Survival survival);
  std::uint64_t used(const Node& node) const;

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  NodePtr root_;
  std::uint64_t operations_ = 0;
  std::uint64_t epoch_ = 0;  // one more per restart
  std::optional<std::uint64_t> cut_at_;
  bool powered_ = true;
  bool fail_sync_ = false;
  std::optional<std::uint64_t> misdirect_in_;
  std::int64_t misdirect_by_ = 0;
  std::optional<std::uint64_t> capacity_;
  std::set<std::string> locked_;
};

}  // namespace bftmeta::sim
