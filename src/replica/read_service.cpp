#include "replica/read_service.hpp"

namespace bftmeta::replica {

using messages::ReadReply;
using messages::ReadStatus;

ReadService::ReadService(const Hash& cluster_id, std::shared_ptr<net::Waker> waker)
    : waker_(std::move(waker)), source_(cluster_id), thread_([this] { run(); }) {}

ReadService::~ReadService() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadService::publish(CertifiedVersion version) {
  auto shared = std::make_shared<const CertifiedVersion>(std::move(version));
  bool waiting = false;
  {
    const std::lock_guard lock(mutex_);
    newest_.swap(shared);
    waiting = !jobs_.empty();
  }
  if (waiting) changed_.notify_one();
  // The old version, and what only it holds, is destroyed here, outside the lock.
}

void ReadService::withdraw() {
  std::shared_ptr<const CertifiedVersion> none;
  const std::lock_guard lock(mutex_);
  newest_.swap(none);
}

bool ReadService::ask(const net::Route& from, messages::Read read, const PublicKey& principal) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= kMaxQueued) return false;
    jobs_.push_back({from, std::move(read), principal, net::steady_us() + kWaitUs});
  }
  changed_.notify_one();
  return true;
}

void ReadService::ask_nodes(NodesJob job) {
  {
    const std::lock_guard lock(mutex_);
    if (nodes_jobs_.size() >= kMaxNodesQueued) return;
    nodes_jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

std::vector<NodesAnswer> ReadService::take_nodes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(nodes_, {});
}

std::vector<ReadAnswer> ReadService::take_answers() {
  const std::lock_guard lock(mutex_);
  return std::exchange(answers_, {});
}

std::optional<Error> ReadService::take_fault() {
  const std::lock_guard lock(mutex_);
  return std::exchange(fault_, std::nullopt);
}

// The first job that can be answered now: its certificate is there, or its patience is over.
std::optional<ReadJob> ReadService::next_job(std::unique_lock<std::mutex>& lock,
                                             std::shared_ptr<const CertifiedVersion>& version) {
  while (!stopping_) {
    const std::int64_t now = net::steady_us();
    std::int64_t wake_at = now + 1'000'000;
    for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
      const bool ready = newest_ && newest_->state.cert.body.seq >= it->read.min_seq;
      if (!ready && it->deadline_us > now) {
        wake_at = std::min(wake_at, it->deadline_us);
        continue;
      }
      ReadJob job = std::move(*it);
      jobs_.erase(it);
      version = newest_;
      return job;
    }
    if (nodes_jobs_.empty()) changed_.wait_for(lock, std::chrono::microseconds(wake_at - now));
    serve_nodes(lock);
  }
  return std::nullopt;
}

// One question, with the lock released meanwhile; and what was served long enough is let go.
void ReadService::serve_nodes(std::unique_lock<std::mutex>& lock) {
  std::optional<NodesJob> job;
  if (!nodes_jobs_.empty()) {
    job = std::move(nodes_jobs_.front());
    nodes_jobs_.pop_front();
  }
  const auto newest = job ? newest_ : nullptr;
  lock.unlock();
  const auto now = static_cast<std::uint64_t>(net::steady_us());
  std::optional<messages::NodesData> data;
  if (job) data = source_.answer(job->from, job->question, newest.get(), now);
  source_.expire(now);
  auto fault = source_.take_fault();
  lock.lock();
  if (fault && !fault_) fault_ = std::move(fault);
  if (!data) return;
  nodes_.push_back({job->from, std::move(*data)});
  if (nodes_.size() == 1) waker_->wake();
}

void ReadService::run() {
  std::unique_lock lock(mutex_);
  std::shared_ptr<const CertifiedVersion> version;
  while (auto job = next_job(lock, version)) {
    lock.unlock();
    ReadReply reply = serve(*job, version.get());
    version.reset();
    lock.lock();
    answers_.push_back({job->from, std::move(reply)});
    if (answers_.size() == 1) waker_->wake();
  }
}

ReadReply ReadService::serve(const ReadJob& job, const CertifiedVersion* version) {
  ReadReply reply;
  reply.request_id = job.read.request_id;
  reply.status = ReadStatus::too_old;
  if (version == nullptr) return reply;
  reply.seq = version->state.cert.body.seq;
  if (reply.seq != job.read.known_cert) reply.cert = version->state.cert;
  if (reply.seq < job.read.min_seq) return reply;
  const tree::Recorder recorder(version->version);
  for (const schema::Query& query : job.read.queries) ns::evaluate(recorder, query, job.principal);
  auto proof = tree::prove(recorder);
  if (proof) {
    reply.status = ReadStatus::ok;
    reply.proof = std::move(*proof);
    return reply;
  }
  reply.status = proof.error().code == Errc::limit ? ReadStatus::too_large : ReadStatus::refused;
  if (proof.error().code != Errc::limit) {
    const std::lock_guard lock(mutex_);
    if (!fault_) fault_ = proof.error();
  }
  return reply;
}

}  // namespace bftmeta::replica
