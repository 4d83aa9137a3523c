// The client's one thread: takes what callers queued, turns the engine, runs callbacks. Callers
// hand over through a queue; the thread is woken once per burst, not once per call.
// Thread-safety: post() from any thread, also from callbacks.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "client/engine.hpp"
#include "client/transport.hpp"

namespace bftmeta::client {

class IoThread {
 public:
  using Task = std::function<void(Engine&, const Now&)>;

  // Restores the state file. Errors: those of the file, or a state of another cluster.
  static Result<std::unique_ptr<IoThread>> start(Options options,
                                                 std::unique_ptr<Transport> transport);
  // Answers what is left with an error and ends the thread.
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // False, and the task is dropped, once the thread is ending.
  bool post(Task task);
  // Lets what is outstanding finish, at most `timeout`, then ends the thread. Idempotent.
  Status drain(Micros timeout);
  // Called after each turn until it returns true.
  void watch(std::function<bool(const Engine&)> watcher);
  // Client::watch_members.
  void watch_members(std::function<void(const config::Config&)> changed);

  const Options& options() const { return options_; }
  // As of the last turn; from any thread.
  ReplicaSet connected() const { return connected_; }
  ReplicaSet refused() const { return refused_; }
  std::uint32_t members() const { return members_; }  // n of the epoch that it was led to

 private:
  IoThread(Options options, std::unique_ptr<Transport> transport);
  void run();
  void take_tasks(const Now& now);
  void run_ready();
  void note_connections();
  void save_state(const Now& now, bool at_once);
  Micros wait_time(const Now& now) const;

  Options options_;
  crypto::Ed25519Verifier verifier_;
  std::unique_ptr<Transport> transport_;
  Engine engine_;
  std::mutex mutex_;
  std::vector<Task> tasks_;  // guarded
  bool ending_ = false;      // guarded: nothing is taken any more
  std::vector<std::function<bool(const Engine&)>> watchers_;
  std::vector<std::function<void(const config::Config&)>> member_watchers_;
  std::atomic<ReplicaSet> connected_{0};
  std::atomic<ReplicaSet> refused_{0};
  std::atomic<std::uint32_t> members_;
  std::uint64_t epoch_;  // of the members that the bits of connected_ and refused_ are of
  messages::Seq saved_seq_ = 0;
  std::uint64_t saved_epoch_;
  Micros save_after_ = 0;
  std::atomic<Micros> drain_until_{kNever};
  bool drained_ = false;
  Status save_status_;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace bftmeta::client
