#include "replica/read_service.hpp"

namespace bftmeta::replica {

using messages::ReadReply;
using messages::ReadStatus;

ReadService::ReadService(std::shared_ptr<net::Waker> waker)
    : waker_(std::move(waker)), thread_([this] { run(); }) {}

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

bool ReadService::ask(const net::Route& from, messages::Read read, const PublicKey& principal) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= kMaxQueued) return false;
    jobs_.push_back({from, std::move(read), principal, net::steady_us() + kWaitUs});
  }
  changed_.notify_one();
  return true;
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
      const bool ready = newest_ && newest_->cert.body.seq >= it->read.min_seq;
      if (!ready && it->deadline_us > now) {
        wake_at = std::min(wake_at, it->deadline_us);
        continue;
      }
      ReadJob job = std::move(*it);
      jobs_.erase(it);
      version = newest_;
      return job;
    }
    changed_.wait_for(lock, std::chrono::microseconds(wake_at - now));
  }
  return std::nullopt;
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
  reply.seq = version->cert.body.seq;
  if (reply.seq != job.read.known_cert) reply.cert = version->cert;
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
