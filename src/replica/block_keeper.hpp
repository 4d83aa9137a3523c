// Brings blocks that certified files name, and that are not here, from the other replicas: the
// sockets, files and versions around refill::Refill, on a thread of its own, so that neither
// agreement nor the block port waits for it. Thread-safety: publish, transferred, end and the
// destructor from the main thread; the others from any.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "blocks/block_directory.hpp"
#include "config/genesis.hpp"
#include "net/link_set.hpp"
#include "refill/refill.hpp"
#include "replica/machine.hpp"
#include "replica/setup.hpp"
#include "storage/data_dir.hpp"

namespace bftmeta::replica {

struct BlockKeeperOptions {
  messages::ReplicaId self = 0;  // limits::kMaxReplicas: of none of the members
  config::Config config;
  crypto::Context cluster;
  std::string record_path;  // what of a pass outlives the process
  std::uint64_t bytes_per_second = 0;
  std::uint64_t interval_us = 0;  // between thorough passes; 0: none
  std::optional<refill::Rest> rest;
};

// Blocks are what their digest says, in every epoch.
crypto::Context block_context(const Hash& cluster_id);
BlockKeeperOptions block_keeper_options(const Setup& setup, const storage::DataDirectory& directory,
                                        const config::Config& config, messages::ReplicaId self);

class BlockKeeper final : public refill::Surroundings {
 public:
  // The net context, the file system and the directory outlive it. Errors: invalid_argument (an
  // address that cannot be one).
  static Result<std::unique_ptr<BlockKeeper>> open(const net::Context& context,
                                                   const crypto::LinkKey& key,
                                                   storage::FileSystem& fs,
                                                   blocks::BlockDirectory& directory,
                                                   BlockKeeperOptions options);
  ~BlockKeeper() override;
  BlockKeeper(const BlockKeeper&) = delete;
  BlockKeeper& operator=(const BlockKeeper&) = delete;

  // The newest certified version, and which extents have changed up to it. The version is held
  // until the next one, as the read service does.
  void publish(tree::Version version, Machine::ChangedExtents changed);
  // A state transfer has ended: nothing before it counts, the next version will be of its state.
  void transferred();
  // All blocks are read and hashed now, at this rate; what is not here or rotten is fetched.
  void check_all(std::uint64_t bytes_per_second);
  // A client asked for this block.
  void missed(const Hash& digest);
  messages::BlocksProgress progress() const;
  bool complete() const { return complete_; }  // refill::Refill::complete
  // Ends its work. What the next one may go on from that begins with the version published last.
  std::optional<refill::Rest> end();

 private:
  BlockKeeper(const net::Context& context, const crypto::LinkKey& key, storage::FileSystem& fs,
              blocks::BlockDirectory& directory, BlockKeeperOptions options);
  std::optional<refill::PassRecord> read_record();
  void run();
  void stop();
  void take_news(std::uint64_t now_us);
  std::shared_ptr<const tree::Version> version() const;
  void receive(messages::ReplicaId from, ByteView message, std::uint64_t now_us);

  Result<refill::Slice> named(const Key& cursor) override;
  Result<std::optional<refill::NamedBlock>> named_at(const Key& extent) override;
  Result<bool> holds(const Hash& digest, bool thorough) override;
  void ask(messages::ReplicaId to, const Hash& digest) override;
  std::vector<Status> keep(const std::vector<refill::Fetcher::Keep>& blocks) override;
  void remember(const refill::PassRecord& record) override;
  void say(bool warning, const std::string& line) override;

  storage::FileSystem& fs_;
  blocks::BlockDirectory& directory_;
  const BlockKeeperOptions options_;
  net::LinkSet links_;                    // by replica
  std::optional<refill::Refill> refill_;  // the thread's

  mutable std::mutex mutex_;
  std::shared_ptr<const tree::Version> version_;
  bool transferred_ = false;
  Machine::ChangedExtents changed_;
  std::vector<Hash> missed_;      // at most Refill::kMaxUrgent
  std::uint64_t check_rate_ = 0;  // not 0: check_all was called
  messages::BlocksProgress progress_;
  std::atomic<bool> complete_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace bftmeta::replica
