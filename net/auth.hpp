// Who may connect: the ZAP handler (RFC 27) of a context, one thread, and one Domain per listening
// socket with the CURVE keys that it admits. The handler also chooses the routing id of every
// connection, `secret || key || number`, in place of the one that the peer asked for: a peer can
// neither take another's id nor guess one, and no two connections ever have the same.
// Thread-safety: all public functions.
#pragma once

#include <atomic>
#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/bytes.hpp"
#include "net/context.hpp"
#include "net/socket.hpp"

namespace bftmeta::net {

using PeerName = std::string;  // for logs and metrics
using AllowList = std::map<PublicKey, PeerName>;

// One connection, as far as the authenticated side of it goes.
struct Route {
  PublicKey key{};
  std::uint64_t number = 0;  // in the order of admission; from 1
  friend auto operator<=>(const Route&, const Route&) = default;
};

class Domain {
 public:
  static constexpr std::size_t kPerClient = 64;

  // per_key: connections that a key may have (Server keeps to it), 1 or more.
  Domain(std::string name, std::size_t per_key);

  const std::string& name() const { return name_; }
  std::size_t per_key() const { return per_key_; }
  // Replaces the list. Keys that are gone lose their connections at their next frame and get no
  // answers any more.
  void set_allowed(const AllowList& allowed);
  // Refuses handshakes of this key for a while; existing connections are the server's business.
  void ban(const PublicKey& key, std::int64_t until_us);
  // The server has read all that had come. Between two of these a key gets no more than `per_key`
  // new connections: what was not read of those that it gave up is still in memory.
  void note_all_read() { all_read_.fetch_add(1, std::memory_order_relaxed); }

  // Changes with every set_allowed.
  std::uint64_t revision() const { return revision_.load(std::memory_order_acquire); }
  bool allowed(const PublicKey& key) const;

  // For the handler: the routing id of a new connection, or why there is none.
  enum class Refusal { unknown_key, banned };
  struct Decision {
    std::optional<std::string> routing_id;
    Refusal refusal = Refusal::unknown_key;
  };
  Decision admit(const PublicKey& key);
  // The reverse: nullopt for an id that this process did not make.
  std::optional<Route> route_of(ByteView routing_id) const;
  std::string routing_id_of(const Route& route) const;

 private:
  struct Entry {
    PeerName name;
    std::int64_t banned_until_us = 0;
    std::uint64_t admitted_at = 0;  // all_read_ of the last admission
    std::size_t admitted = 0;       // since then
  };

  const std::string name_;
  const std::size_t per_key_;
  std::array<std::uint8_t, 16> secret_{};
  mutable std::mutex mutex_;
  std::map<PublicKey, Entry> entries_;
  std::uint64_t last_number_ = 0;
  std::atomic<std::uint64_t> revision_{1};
  std::atomic<std::uint64_t> all_read_{0};
};

struct AuthCounters {
  std::uint64_t admitted = 0;
  std::uint64_t refused_unknown_key = 0;
  std::uint64_t refused_banned = 0;
  std::uint64_t refused_malformed = 0;  // other mechanism, domain or shape of request
};

// Returns from pass() only after the context's I/O thread has finished what it was doing: a byte
// goes through that thread and back. Needed because libzmq reads the peer's own wish for a routing
// id AFTER it has sent the ZAP request: an answer that came too early would be overwritten by it.
// Thread-safety: one thread at a time.
class IoBarrier {
 public:
  explicit IoBarrier(const Context& context);
  void pass();

 private:
  Socket near_;
  Socket far_;
  std::uint64_t round_ = 0;  // so that a late byte of an earlier call is told from this one's
};

// Must be made before the first server of its context and outlive it.
class Authenticator {
 public:
  explicit Authenticator(const Context& context);
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // Made by the first call, with no key on its list.
  std::shared_ptr<Domain> domain(const std::string& name, std::size_t per_key);
  AuthCounters counters() const;

 private:
  void run();
  void answer_one();

  Socket handler_;     // the thread's
  IoBarrier barrier_;  // the thread's
  Socket stopped_;     // the thread's end of a pair; anything on it ends the thread
  Socket stop_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Domain>, std::less<>> domains_;
  AuthCounters counters_;
  std::thread thread_;
};

// Microseconds of the steady clock.
std::int64_t steady_us();

}  // namespace bftmeta::net
