// Several clients at once, each with one operation or read at a time, on the same few names of the
// root directory; everything that they saw is recorded. Two checks of such a history:
// check_history (linearizability.hpp) for the order against real time, check_answers for what was
// answered against a model that is run in the certified order. Together they decide whether the
// history is linearizable, without search. Thread-safety: SharedNamesLoad: one thread;
// check_answers: pure.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <thread>

#include "support/linearizability.hpp"
#include "support/process_cluster.hpp"

namespace bftmeta::test {

inline const std::vector<std::string> kSharedNames{"n0", "n1", "n2", "n3", "n4", "n5"};

// What tells one file from another, and one write to it from another.
struct FileSeen {
  std::uint64_t ino = 0;
  std::int64_t mtime_ns = 0;

  friend bool operator==(const FileSeen&, const FileSeen&) = default;
};

struct RecordedOperation {
  HistoryEntry entry;
  // A write:
  schema::OperationBody body;
  schema::OpResult result;
  std::optional<std::uint32_t> position;  // in its batch; nullopt: not known
  // A read of all names, in their order; nullopt: there is no such file.
  std::vector<std::optional<FileSeen>> seen;
};

// One sentence for each answer that the model does not give, at most kMaxProblems. All writes to
// the names must be among `operations`. Where positions within a batch are not known, any order of
// that batch's operations will do.
std::vector<std::string> check_answers(const std::vector<RecordedOperation>& operations);

class SharedNamesLoad {
 public:
  // `clients` keys of the cluster, from the first one on.
  SharedNamesLoad(const ProcessCluster& cluster, std::uint32_t clients, std::uint64_t seed);
  ~SharedNamesLoad();  // stop()
  SharedNamesLoad(const SharedNamesLoad&) = delete;
  SharedNamesLoad& operator=(const SharedNamesLoad&) = delete;

  // Until so many further ones have returned, or the time is over (false).
  bool wait_returned(std::size_t more, std::chrono::milliseconds timeout);
  // Waits for what is outstanding: bounded by the client's own timeout.
  void stop();

  // After stop():
  std::vector<RecordedOperation> operations() const;
  // Errors of the client library, and outcomes whose place nobody told.
  std::vector<std::string> problems() const;

 private:
  struct Worker;
  void work(Worker& worker);
  void write(Worker& worker);
  void read(Worker& worker);

  History history_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> returned_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace bftmeta::test
