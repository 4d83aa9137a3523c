// A connection to one server whose CURVE key is known: a DEALER that reconnects for ever with
// back-off. Nothing blocks: send() queues (bounded), flush() passes on what an established
// connection takes. While there is none, an overflowing queue gives up its old messages for the new
// one; messages under way when a connection breaks are lost. Thread-safety: one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/connection_audit.hpp"
#include "net/outbox.hpp"

namespace bftmeta::net {

struct LinkOptions {
  std::string host;  // name or address literal
  std::uint16_t port = 0;
  PublicKey server_key{};
  OutboxLimits outbox;                       // max_frame holds for both directions
  std::uint64_t max_unread = 0;              // bytes that wait in libzmq; one more: cut off
  std::size_t turn_bytes = 8 * 1024 * 1024;  // receive() stops after this many
};

// As client_port_options and block_port_options on the other side; endpoint left for the caller.
LinkOptions client_link_options();
LinkOptions block_link_options();

enum class LinkState {
  connecting,
  connected,
  refused,  // the server does not know our key; tried again, seldom
};

struct LinkCounters {
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  std::uint64_t connects = 0;
  std::uint64_t disconnects = 0;
  std::uint64_t refusals = 0;
  std::uint64_t dropped_malformed = 0;  // frames
  std::uint64_t dropped_sends = 0;      // messages
};

class ClientLink final : public PollSource {
 public:
  using Sink = std::function<void(ByteView message)>;

  // Errc::invalid_argument for a host or port that cannot be an address. Whether anybody listens
  // there shows in state() later.
  static Result<std::unique_ptr<ClientLink>> open(const Context& context,
                                                  const crypto::LinkKey& key, LinkOptions options,
                                                  std::shared_ptr<Waker> waker);

  LinkState state() const { return state_; }
  const std::string& endpoint() const { return endpoint_; }

  void collect(PollSet& set) override;
  // The number of messages handed up; their views are valid during the call only. Also does the
  // housekeeping of the connection, so call it every turn.
  std::size_t receive(const Sink& sink);
  // Queues for the end of the turn. False: dropped, because the queue is full.
  bool send(ByteView message);
  void flush();

  const LinkCounters& counters() const { return counters_; }
  std::size_t unsent_bytes() const { return outbox_.queued_bytes() + outbox_.in_flight_bytes(); }

 private:
  ClientLink(const Context& context, const crypto::LinkKey& key, LinkOptions options,
             std::shared_ptr<Waker> waker);
  Status connect();
  void handle_events(std::int64_t now_us);
  void handle_event(const ConnectionEvent& event, std::int64_t now_us);
  void lose_connection();
  void give_up(LinkState why, std::int64_t now_us);
  void reconnect_if_stuck(std::int64_t now_us);
  std::size_t receive_frames(const Sink& sink);

  const Context& context_;
  crypto::LinkKey key_;
  LinkOptions options_;
  std::string endpoint_;
  Outbox outbox_;
  Socket socket_;
  std::unique_ptr<ConnectionAudit> audit_;
  LinkState state_ = LinkState::connecting;
  std::int64_t last_event_us_ = 0;
  std::int64_t retry_at_us_ = 0;  // after a refusal; 0: none due
  std::uint32_t failures_in_a_row_ = 0;
  std::vector<ByteView> messages_;
  LinkCounters counters_;
};

}  // namespace bftmeta::net
