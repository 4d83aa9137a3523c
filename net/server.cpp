#include "net/server.hpp"

#include <netdb.h>

#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "net/descriptors.hpp"

namespace bftmeta::net {

namespace {

// Not the failures of handshakes: reporting one overwrites the error code by which libzmq closes
// the connection, and it stays open unread until its peer ends it.
constexpr int kEvents = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED;
constexpr std::int64_t kForgiveBansAfter = 600 * kSecond;
constexpr std::uint32_t kMaxBanShift = 6;  // 64 s
constexpr std::uint32_t kMutedFrames = 100;

ServerOptions common_options() {
  ServerOptions options;
  options.max_connections = connections_per_port();
  options.max_unread_in_all = 512 * kMiB;
  options.turn_bytes = 8 * kMiB;
  return options;
}

// libzmq listens on address literals only; a name in the configuration is looked up here.
Result<std::string> listen_address(const std::string& host) {
  if (host.empty()) return fail(Errc::invalid_argument, "cannot listen: the host is empty");
  if (host == "*") return std::string("0.0.0.0");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int rc = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); rc != 0)
    return fail(Errc::io, "cannot listen on host \"" + host + "\": " + ::gai_strerror(rc) +
                              "; use a name or an address of this machine, or *");
  char literal[NI_MAXHOST] = "";
  const int rc = ::getnameinfo(found->ai_addr, found->ai_addrlen, literal, sizeof literal, nullptr,
                               0, NI_NUMERICHOST);
  ::freeaddrinfo(found);
  if (rc != 0)
    return fail(Errc::io, "cannot listen on host \"" + host + "\": " + ::gai_strerror(rc));
  return std::string(literal);
}

std::string bind_advice(int error) {
  switch (error) {
    case EADDRINUSE:
      return "the port is in use; stop the process that holds it (ss -ltnp shows it) or choose "
             "another port";
    case EADDRNOTAVAIL:
    case ENODEV: return "this machine has no such address; use one of its own, or *";
    case EACCES: return "no permission; ports below 1024 need CAP_NET_BIND_SERVICE";
    default: return zmq_strerror(error);
  }
}

}  // namespace

ServerOptions peer_port_options() {
  ServerOptions options = common_options();
  options.max_unread = 64 * kMiB;
  options.outbox = {
      .max_frame = limits::kMaxFrame, .max_queued = 16 * kMiB, .max_in_flight = 4 * kMiB};
  options.rates = {.bytes_per_s = 256 * kMiB,
                   .burst_bytes = 64 * kMiB,
                   .messages_per_s = 400'000,
                   .burst_messages = 100'000};
  return options;
}

ServerOptions client_port_options() {
  ServerOptions options = common_options();
  options.max_unread = 10 * kMiB;
  options.outbox = {
      .max_frame = limits::kMaxFrame, .max_queued = 4 * kMiB, .max_in_flight = 2 * kMiB};
  options.rates = {.bytes_per_s = 64 * kMiB,
                   .burst_bytes = 16 * kMiB,
                   .messages_per_s = 100'000,
                   .burst_messages = 50'000};
  options.offences_per_s = 1000;
  return options;
}

ServerOptions block_port_options() {
  ServerOptions options = common_options();
  options.max_unread = 24 * kMiB;
  options.outbox = {
      .max_frame = limits::kMaxBlockFrame, .max_queued = 16 * kMiB, .max_in_flight = 4 * kMiB};
  options.rates = {.bytes_per_s = 1024 * kMiB,
                   .burst_bytes = 256 * kMiB,
                   .messages_per_s = 50'000,
                   .burst_messages = 20'000};
  options.turn_bytes = 16 * kMiB;
  options.offences_per_s = 1000;
  return options;
}

Server::Server(const Context& context, const crypto::LinkKey& key, ServerOptions options,
               std::shared_ptr<Waker> waker)
    : options_(std::move(options)),
      waker_(std::move(waker)),
      socket_(context.get(), ZMQ_ROUTER),
      audit_(context, socket_,
             {.max_connections = options_.max_connections,
              .max_unread = options_.max_unread,
              .max_unread_in_all = options_.max_unread_in_all},
             kEvents) {
  set_link_options(socket_, options_.outbox.max_frame);
  socket_.set(ZMQ_ROUTER_MANDATORY, 1);
  socket_.set(ZMQ_CURVE_SERVER, 1);
  set_curve_keys(socket_, key);
  socket_.set_text(ZMQ_ZAP_DOMAIN, options_.domain->name());
}

Result<std::unique_ptr<Server>> Server::bind(const Context& context, const crypto::LinkKey& key,
                                             ServerOptions options, std::shared_ptr<Waker> waker) {
  std::unique_ptr<Server> server(new Server(context, key, std::move(options), std::move(waker)));
  BFTMETA_TRY(server->bind_endpoint());
  return server;
}

Status Server::bind_endpoint() {
  BFTMETA_ASSIGN(const std::string address, listen_address(options_.host));
  set_address_family(socket_, address);
  const std::string wanted = tcp_endpoint(address, options_.port);
  if (zmq_bind(socket_.get(), wanted.c_str()) != 0)
    return fail(Errc::io, "cannot listen on " + wanted + ": " + bind_advice(zmq_errno()));
  char bound[256] = "";
  std::size_t size = sizeof bound;
  zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, bound, &size);
  endpoint_ = bound;
  port_ = static_cast<std::uint16_t>(std::stoul(endpoint_.substr(endpoint_.rfind(':') + 1)));
  return {};
}

void Server::drop_removed_keys() {
  const std::uint64_t revision = options_.domain->revision();
  if (revision == revision_) return;
  revision_ = revision;
  std::erase_if(peers_, [&](auto& peer) { return !options_.domain->allowed(peer.first); });
  std::erase_if(places_, [&](auto& place) { return !peers_.contains(place.second.route.key); });
}

Server::Peer* Server::find_peer(const PublicKey& key, std::int64_t now_us) {
  if (const auto it = peers_.find(key); it != peers_.end()) return &it->second;
  if (!options_.domain->allowed(key)) return nullptr;
  const Rates& rates = options_.rates;
  Peer peer{.bytes = TokenBucket(rates.bytes_per_s, rates.burst_bytes, now_us),
            .messages = TokenBucket(rates.messages_per_s, rates.burst_messages, now_us)};
  return &peers_.emplace(key, std::move(peer)).first->second;
}

const Server::Connection* Server::find_connection(const Route& route) const {
  const auto peer = peers_.find(route.key);
  if (peer == peers_.end()) return nullptr;
  const auto connection = peer->second.connections.find(route.number);
  if (connection == peer->second.connections.end() || connection->second.shut) return nullptr;
  return &connection->second;
}

Server::Connection* Server::find_connection(const Route& route) {
  return const_cast<Connection*>(std::as_const(*this).find_connection(route));
}

std::optional<Route> Server::authenticate(Message& id, Message& body) {
  // Two independent statements of who this is: libzmq's record of the handshake and the routing id
  // that the handler chose. They differ only if a peer got a routing id of its own past it.
  const auto route = options_.domain->route_of(id.view());
  if (!route || body.property("User-Id") != to_hex(route->key)) {
    ++counters_.dropped_forged_route;
    ++counters_.disconnected;
    shut_connection(body.connection_fd());
    return std::nullopt;
  }
  return route;
}

std::size_t Server::receive(const Sink& sink) {
  drop_removed_keys();
  const std::int64_t now_us = steady_us();
  std::size_t taken_bytes = 0;
  std::size_t handed_up = 0;
  while (taken_bytes < options_.turn_bytes) {
    Message id;
    Message body;
    if (!id.take(socket_)) {
      options_.domain->note_all_read();
      break;
    }
    if (!id.more() || !body.receive(socket_)) continue;
    taken_bytes += body.view().size() + kFrameCost;
    handed_up += take_frame(id, body, now_us, sink);
  }
  if (audit_.due(now_us)) {
    take_events();
    audit_.check(now_us);
  }
  return handed_up;
}

void Server::take_events() {
  audit_.monitor().touch();  // no poller waits for it
  for (ConnectionEvent event; audit_.next_event(event);) {
    if (event.type == ZMQ_EVENT_ACCEPTED) continue;
    if (const auto at = places_.find(event.value); at != places_.end()) forget(at->second);
  }
}

// Its number stays, so that what is left of it is told from what comes from the next one.
void Server::forget(Place& place) {
  if (std::exchange(place.over, true)) return;
  const auto peer = peers_.find(place.route.key);
  if (peer == peers_.end()) return;
  const auto connection = peer->second.connections.find(place.route.number);
  if (connection == peer->second.connections.end()) return;
  counters_.dropped_sends += connection->second.outbox.clear();
  peer->second.connections.erase(connection);
}

// Numbers tell who had a descriptor first, and the events of a connection come before anything of
// the next one that has its descriptor. All have to be taken.
bool Server::is_over(const Route& route, int fd) const {
  if (!audit_.is_open(fd)) return true;
  const auto at = places_.find(fd);
  if (at == places_.end() || at->second.route.number < route.number) return false;
  return at->second.over || at->second.route != route;
}

void Server::shut(const Route& route) {
  take_events();  // else its descriptor may be another's by now
  Connection* connection = find_connection(route);
  if (connection == nullptr) return;
  connection->shut = true;
  ++counters_.disconnected;
  counters_.dropped_sends += connection->outbox.clear();
  shut_connection(connection->fd);
}

// One more than a key may have: what was silent longest has probably gone, and else connects anew.
void Server::make_room(const PublicKey& key, const Peer& peer) {
  std::optional<Route> silent;
  std::int64_t heard_us = 0;
  std::size_t open = 0;
  for (const auto& [number, connection] : peer.connections) {
    if (connection.shut) continue;
    ++open;
    if (silent && connection.heard_us >= heard_us) continue;
    silent = Route{key, number};
    heard_us = connection.heard_us;
  }
  if (open >= options_.domain->per_key()) shut(*silent);
}

// False: this server has shut the connection of the frame, and hears it no more. What is left of
// one that is over is heard, and not answered.
bool Server::note_heard(const Route& route, Peer& peer, int fd, std::int64_t now_us) {
  const auto at = places_.find(fd);
  if (at == places_.end() || at->second.over || at->second.route != route) {
    take_events();
    if (is_over(route, fd)) return true;
    make_room(route.key, peer);
    if (is_over(route, fd)) return true;
    Place& place = places_[fd];
    forget(place);
    place = {route, false};
    peer.connections.emplace(route.number, Connection{Outbox(options_.outbox, waker_), fd});
  }
  Connection& connection = peer.connections.at(route.number);
  connection.heard_us = now_us;
  return !connection.shut;
}

std::size_t Server::take_frame(Message& id, Message& body, std::int64_t now_us, const Sink& sink) {
  const int fd = body.connection_fd();
  std::size_t on_wire = wire_bytes(body.view().size());
  const bool multi_part = body.more();
  const auto route = authenticate(id, body);
  if (multi_part) on_wire += discard_rest(socket_, body);
  Peer* peer = route ? find_peer(route->key, now_us) : nullptr;
  const bool heard = peer != nullptr && note_heard(*route, *peer, fd, now_us);
  if (!audit_.delivered(fd, on_wire)) {
    take_events();
    audit_.delivered(fd, on_wire);
  }
  if (!route) return 0;
  if (peer == nullptr) {
    ++counters_.dropped_not_allowed;
    take_events();
    if (is_over(*route, fd)) return 0;
    ++counters_.disconnected;
    shut_connection(fd);
    return 0;
  }
  if (!heard) return 0;
  if (now_us < peer->muted_until_us) {
    drop_muted(*route, *peer);
    return 0;
  }
  if (multi_part || !split_frame(body.view(), messages_)) {
    ++counters_.dropped_malformed;
    offend(*route, *peer, now_us);
    return 0;
  }
  if (!peer->bytes.take(static_cast<std::int64_t>(body.view().size()), now_us) ||
      !peer->messages.take(static_cast<std::int64_t>(messages_.size()), now_us)) {
    ++counters_.dropped_over_rate;
    offend(*route, *peer, now_us);
    return 0;
  }
  ++counters_.frames;
  counters_.messages += messages_.size();
  hung_up_ = false;
  for (std::size_t i = 0; i < messages_.size() && !hung_up_; ++i) sink(*route, messages_[i]);
  return messages_.size();
}

void Server::offend(const Route& route, Peer& peer, std::int64_t now_us) {
  if (options_.offences_per_s == 0) return;
  if (now_us - peer.offences_since_us > kSecond) {
    peer.offences = 0;
    peer.offences_since_us = now_us;
  }
  if (++peer.offences <= options_.offences_per_s) return;
  if (now_us >= peer.banned_until_us) {  // else this was sent before it was banned
    if (now_us - peer.banned_until_us > kForgiveBansAfter) peer.bans = 0;
    peer.banned_until_us = now_us + (kSecond << std::min(peer.bans, kMaxBanShift));
    ++peer.bans;
    options_.domain->ban(route.key, peer.banned_until_us);
  }
  shut(route);
}

void Server::hang_up(const Route& route) {
  hung_up_ = true;
  if (const auto peer = peers_.find(route.key); peer != peers_.end()) {
    peer->second.muted_until_us = steady_us() + kSecond;
    peer->second.muted_frames = 0;
  }
  shut(route);
}

// Who goes on and on does not get in for the rest of it.
void Server::drop_muted(const Route& route, Peer& peer) {
  ++counters_.dropped_over_rate;
  if (++peer.muted_frames <= kMutedFrames) return;
  options_.domain->ban(route.key, peer.muted_until_us);
  shut(route);
}

bool Server::send(const Route& to, ByteView message) {
  Connection* connection = find_connection(to);
  if (connection == nullptr || !connection->outbox.push(message)) {
    ++counters_.dropped_sends;
    return false;
  }
  if (!connection->flushing) {
    connection->flushing = true;
    to_flush_.push_back(to);
  }
  return true;
}

void Server::flush() {
  drop_removed_keys();
  std::erase_if(to_flush_, [this](const Route& route) { return flush_connection(route); });
}

// True when there is nothing left to send to it.
bool Server::flush_connection(const Route& route) {
  Connection* connection = find_connection(route);
  if (connection == nullptr) return true;
  const std::string id = options_.domain->routing_id_of(route);
  socket_.touch();
  const SendOutcome outcome = connection->outbox.flush([&](zmq_msg_t* body) {
    if (zmq_send(socket_.get(), id.data(), id.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
      return zmq_errno() == EAGAIN ? SendOutcome::full : SendOutcome::gone;
    return zmq_msg_send(body, socket_.get(), ZMQ_DONTWAIT) < 0 ? SendOutcome::gone
                                                               : SendOutcome::sent;
  });
  if (outcome == SendOutcome::full) return false;
  connection->flushing = false;
  if (outcome == SendOutcome::gone) forget(places_.at(connection->fd));
  return true;
}

std::size_t Server::unsent_bytes(const Route& to) const {
  const Connection* connection = find_connection(to);
  if (connection == nullptr) return 0;
  return connection->outbox.queued_bytes() + connection->outbox.in_flight_bytes();
}

}  // namespace bftmeta::net
