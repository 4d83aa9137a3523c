// A mounted cluster: everything that the handlers of file system calls share. Thread-safety: the
// members say so themselves; the struct outlives every handler.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "blocks/block_cache.hpp"
#include "blocks/replica_store.hpp"
#include "fuse/cluster_metadata.hpp"
#include "fuse/kernel_view.hpp"
#include "fuse/mount_options.hpp"
#include "fuse/open_files.hpp"

struct fuse_session;

namespace bftmeta::fuse {

class Mount {
 public:
  // Connects and waits until a certified root has been verified and the root directory answers.
  // Errors: config, unreachable, unverified, permission; one line each.
  static Result<std::unique_ptr<Mount>> connect(const MountOptions& options);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  // Commits everything that is still dirty, after the last request; the first failure.
  Outcome<void> flush_all();
  // Keeps unlinked files that are open here (protocol §10); looks at all of them soon.
  void look_for_unlinked();
  void hold(OpenFile& file, const schema::Caller& caller);
  void let_go(OpenFile& file, const schema::Caller& caller);

  const MountOptions options;
  std::shared_ptr<net::Context> context;
  std::unique_ptr<client::Client> client;
  std::unique_ptr<ClusterMetadata> metadata;
  std::unique_ptr<blocks::ReplicaStore> replicas;
  std::unique_ptr<blocks::BlockCache> cache;
  std::unique_ptr<Uploader> uploader;
  DirtyBudget budget;
  std::unique_ptr<FileServices> services;
  std::unique_ptr<OpenFiles> files;
  KernelView kernel;
  // Counts changes made through this mount: attributes read before one may be older than it.
  std::atomic<std::uint64_t> mutations{0};
  fuse_session* session = nullptr;
  std::function<void()> on_ready;  // the kernel has begun to send requests

 private:
  explicit Mount(const MountOptions& o) : options(o), budget(o.max_dirty) {}
  Status start();
  void look_after_files();
  void keep_unlinked();
  bool name_blocks();
  void members_changed(config::Config now);

  std::mutex sweep_mutex_;
  std::condition_variable sweep_wanted_;
  bool sweep_now_ = false;
  bool members_changed_ = false;
  bool stopping_ = false;
  std::thread sweeper_;
};

}  // namespace bftmeta::fuse
