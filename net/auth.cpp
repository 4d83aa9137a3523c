#include "net/auth.hpp"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "base/assert.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::net {

namespace {

constexpr const char* kStopEndpoint = "inproc://bftmeta.auth.stop";
constexpr int kBarrierTimeoutMs = 1000;
// Frames of a CURVE request (RFC 27): version, request id, domain, address, identity, mechanism,
// key. No other request may have more than kMaxParts.
constexpr std::size_t kCurveParts = 7;
constexpr std::size_t kMaxParts = 16;

void send_part(const Socket& socket, std::string_view part, bool more) {
  // The answer to a connection that is gone is lost, as it should be.
  zmq_send(socket.get(), part.data(), part.size(), ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

// One property in ZMTP metadata form: u8 length, name, u32 (big-endian) length, value.
std::string metadata(std::string_view name, std::string_view value) {
  const std::uint32_t size = htonl(static_cast<std::uint32_t>(value.size()));
  std::string out(1, static_cast<char>(name.size()));
  out += name;
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += value;
  return out;
}

}  // namespace

std::int64_t steady_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Domain::Domain(std::string name, std::size_t per_key) : name_(std::move(name)), per_key_(per_key) {
  BFTMETA_ASSERT(per_key >= 1);
  crypto::random_bytes(secret_);
}

void Domain::set_allowed(const AllowList& allowed) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& entry) { return !allowed.contains(entry.first); });
  for (const auto& [key, name] : allowed) entries_[key].name = name;
  revision_.fetch_add(1, std::memory_order_release);
}

void Domain::ban(const PublicKey& key, std::int64_t until_us) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  it->second.banned_until_us = std::max(it->second.banned_until_us, until_us);
}

bool Domain::allowed(const PublicKey& key) const {
  const std::lock_guard lock(mutex_);
  return entries_.contains(key);
}

Domain::Decision Domain::admit(const PublicKey& key) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) return {};
  Entry& entry = it->second;
  if (steady_us() < entry.banned_until_us) return {std::nullopt, Refusal::banned};
  if (const std::uint64_t at = all_read_.load(std::memory_order_relaxed); entry.admitted_at != at) {
    entry.admitted_at = at;
    entry.admitted = 0;
  }
  if (entry.admitted == per_key_) return {std::nullopt, Refusal::banned};
  ++entry.admitted;
  return {routing_id_of({key, ++last_number_}), {}};
}

std::string Domain::routing_id_of(const Route& route) const {
  std::array<std::uint8_t, sizeof route.number> number{};
  store_be64(number.data(), route.number);
  std::string id(secret_.begin(), secret_.end());
  id.append(route.key.begin(), route.key.end());
  id.append(number.begin(), number.end());
  return id;
}

std::optional<Route> Domain::route_of(ByteView id) const {
  Route route;
  if (id.size() != secret_.size() + route.key.size() + sizeof route.number) return std::nullopt;
  if (!equal(id.first(secret_.size()), secret_)) return std::nullopt;
  std::ranges::copy(id.subspan(secret_.size(), route.key.size()), route.key.begin());
  route.number = load_be64(id.last(sizeof route.number).data());
  return route;
}

IoBarrier::IoBarrier(const Context& context)
    : near_(context.get(), ZMQ_PAIR), far_(context.get(), ZMQ_PAIR) {
  std::array<std::uint8_t, 16> random{};
  crypto::random_bytes(random);
  // An abstract Unix socket, so that nothing is left behind; only this process may connect.
  const std::string endpoint = "ipc://@bftmeta-" + to_hex(random);
  near_.set(ZMQ_IPC_FILTER_PID, static_cast<int>(::getpid()));
  far_.set(ZMQ_RCVTIMEO, kBarrierTimeoutMs);
  near_.set(ZMQ_RCVTIMEO, kBarrierTimeoutMs);
  BFTMETA_ASSERT(zmq_bind(near_.get(), endpoint.c_str()) == 0);
  BFTMETA_ASSERT(zmq_connect(far_.get(), endpoint.c_str()) == 0);
}

void IoBarrier::pass() {
  ++round_;
  if (zmq_send(far_.get(), &round_, sizeof round_, ZMQ_DONTWAIT) < 0) return;
  std::uint64_t back = 0;
  // On a time-out the handshake goes on unprotected; the server checks the id of every frame again.
  while (back != round_ && zmq_recv(near_.get(), &back, sizeof back, 0) > 0) continue;
}

Authenticator::Authenticator(const Context& context)
    : handler_(context.get(), ZMQ_ROUTER),
      barrier_(context),
      stopped_(context.get(), ZMQ_PAIR),
      stop_(context.get(), ZMQ_PAIR) {
  BFTMETA_ASSERT(zmq_bind(handler_.get(), "inproc://zeromq.zap.01") == 0);
  BFTMETA_ASSERT(zmq_bind(stopped_.get(), kStopEndpoint) == 0);
  BFTMETA_ASSERT(zmq_connect(stop_.get(), kStopEndpoint) == 0);
  thread_ = std::thread([this] { run(); });
}

Authenticator::~Authenticator() {
  send_part(stop_, "", false);
  thread_.join();
}

std::shared_ptr<Domain> Authenticator::domain(const std::string& name, std::size_t per_key) {
  const std::lock_guard lock(mutex_);
  auto& domain = domains_[name];
  if (domain == nullptr) domain = std::make_shared<Domain>(name, per_key);
  return domain;
}

AuthCounters Authenticator::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Authenticator::run() {
  for (;;) {
    std::array<zmq_pollitem_t, 2> items{
        {{stopped_.get(), 0, ZMQ_POLLIN, 0}, {handler_.get(), 0, ZMQ_POLLIN, 0}}};
    if (zmq_poll(items.data(), static_cast<int>(items.size()), -1) < 0) continue;
    if (items[0].revents != 0) return;
    answer_one();
  }
}

void Authenticator::answer_one() {
  const Socket& socket = handler_;
  // ROUTER: the address of the asking session, an empty delimiter, then the request.
  std::vector<std::string> parts;
  Message part;
  do {
    if (!part.receive(socket)) return;
    parts.emplace_back(text(part.view()));
  } while (part.more() && parts.size() < kMaxParts);
  discard_rest(socket, part);
  if (parts.size() < 4) return;
  const std::string& request_id = parts[3];

  Domain::Decision decision;
  PublicKey key{};
  bool well_formed = parts.size() == 2 + kCurveParts && parts[2] == "1.0" && parts[7] == "CURVE" &&
                     parts[8].size() == key.size();
  {
    const std::lock_guard lock(mutex_);
    const auto domain = well_formed ? domains_.find(parts[4]) : domains_.end();
    if (domain == domains_.end()) {
      ++counters_.refused_malformed;
    } else {
      std::copy(parts[8].begin(), parts[8].end(), key.begin());
      decision = domain->second->admit(key);
      if (decision.routing_id)
        ++counters_.admitted;
      else if (decision.refusal == Domain::Refusal::banned)
        ++counters_.refused_banned;
      else
        ++counters_.refused_unknown_key;
    }
  }
  barrier_.pass();
  // 400 tells the peer that its key is refused; 300 closes the connection without a word, and the
  // peer's socket tries again by itself.
  const bool banned = !decision.routing_id && decision.refusal == Domain::Refusal::banned;
  send_part(socket, parts[0], true);
  send_part(socket, parts[1], true);
  send_part(socket, "1.0", true);
  send_part(socket, request_id, true);
  send_part(socket, decision.routing_id ? "200" : banned ? "300" : "400", true);
  send_part(socket,
            decision.routing_id ? ""
            : banned            ? "over its limits"
                                : "key not registered",
            true);
  send_part(socket, decision.routing_id ? to_hex(key) : "", true);
  send_part(socket, decision.routing_id ? metadata("Identity", *decision.routing_id) : "", false);
}

}  // namespace bftmeta::net
