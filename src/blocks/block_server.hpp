// A replica's block port: one thread that takes requests from net::Server and answers them from a
// BlockDirectory, so that block traffic and its syncs never hold up agreement. All puts of a turn
// share their directory syncs; a digest is checked before anything is stored. What does not fit
// into a turn is refused as busy, and memory is bounded by kMaxTurnBytes plus the server's queues.
// Thread-safety: start() and stop() from one thread, set_members() and counters() from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "blocks/block_directory.hpp"
#include "crypto/signer.hpp"
#include "messages/blocks.hpp"
#include "net/server.hpp"

namespace bftmeta::blocks {

struct BlockServerCounters {
  std::uint64_t stored = 0;
  std::uint64_t served = 0;
  std::uint64_t missing = 0;
  std::uint64_t refused = 0;    // busy, disk full, wrong digest, I/O error, a member's put
  std::uint64_t malformed = 0;  // messages that do not decode
};

// What the replica around it knows.
struct BlockServerContext {
  crypto::Context cluster;
  // Told of each block that somebody else than a member asked for and that is not here; on the
  // server's thread. May be empty.
  std::function<void(const Hash& digest)> missed;
  // Changes what is served, where a replica lies on purpose (bftmetad-evil); else empty. On the
  // server's thread.
  std::function<void(Bytes& content)> bend = {};
};

class BlockServer {
 public:
  // Bytes of puts that one turn gathers before it syncs.
  static constexpr std::size_t kMaxTurnBytes = 32 * 1024 * 1024;

  // The directory and the net context outlive it. `options` as of net::block_port_options, with
  // domain, host and port. Errors: io (the port cannot be bound).
  static Result<std::unique_ptr<BlockServer>> start(const net::Context& context,
                                                    const crypto::LinkKey& key,
                                                    net::ServerOptions options,
                                                    BlockServerContext around,
                                                    BlockDirectory& directory);
  ~BlockServer();
  BlockServer(const BlockServer&) = delete;
  BlockServer& operator=(const BlockServer&) = delete;

  // Link keys of other replicas: they may get and check, not put. At first there are none.
  void set_members(std::set<PublicKey> members);
  void stop();
  std::uint16_t port() const { return server_->port(); }
  BlockServerCounters counters() const;

 private:
  struct PendingPut {
    net::Route from;
    messages::PutBlock block;
  };

  BlockServer(BlockServerContext around, BlockDirectory& directory);
  void run();
  void handle(const net::Route& from, ByteView message);
  void take(const net::Route& from, messages::PutBlock put);
  void take(const net::Route& from, const messages::GetBlock& get);
  void take(const net::Route& from, const messages::CheckBlock& check);
  void store_pending();
  void answer(const net::Route& to, const messages::BlockReply& reply);
  void refuse(const net::Route& to, const Hash& digest, const Error& cause);
  bool of_member(const net::Route& from) const;

  const BlockServerContext around_;
  BlockDirectory& directory_;
  net::Poller poller_;
  std::unique_ptr<net::Server> server_;
  std::vector<PendingPut> pending_;
  std::size_t pending_bytes_ = 0;
  mutable std::mutex mutex_;
  std::set<PublicKey> members_;  // guarded
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> stored_{0}, served_{0}, missing_{0}, refused_{0}, malformed_{0};
  std::thread thread_;
};

}  // namespace bftmeta::blocks
