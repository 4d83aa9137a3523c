// Blocks on the replicas themselves, seen from a client. put() sends to all and is done when 2f+1
// have acknowledged the block as durable; get() asks one replica, then others when it has not
// answered after `hedge` or has lied, and checks the digest. 2f+1 denials mean that no put of that
// block ever finished, or that members were replaced since and some have not fetched it yet: so the
// others have `resend` to answer. It follows the members from epoch to epoch, also with what is
// under way. One thread owns the links. At most kMaxOutstanding requests are under way, the next
// ones wait their turn within their own timeout. Thread-safety: all calls.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "blocks/block_store.hpp"
#include "config/genesis.hpp"
#include "messages/blocks.hpp"
#include "net/link_set.hpp"

namespace bftmeta::blocks {

struct ReplicaStoreOptions {
  std::chrono::milliseconds timeout{10'000};       // of a call
  std::chrono::milliseconds hedge{300};            // until a get asks one more replica
  std::chrono::milliseconds resend{3'000};         // a request that one replica has not answered
  std::chrono::milliseconds busy_pause{100};       // until a busy replica is asked again
  std::function<void(const std::string&)> report;  // lies of replicas, one line each; any thread
};

class ReplicaStore final : public BlockStore {
 public:
  static constexpr std::size_t kMaxOutstanding = 16;

  // The net context outlives it. `cluster` is that of the frames: the same in every epoch. Whether
  // replicas answer shows in the calls. Errors: invalid_argument (an address that cannot be one).
  static Result<std::unique_ptr<ReplicaStore>> open(const net::Context& context,
                                                    const crypto::LinkKey& key,
                                                    const config::Config& config,
                                                    const crypto::Context& cluster,
                                                    ReplicaStoreOptions options);
  ~ReplicaStore() override;
  ReplicaStore(const ReplicaStore&) = delete;
  ReplicaStore& operator=(const ReplicaStore&) = delete;

  // From now on these are the members. A request under way goes on: what members said who stay
  // counts, the others are asked. An address that cannot be one is that of a member out of reach.
  void follow(config::Config config);
  std::uint64_t holders() const override { return epoch_; }

  Result<Hash> put(ByteView content) override;
  Result<Block> get(const Hash& digest) override;
  Result<bool> has(const Hash& digest) override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Kind { put, get, check };
  enum class Answer : std::uint8_t { none, stored, missing, disk_full, failed };

  // What one replica has been asked and has said about one request.
  struct Asked {
    Answer answer = Answer::none;
    bool sent = false;
    Clock::time_point again{};  // when to send again, if sent
  };
  struct Request {
    Kind kind = Kind::put;
    Hash digest{};
    Bytes frame;
    std::vector<Asked> replicas;
    Clock::time_point deadline{};
    Clock::time_point denied_until = Clock::time_point::max();  // get, check: 2f+1 denied it
    Clock::time_point next_hedge{};                             // get only
    std::size_t next_replica = 0;                               // get only: who is asked next
    bool done = false;
    std::optional<Error> error;
    Block block;
    bool present = false;
  };
  using RequestPtr = std::shared_ptr<Request>;

  ReplicaStore(const net::Context& context, const crypto::LinkKey& key,
               const crypto::Context& cluster, ReplicaStoreOptions options);
  net::LinkSet::Led lead_to(const config::Config& config);
  RequestPtr make(Kind kind, const Hash& digest, const messages::BlockRequest& message) const;
  Status run_request(const RequestPtr& request);
  Error timed_out(const Request& request) const;

  // The link thread; everything below runs on it.
  void run();
  void follow_members();
  void adopt_new();
  void handle(std::size_t replica, ByteView message);
  void take(std::size_t replica, messages::BlockStored stored);
  void take(std::size_t replica, messages::BlockContent content);
  void take(std::size_t replica, messages::BlockMissing missing);
  void take(std::size_t replica, messages::BlockRefused refused);
  void note(std::size_t replica, const Hash& digest, Answer answer, bool of_get);
  void conclude(Request& request);
  void deny(Request& request);
  void pump(Request& request, Clock::time_point now);
  void pump_get(Request& request, Clock::time_point now);
  void send(Request& request, std::size_t replica, Clock::time_point now);
  void finish(Request& request);
  std::size_t count(const Request& request, Answer answer) const;

  const crypto::Context cluster_;
  const ReplicaStoreOptions options_;
  std::atomic<std::uint64_t> epoch_{0};

  // ---- the link thread's, once it runs
  net::LinkSet links_;
  std::size_t quorum_ = 0;
  std::size_t weak_quorum_ = 0;
  std::vector<RequestPtr> active_;
  std::size_t preferred_ = 0;  // answered the last get

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<config::Config> members_;  // to be followed
  std::deque<RequestPtr> fresh_;
  std::size_t outstanding_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bftmeta::blocks
