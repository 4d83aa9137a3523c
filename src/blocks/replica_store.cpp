#include "blocks/replica_store.hpp"

#include "crypto/hash.hpp"

namespace bftmeta::blocks {

Result<std::unique_ptr<ReplicaStore>> ReplicaStore::open(const net::Context& context,
                                                         const crypto::LinkKey& key,
                                                         const config::Config& config,
                                                         const crypto::Context& cluster,
                                                         ReplicaStoreOptions options) {
  std::unique_ptr<ReplicaStore> store(new ReplicaStore(context, key, cluster, std::move(options)));
  BFTMETA_TRY(store->lead_to(config).status);
  store->epoch_ = config.epoch;
  std::uint8_t random = 0;
  crypto::random_bytes({&random, 1});
  store->preferred_ = random % config.n();
  store->thread_ = std::thread([raw = store.get()] { raw->run(); });
  return store;
}

ReplicaStore::ReplicaStore(const net::Context& context, const crypto::LinkKey& key,
                           const crypto::Context& cluster, ReplicaStoreOptions options)
    : cluster_(cluster),
      options_(std::move(options)),
      links_(context, key, net::block_link_options()) {}

net::LinkSet::Led ReplicaStore::lead_to(const config::Config& config) {
  std::vector<std::optional<net::Destination>> members;
  for (const config::Replica& r : config.replicas)
    members.push_back(net::Destination{r.host, r.block_port(), r.link_key});
  quorum_ = config.quorum();
  weak_quorum_ = config.weak_quorum();
  return links_.lead_to(members);
}

ReplicaStore::~ReplicaStore() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  links_.waker()->wake();
  if (thread_.joinable()) thread_.join();
}

void ReplicaStore::follow(config::Config config) {
  std::lock_guard lock(mutex_);
  epoch_ = config.epoch;
  members_ = std::move(config);
  links_.waker()->wake();
}

Result<Hash> ReplicaStore::put(ByteView content) {
  BFTMETA_TRY(check_block_size(content));
  const Hash digest = crypto::sha256(content);
  const RequestPtr request = make(Kind::put, digest, messages::PutBlock{digest, to_bytes(content)});
  BFTMETA_TRY(run_request(request));
  return digest;
}

Result<Block> ReplicaStore::get(const Hash& digest) {
  const RequestPtr request = make(Kind::get, digest, messages::GetBlock{digest});
  BFTMETA_TRY(run_request(request));
  return request->block;
}

Result<bool> ReplicaStore::has(const Hash& digest) {
  const RequestPtr request = make(Kind::check, digest, messages::CheckBlock{digest});
  BFTMETA_TRY(run_request(request));
  return request->present;
}

ReplicaStore::RequestPtr ReplicaStore::make(Kind kind, const Hash& digest,
                                            const messages::BlockRequest& message) const {
  auto request = std::make_shared<Request>();
  request->kind = kind;
  request->digest = digest;
  request->frame = messages::encode_frame(cluster_, message);
  request->deadline = Clock::now() + options_.timeout;
  return request;
}

Status ReplicaStore::run_request(const RequestPtr& request) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_until(lock, request->deadline,
                           [this] { return outstanding_ < kMaxOutstanding; }))
    return fail(Errc::busy, "block " + short_hex(request->digest) + ": " +
                                std::to_string(kMaxOutstanding) +
                                " earlier requests are still waiting for the replicas");
  ++outstanding_;
  fresh_.push_back(request);
  links_.waker()->wake();
  changed_.wait(lock, [&] { return request->done; });
  --outstanding_;
  changed_.notify_all();
  if (request->error) return tl::make_unexpected(*request->error);
  return {};
}

void ReplicaStore::run() {
  for (;;) {
    const auto pause = active_.empty() ? std::chrono::milliseconds(250)
                                       : std::min(options_.busy_pause, options_.hedge);
    links_.wait(pause);
    follow_members();  // first: answers of members that have left do not count
    links_.receive([this](std::size_t from, ByteView message) { handle(from, message); });
    adopt_new();
    const auto now = Clock::now();
    for (const RequestPtr& request : active_)
      if (!request->done) pump(*request, now);
    std::erase_if(active_, [](const RequestPtr& request) { return request->done; });
    links_.flush();
    std::lock_guard lock(mutex_);
    if (!stopping_) continue;
    active_.insert(active_.end(), fresh_.begin(), fresh_.end());
    for (const RequestPtr& request : active_) {
      request->error = Error{Errc::unreachable, "the block store is being closed"};
      request->done = true;
    }
    changed_.notify_all();
    return;
  }
}

void ReplicaStore::follow_members() {
  std::optional<config::Config> members;
  {
    std::lock_guard lock(mutex_);
    members.swap(members_);
  }
  if (!members) return;
  const net::LinkSet::Led led = lead_to(*members);
  if (!led.status && options_.report)
    options_.report("a member of epoch " + std::to_string(members->epoch) +
                    " cannot be reached: " + led.status.error().message);
  const auto preferred = std::ranges::find(led.kept, std::optional(preferred_));
  preferred_ =
      preferred == led.kept.end() ? 0 : static_cast<std::size_t>(preferred - led.kept.begin());
  for (const RequestPtr& request : active_) {
    if (request->done) continue;
    const std::vector<Asked> before = std::exchange(request->replicas, {});
    for (const auto& old : led.kept) request->replicas.push_back(old ? before[*old] : Asked());
    request->next_replica = preferred_;
    request->next_hedge = {};
    request->denied_until = Clock::time_point::max();
    conclude(*request);
  }
}

void ReplicaStore::adopt_new() {
  std::lock_guard lock(mutex_);
  for (RequestPtr& request : fresh_) {
    request->replicas.resize(links_.size());
    request->next_replica = preferred_;
    active_.push_back(std::move(request));
  }
  fresh_.clear();
}

void ReplicaStore::handle(std::size_t replica, ByteView message) {
  auto reply = messages::decode_block_reply_frame(cluster_, message);
  if (!reply) {
    if (options_.report)
      options_.report("replica " + std::to_string(replica) +
                      ": a reply on its block port is not one: " + reply.error().message);
    return;
  }
  std::visit([&](auto& body) { take(replica, std::move(body)); }, *reply);
}

void ReplicaStore::take(std::size_t replica, messages::BlockStored stored) {
  note(replica, stored.digest, Answer::stored, false);
}

void ReplicaStore::take(std::size_t replica, messages::BlockMissing missing) {
  for (const RequestPtr& request : active_) {
    if (request->done || request->digest != missing.digest || request->kind == Kind::put) continue;
    request->replicas[replica].answer = Answer::missing;
    request->next_hedge = {};  // a get asks the next one at once
    conclude(*request);
  }
}

void ReplicaStore::take(std::size_t replica, messages::BlockContent content) {
  const bool right = crypto::sha256(content.content) == content.digest;
  if (!right && options_.report)
    options_.report("replica " + std::to_string(replica) + ": content of block " +
                    short_hex(content.digest) + " does not match its digest; asking another one");
  if (!right) return take(replica, messages::BlockMissing{content.digest});
  const auto block = std::make_shared<const Bytes>(std::move(content.content));
  for (const RequestPtr& request : active_) {
    if (request->done || request->kind != Kind::get || request->digest != content.digest) continue;
    request->block = block;
    preferred_ = replica;
    finish(*request);
  }
}

void ReplicaStore::take(std::size_t replica, messages::BlockRefused refused) {
  using messages::BlockRefusal;
  if (refused.reason != BlockRefusal::busy) {
    const Answer answer =
        refused.reason == BlockRefusal::disk_full ? Answer::disk_full : Answer::failed;
    return note(replica, refused.digest, answer, true);
  }
  for (const RequestPtr& request : active_)
    if (request->digest == refused.digest)
      request->replicas[replica].again = Clock::now() + options_.busy_pause;
}

void ReplicaStore::note(std::size_t replica, const Hash& digest, Answer answer, bool of_get) {
  for (const RequestPtr& request : active_) {
    if (request->done || request->digest != digest) continue;
    if (request->kind == Kind::get && !of_get) continue;
    request->replicas[replica].answer = answer;
    request->next_hedge = {};
    conclude(*request);
  }
}

std::size_t ReplicaStore::count(const Request& request, Answer answer) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      request.replicas, [&](const Asked& asked) { return asked.answer == answer; }));
}

void ReplicaStore::conclude(Request& request) {
  const std::size_t stored = count(request, Answer::stored);
  const std::size_t missing = count(request, Answer::missing);
  const std::size_t full = count(request, Answer::disk_full);
  const std::size_t failed = count(request, Answer::failed);
  const std::size_t n = request.replicas.size();
  const std::string name = "block " + short_hex(request.digest);
  if (request.kind == Kind::put) {
    if (stored >= quorum_) return finish(request);
    if (full + failed <= n - quorum_) return;
    request.error =
        full > 0 ? Error{Errc::disk_full, name + ": " + std::to_string(full) + " of " +
                                              std::to_string(n) + " replicas have no space for it"}
                 : Error{Errc::io, name + ": refused by " + std::to_string(failed) + " of " +
                                       std::to_string(n) + " replicas; their logs say why"};
    return finish(request);
  }
  if (request.kind == Kind::check && stored >= weak_quorum_) {
    request.present = true;
    return finish(request);
  }
  if (missing == n) return deny(request);
  if (missing >= quorum_ && request.denied_until == Clock::time_point::max())
    request.denied_until = Clock::now() + options_.resend;
  if (missing + failed + full == n ||
      (request.kind == Kind::check && missing + failed + full + stored == n)) {
    request.error =
        Error{Errc::io, name + ": no replica could give it (" + std::to_string(missing) +
                            " do not have it, " + std::to_string(failed + full) + " failed)"};
    finish(request);
  }
}

void ReplicaStore::deny(Request& request) {
  if (request.kind == Kind::get)
    request.error = Error{Errc::not_found, "block " + short_hex(request.digest) + ": " +
                                               std::to_string(count(request, Answer::missing)) +
                                               " of " + std::to_string(request.replicas.size()) +
                                               " replicas do not have it"};
  finish(request);
}

void ReplicaStore::pump(Request& request, Clock::time_point now) {
  if (now >= request.denied_until) return deny(request);
  if (now >= request.deadline) {
    request.error = timed_out(request);
    return finish(request);
  }
  if (request.kind == Kind::get) return pump_get(request, now);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const Asked& asked = request.replicas[i];
    if (asked.answer == Answer::none && (!asked.sent || now >= asked.again)) send(request, i, now);
  }
}

void ReplicaStore::pump_get(Request& request, Clock::time_point now) {
  if (now < request.next_hedge) return;
  for (std::size_t step = 0; step < links_.size(); ++step) {
    const std::size_t i = (request.next_replica + step) % links_.size();
    const Asked& asked = request.replicas[i];
    if (asked.answer != Answer::none || (asked.sent && now < asked.again)) continue;
    if (links_.state(i) != net::LinkState::connected) continue;
    send(request, i, now);
    request.next_replica = i + 1;
    request.next_hedge = now + options_.hedge;
    return;
  }
}

void ReplicaStore::send(Request& request, std::size_t replica, Clock::time_point now) {
  // Nothing is queued for a replica that is away: it would be stale when it comes back.
  if (links_.state(replica) != net::LinkState::connected) return;
  if (!links_.send(replica, request.frame)) return;
  request.replicas[replica].sent = true;
  request.replicas[replica].again = now + options_.resend;
}

Error ReplicaStore::timed_out(const Request& request) const {
  std::size_t connected = 0;
  for (std::size_t i = 0; i < links_.size(); ++i)
    connected += links_.state(i) == net::LinkState::connected ? 1 : 0;
  const std::string n = std::to_string(links_.size());
  return {Errc::unreachable,
          "block " + short_hex(request.digest) + ": " +
              (request.kind == Kind::put
                   ? std::to_string(count(request, Answer::stored)) + " of " + n +
                         " replicas acknowledged it, " + std::to_string(quorum_) + " are needed"
                   : "no replica gave it") +
              " within " + std::to_string(options_.timeout.count()) + " ms (" +
              std::to_string(connected) + " of " + n + " connected)"};
}

void ReplicaStore::finish(Request& request) {
  {
    std::lock_guard lock(mutex_);
    request.done = true;
  }
  changed_.notify_all();
}

}  // namespace bftmeta::blocks
