// A closed loop of metadata operations: a fixed number is outstanding, each completion sends the
// next one from its client's own thread, so that the load costs no threads and no wake-ups of its
// own. Everything happens in one fresh directory of the namespace with kDirectories directories in
// it, over which new names are spread evenly; stat asks for random inodes among those that were
// made before, by number. Thread-safety: used by one thread; counts() may be called while it runs.
#pragma once

#include <bftmeta/client.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "admin/histogram.hpp"

namespace bftmeta::admin {

enum class LoadKind { create, mkdir, stat, rename, mixed };

struct LoadResult {
  std::uint64_t done = 0;  // in the measured time, errors included
  std::uint64_t errors = 0;
  std::string first_error;
  double seconds = 0;
  Histogram latency;
};

class Load {
 public:
  static constexpr std::uint32_t kDirectories = 64;

  // Makes the directories, below a new one called `name` in the root directory. The clients outlive
  // this.
  static Result<std::unique_ptr<Load>> make(std::vector<client::Client*> clients,
                                            schema::Caller caller, const std::string& name);
  ~Load();  // nothing is outstanding any more: each run ends with its last answer

  // Creates files until `count` more exist; `progress` is called now and then with how many do.
  // Fails at the first error.
  Status preload(std::uint64_t count, const std::function<void(std::uint64_t)>& progress);

  // Runs for warm_up + measured, then waits for what is outstanding.
  Result<LoadResult> run(LoadKind kind, std::uint32_t outstanding,
                         std::chrono::milliseconds warm_up, std::chrono::milliseconds measured);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase { warm_up, measured, ending };
  struct Worker;  // one client's counts; touched on its thread
  struct Slot;    // one operation that is outstanding

  Load(std::vector<client::Client*> clients, schema::Caller caller);
  Result<std::uint64_t> make_directory(std::uint64_t parent, const std::string& name);
  Status add_rename_files();
  void start_slots(LoadKind kind, std::uint32_t count);
  void wait_for_slots();
  void issue(Slot& slot);
  void submit(Slot& slot, schema::OperationBody body);
  void read_random(Slot& slot);
  void finished(Slot& slot, const std::string& error, std::uint64_t new_ino);
  schema::OperationBody make_node(Slot& slot, schema::FileType type);
  schema::OperationBody rename(Slot& slot);

  std::vector<client::Client*> clients_;
  schema::Caller caller_;
  std::vector<std::uint64_t> directories_;
  std::vector<std::uint64_t> inodes_;  // made by preload: what stat asks for
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::uint64_t next_slot_id_ = 0;  // names never repeat between runs

  std::atomic<Phase> phase_{Phase::ending};
  std::atomic<std::uint64_t> issued_{0};
  std::uint64_t limit_ = 0;  // operations of this run; 0: until `ending`
  std::atomic<bool> failed_{false};

  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t running_ = 0;  // slots, under mutex_
};

}  // namespace bftmeta::admin
