#include "net/client_link.hpp"

#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "net/auth.hpp"

namespace bftmeta::net {

namespace {

constexpr int kReconnectMs = 50;
constexpr int kMaxReconnectMs = 2000;
constexpr int kConnectTimeoutMs = 3000;
// libzmq gives a connection up for good after a protocol error or a refusal by the other side, so
// the socket is made anew: with back-off, or when nothing at all was heard of it for so long.
constexpr std::int64_t kStuckUs = 5 * kSecond;
constexpr std::uint32_t kMaxBackOffShift = 3;  // 0.5 s, 1 s, 2 s, 4 s

}  // namespace

LinkOptions client_link_options() {
  LinkOptions options;
  options.outbox = {
      .max_frame = limits::kMaxFrame, .max_queued = 8 * kMiB, .max_in_flight = 2 * kMiB};
  options.max_unread = 32 * kMiB;
  return options;
}

LinkOptions block_link_options() {
  LinkOptions options;
  options.outbox = {
      .max_frame = limits::kMaxBlockFrame, .max_queued = 32 * kMiB, .max_in_flight = 8 * kMiB};
  options.max_unread = 64 * kMiB;
  options.turn_bytes = 16 * kMiB;
  return options;
}

ClientLink::ClientLink(const Context& context, const crypto::LinkKey& key, LinkOptions options,
                       std::shared_ptr<Waker> waker)
    : context_(context),
      key_(key),
      options_(std::move(options)),
      endpoint_(tcp_endpoint(options_.host, options_.port)),
      outbox_(options_.outbox, std::move(waker)) {}

Result<std::unique_ptr<ClientLink>> ClientLink::open(const Context& context,
                                                     const crypto::LinkKey& key,
                                                     LinkOptions options,
                                                     std::shared_ptr<Waker> waker) {
  std::unique_ptr<ClientLink> link(
      new ClientLink(context, key, std::move(options), std::move(waker)));
  if (link->options_.port == 0)
    return fail(Errc::invalid_argument, "cannot connect to " + link->endpoint_ + ": port 0");
  BFTMETA_TRY(link->connect());
  return link;
}

Status ClientLink::connect() {
  audit_.reset();
  socket_ = Socket(context_.get(), ZMQ_DEALER);
  retry_at_us_ = 0;
  last_event_us_ = steady_us();
  set_link_options(socket_, options_.outbox.max_frame);
  set_address_family(socket_, options_.host);
  // No queue inside libzmq before there is a connection: ours knows how to forget.
  socket_.set(ZMQ_IMMEDIATE, 1);
  socket_.set(ZMQ_RECONNECT_IVL, kReconnectMs);
  socket_.set(ZMQ_RECONNECT_IVL_MAX, kMaxReconnectMs);
  socket_.set(ZMQ_CONNECT_TIMEOUT, kConnectTimeoutMs);
  set_curve_keys(socket_, key_);
  socket_.set_key(ZMQ_CURVE_SERVERKEY, options_.server_key);
  audit_ = std::make_unique<ConnectionAudit>(context_, socket_,
                                             AuditLimits{.max_connections = 2,
                                                         .max_unread = options_.max_unread,
                                                         .max_unread_in_all = options_.max_unread},
                                             ZMQ_EVENT_ALL);
  if (zmq_connect(socket_.get(), endpoint_.c_str()) != 0)
    return fail(Errc::invalid_argument, "cannot connect to " + endpoint_ + ": " +
                                            zmq_strerror(zmq_errno()) +
                                            "; give a host name or an address");
  return {};
}

void ClientLink::collect(PollSet& set) {
  set.add(socket_);
  set.add(audit_->monitor());
}

void ClientLink::lose_connection() {
  if (state_ != LinkState::connected) return;
  state_ = LinkState::connecting;
  ++counters_.disconnects;
  // Old news by the time the next connection stands; the protocol above asks again.
  counters_.dropped_sends += outbox_.clear();
}

// libzmq reports bytes that do not decrypt as a failed handshake too, at any time, and may then
// leave the connection open without reading it.
void ClientLink::give_up(LinkState why, std::int64_t now_us) {
  lose_connection();
  state_ = why;
  retry_at_us_ = now_us + (kSecond / 2 << std::min(failures_in_a_row_++, kMaxBackOffShift));
}

void ClientLink::handle_event(const ConnectionEvent& event, std::int64_t now_us) {
  last_event_us_ = now_us;
  switch (event.type) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      state_ = LinkState::connected;
      failures_in_a_row_ = 0;
      ++counters_.connects;
      break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      ++counters_.refusals;
      give_up(LinkState::refused, now_us);
      break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: give_up(LinkState::connecting, now_us); break;
    case ZMQ_EVENT_DISCONNECTED:
      lose_connection();
      if (retry_at_us_ == 0) retry_at_us_ = now_us + kSecond;
      break;
    case ZMQ_EVENT_CONNECT_RETRIED:  // libzmq does it by itself: nobody listens there
      retry_at_us_ = 0;
      if (state_ == LinkState::refused) state_ = LinkState::connecting;
      break;
    default: break;
  }
}

void ClientLink::handle_events(std::int64_t now_us) {
  for (ConnectionEvent event; audit_->next_event(event);) handle_event(event, now_us);
}

void ClientLink::reconnect_if_stuck(std::int64_t now_us) {
  if (state_ == LinkState::connected) return;
  const bool due = retry_at_us_ != 0 ? now_us >= retry_at_us_ : now_us - last_event_us_ > kStuckUs;
  // The endpoint was good when the link was opened, so this cannot fail for its form.
  if (due && !connect()) retry_at_us_ = now_us + kSecond;
}

std::size_t ClientLink::receive(const Sink& sink) {
  const std::int64_t now_us = steady_us();
  handle_events(now_us);
  const std::size_t handed_up = receive_frames(sink);
  if (audit_->due(now_us)) audit_->check(now_us);
  reconnect_if_stuck(now_us);
  return handed_up;
}

std::size_t ClientLink::receive_frames(const Sink& sink) {
  std::size_t taken_bytes = 0;
  std::size_t handed_up = 0;
  while (taken_bytes < options_.turn_bytes) {
    Message frame;
    if (!frame.take(socket_)) break;
    taken_bytes += frame.view().size() + kFrameCost;
    const int fd = frame.connection_fd();
    std::size_t on_wire = wire_bytes(frame.view().size());
    const bool multi_part = frame.more();
    if (multi_part) on_wire += discard_rest(socket_, frame);
    if (!audit_->delivered(fd, on_wire)) {
      handle_events(steady_us());
      audit_->delivered(fd, on_wire);
    }
    if (multi_part || !split_frame(frame.view(), messages_)) {
      ++counters_.dropped_malformed;
      continue;
    }
    ++counters_.frames;
    counters_.messages += messages_.size();
    handed_up += messages_.size();
    for (const ByteView message : messages_) sink(message);
  }
  return handed_up;
}

bool ClientLink::send(ByteView message) {
  if (outbox_.push(message)) return true;
  if (state_ != LinkState::connected && outbox_.sendable(message)) {
    counters_.dropped_sends += outbox_.clear();
    if (outbox_.push(message)) return true;
  }
  ++counters_.dropped_sends;
  return false;
}

void ClientLink::flush() {
  if (state_ != LinkState::connected || outbox_.empty()) return;
  socket_.touch();
  outbox_.flush([this](zmq_msg_t* body) {
    return zmq_msg_send(body, socket_.get(), ZMQ_DONTWAIT) < 0 ? SendOutcome::full
                                                               : SendOutcome::sent;
  });
}

}  // namespace bftmeta::net
