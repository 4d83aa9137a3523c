// Verified reads, off the main thread: queries are evaluated on an immutable certified version
// through a recorder, and answered with the partial tree over what they touched. A read that asks
// for a newer certificate than there is waits for it, 50 ms at most (protocol §6.2). Bounded queue.
// Thread-safety: publish, ask and stop from the main thread; take_answers from the main thread
// after a wake-up.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "messages/client.hpp"
#include "messages/transfer.hpp"
#include "namespace/query.hpp"
#include "net/auth.hpp"
#include "net/poller.hpp"
#include "transfer/source.hpp"
#include "tree/recorder.hpp"

namespace bftmeta::replica {

using CertifiedVersion = transfer::Served;

struct ReadJob {
  net::Route from;
  messages::Read read;
  PublicKey principal{};  // who asks: sign key
  std::int64_t deadline_us = 0;
};

struct ReadAnswer {
  net::Route to;
  messages::ReadReply reply;
};

// A replica that fetches the state asks for subtrees.
struct NodesJob {
  messages::ReplicaId from = 0;
  messages::FetchNodes question;
};

struct NodesAnswer {
  messages::ReplicaId to = 0;
  messages::NodesData data;
};

class ReadService {
 public:
  static constexpr std::size_t kMaxQueued = 4096;
  static constexpr std::size_t kMaxNodesQueued = 64;  // of all peers; each has a few under way
  static constexpr std::int64_t kWaitUs = 50'000;     // for a certificate >= min_seq

  ReadService(const Hash& cluster_id, std::shared_ptr<net::Waker> waker);
  ~ReadService();

  void publish(CertifiedVersion version);
  // Until the next one is published, nothing is read.
  void withdraw();
  // False: the queue is full; the client asks elsewhere.
  bool ask(const net::Route& from, messages::Read read, const PublicKey& principal);
  // Reads come first. What does not fit the queue is asked for again.
  void ask_nodes(NodesJob job);
  std::vector<ReadAnswer> take_answers();
  std::vector<NodesAnswer> take_nodes();
  // A read met bytes on disk that are not what was written: the first such error, once.
  std::optional<Error> take_fault();

 private:
  void run();
  std::optional<ReadJob> next_job(std::unique_lock<std::mutex>& lock,
                                  std::shared_ptr<const CertifiedVersion>& version);
  void serve_nodes(std::unique_lock<std::mutex>& lock);
  messages::ReadReply serve(const ReadJob& job, const CertifiedVersion* version);

  std::shared_ptr<net::Waker> waker_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ReadJob> jobs_;
  std::vector<ReadAnswer> answers_;
  std::deque<NodesJob> nodes_jobs_;
  std::vector<NodesAnswer> nodes_;
  transfer::Source source_;  // of the thread
  std::shared_ptr<const CertifiedVersion> newest_;
  std::optional<Error> fault_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bftmeta::replica
