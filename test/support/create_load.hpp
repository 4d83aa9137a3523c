// Creates empty files in the root directory, a fixed number of them at a time, and remembers which
// ones were acknowledged and what failed. Names are PREFIX-NUMBER. Thread-safety: all functions
// from any thread; the client must outlive it.
#pragma once

#include <bftmeta/client.hpp>

#include <condition_variable>
#include <mutex>

namespace bftmeta::test {

schema::Operation create_file(const std::string& name);
schema::Query stat_file(const std::string& name);

class CreateLoad {
 public:
  CreateLoad(client::Client& client, std::string prefix, std::size_t window = 64);
  ~CreateLoad();  // stop()
  CreateLoad(const CreateLoad&) = delete;
  CreateLoad& operator=(const CreateLoad&) = delete;

  // Until `more` further creates are acknowledged, or the time is over (false).
  bool wait_acknowledged(std::size_t more, std::chrono::milliseconds timeout);
  // Keeps the load on for this long.
  void run_for(std::chrono::milliseconds time);
  // Starts no more and waits for what is outstanding: bounded by the client's own timeout.
  void stop();

  // The longest time without an acknowledgement that ended, or goes on, since watch_gaps().
  void watch_gaps();
  std::chrono::milliseconds longest_gap() const;

  std::vector<std::string> acknowledged() const;
  std::vector<std::string> failures() const;

 private:
  using Clock = std::chrono::steady_clock;

  void submit_one();  // with the lock held
  void done(const std::string& name, const Result<schema::OpResult>& result);

  client::Client& client_;
  const std::string prefix_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t next_ = 0;
  std::size_t outstanding_ = 0;
  bool stopping_ = false;
  std::vector<std::string> acknowledged_;
  std::vector<std::string> failures_;
  Clock::time_point last_acknowledged_ = Clock::now();
  Clock::duration longest_gap_{};
};

// Those that a verified read does not find.
std::vector<std::string> missing(client::Client& client, const std::vector<std::string>& names);

}  // namespace bftmeta::test
