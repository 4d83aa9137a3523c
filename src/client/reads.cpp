#include "client/reads.hpp"

#include <algorithm>

namespace bftmeta::client {

namespace {

constexpr std::size_t kMaxMessages = 4;  // that are not late, at a time
constexpr Micros kHedgeAtFirst = 50'000;
constexpr Micros kLeastHedge = 5'000;
constexpr Micros kMostHedge = 100'000;
// A replica waits up to 50 ms for a root that is new enough before it says too_old.
constexpr Micros kLeastTimeout = 150'000;
constexpr Micros kFirstPause = 50'000;
constexpr Micros kMostPause = 2'000'000;
constexpr Micros kMostReadGather = 200;
// A replica that starts again may hold no certificate until it has heard its peers.
constexpr Micros kEmptyPatience = 2'000'000;

}  // namespace

void Reads::add(ReadUnit unit) {
  auto shared = std::make_shared<Unit>();
  shared->read = std::move(unit);
  shared->tried = shared->read.avoid;
  waiting_.push_back(std::move(shared));
}

Micros Reads::hedge_delay() const {
  const Micros p95 = core_.replicas.reads().quantile(0.95, kHedgeAtFirst);
  return std::clamp(p95, kLeastHedge, kMostHedge);
}

Micros Reads::reply_timeout() const { return core_.replicas.reads().timeout(kLeastTimeout); }

std::size_t Reads::prompt_messages() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(messages_, [](const auto& m) { return !m.second.late; }));
}

bool Reads::may_send(const Now& now) const {
  std::size_t queries = 0;
  for (const Shared& u : waiting_)
    if (now.mono >= u->not_before) queries += u->read.queries.size();
  if (queries == 0) return false;
  const std::size_t prompt = prompt_messages();
  if (queries >= limits::kMaxQueriesPerRead) return prompt < kMaxMessages;
  return prompt == 0 && (now.mono >= gather_until_ || waiting_.size() >= gather_count_);
}

std::vector<Reads::Shared> Reads::take(const Now& now, ReplicaSet& avoid) {
  std::vector<Shared> units;
  std::size_t queries = 0;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const Shared& u = *it;
    const bool fits =
        queries + u->read.queries.size() <= limits::kMaxQueriesPerRead &&
        (units.empty() || (!u->alone && !units.front()->alone && u->tried == units.front()->tried));
    if (now.mono < u->not_before || !fits) {
      ++it;
      continue;
    }
    queries += u->read.queries.size();
    avoid = u->tried;
    units.push_back(std::move(*it));
    it = waiting_.erase(it);
  }
  return units;
}

void Reads::send_waiting(const Now& now) {
  ReplicaSet avoid = 0;
  std::vector<Shared> units = take(now, avoid);
  if (const auto to = core_.replicas.choose_reader(now.mono, avoid, core_.port.connected()))
    return send(*to, std::move(units), false, now);
  if (core_.replicas.all_blacklisted(now.mono)) {
    for (const Shared& u : units)
      finish(*u,
             fail(Errc::unverified,
                  "read: every replica has sent an answer that does not verify; is the genesis "
                  "that of this cluster?"),
             now);
    return;
  }
  // Nobody is left to ask. If several did not even answer, our own network is the likely cause.
  for (Shared& u : units) {
    if (found_empty(*u, now)) {
      finish(*u,
             fail(Errc::not_found,
                  "read: the cluster has executed nothing yet, so there is no certified root; its "
                  "first operation makes one, for instance that of a mount"),
             now);
      continue;
    }
    pause(*u, now);
    waiting_.push_back(std::move(u));
  }
}

// Not proven by anything, so it ends a wait and decides nothing else: who has ever seen a
// certificate goes on waiting for one.
bool Reads::found_empty(Unit& unit, const Now& now) const {
  if (core_.certificates.newest_seq() != 0 || count(unit.nothing) < core_.replicas.quorum()) {
    unit.nothing_since = 0;
    return false;
  }
  if (unit.nothing_since == 0) unit.nothing_since = now.mono;
  return now.mono - unit.nothing_since >= kEmptyPatience;
}

void Reads::pause(Unit& unit, const Now& now) {
  const std::uint32_t doublings = std::min<std::uint32_t>(unit.rounds++, 16);
  unit.tried = 0;
  unit.timed_out = 0;
  unit.nothing = 0;
  unit.not_before =
      now.mono + core_.replicas.jittered(std::min(kFirstPause << doublings, kMostPause));
}

void Reads::send(ReplicaId to, std::vector<Shared> units, bool hedge, const Now& now) {
  messages::Read read;
  read.request_id = next_request_++;
  read.min_seq = core_.certificates.newest_seq();
  read.known_cert = read.min_seq;
  for (const Shared& u : units) {
    read.min_seq = std::max(read.min_seq, u->read.min_seq);
    read.queries.insert(read.queries.end(), u->read.queries.begin(), u->read.queries.end());
    ++u->messages;
  }
  core_.send(to, read);
  messages_.emplace(read.request_id,
                    Message{to, read.min_seq, now.mono, hedge, false, std::move(units)});
}

void Reads::hedge(Message& message, const Now& now) {
  message.hedged = true;
  message.late = true;
  ReplicaSet avoid = bit(message.to);
  for (const Shared& u : message.units) avoid |= u->tried;
  std::vector<Shared> open;
  std::ranges::copy_if(message.units, std::back_inserter(open),
                       [](const Shared& u) { return !u->finished; });
  if (open.empty()) return;
  if (const auto to = core_.replicas.choose_reader(now.mono, avoid, core_.port.connected()))
    send(*to, std::move(open), true, now);
}

void Reads::time_out(const Now& now) {
  const Micros timeout = reply_timeout();
  const Micros late = hedge_delay();
  std::vector<std::uint64_t> dead;
  std::vector<std::uint64_t> slow;
  for (const auto& [id, m] : messages_) {
    if (now.mono >= m.sent + timeout)
      dead.push_back(id);
    else if (!m.hedged && now.mono >= m.sent + late)
      slow.push_back(id);
  }
  for (const std::uint64_t id : slow) hedge(messages_.at(id), now);
  for (const std::uint64_t id : dead) {
    const Message m = std::move(messages_.at(id));
    messages_.erase(id);
    core_.replicas.note_bad_read(m.to);
    retry(m.units, m.to, true, now);
  }
}

void Reads::retry(const std::vector<Shared>& units, ReplicaId failed, bool timed_out,
                  const Now& now) {
  for (const Shared& u : units) {
    --u->messages;
    u->tried |= bit(failed);
    if (timed_out) u->timed_out |= bit(failed);
    if (u->finished || u->messages > 0) continue;
    // f + 1 silent replicas include a correct one: it is our network. Do not add to its load.
    if (count(u->timed_out) > core_.replicas.f()) pause(*u, now);
    waiting_.push_front(u);
  }
}

void Reads::finish(Unit& unit, const Status& status, const Now& now) {
  unit.finished = true;
  unit.read.done(status, now);
}

void Reads::expire(const Now& now) {
  const auto check = [&](const Shared& u) {
    if (u->finished || now.mono < u->read.deadline) return;
    if (const auto why = turned_away(core_.replicas.n(), core_.port.refused()))
      return finish(*u, fail(Errc::permission, "read: " + *why), now);
    finish(*u,
           fail(Errc::unreachable, "read: no replica gave a verified answer within " +
                                       std::to_string(core_.options.timeout.count()) +
                                       " ms; are the replicas running (bftadm status), and is "
                                       "the genesis theirs?"),
           now);
  };
  for (const auto& [id, m] : messages_) std::ranges::for_each(m.units, check);
  // done() may add reads of its own, so the queue is not walked while it runs.
  const std::vector<Shared> waiting(waiting_.begin(), waiting_.end());
  std::ranges::for_each(waiting, check);
  std::erase_if(waiting_, [](const Shared& u) { return u->finished; });
}

void Reads::poll(const Now& now) {
  expire(now);
  time_out(now);
  while (may_send(now)) send_waiting(now);
}

Micros Reads::next_wake() const {
  Micros wake = kNever;
  const auto at = [&wake](Micros t) { wake = std::min(wake, t); };
  const Micros timeout = reply_timeout();
  const Micros late = hedge_delay();
  for (const auto& [id, m] : messages_) {
    at(m.sent + (m.hedged ? timeout : std::min(late, timeout)));
    for (const Shared& u : m.units)
      if (!u->finished) at(u->read.deadline);
  }
  const bool free = prompt_messages() == 0;
  for (const Shared& u : waiting_) {
    at(u->read.deadline);
    if (free) at(std::max(u->not_before, gather_until_));
  }
  return wake;
}

void Reads::on_reply(ReplicaId from, const messages::ReadReply& reply, ByteView evidence,
                     const Now& now) {
  const auto at = messages_.find(reply.request_id);
  if (at == messages_.end() || at->second.to != from) return;
  const Message message = std::move(at->second);
  messages_.erase(at);
  if (reply.status == messages::ReadStatus::ok) {
    const auto verified = verify::verify_read(reply, message.min_seq, core_.certificates);
    if (verified) return accept(message, *verified, reply, evidence, now);
    core_.blame(from, reply.seq, verified.error(), evidence, now.mono);
    return retry(message.units, from, false, now);
  }
  if (reply.status == messages::ReadStatus::too_large) return split(message, now);
  if (reply.status == messages::ReadStatus::too_old && reply.seq == 0 && !reply.cert)
    for (const Shared& u : message.units) u->nothing |= bit(from);
  core_.replicas.note_bad_read(from);
  retry(message.units, from, false, now);
}

void Reads::split(const Message& message, const Now& now) {
  if (message.units.size() > 1) {
    for (const Shared& u : message.units) {
      --u->messages;
      u->alone = true;
      if (!u->finished && u->messages == 0) waiting_.push_back(u);
    }
    return;
  }
  Unit& unit = *message.units.front();
  unit.too_large |= bit(message.to);
  // One replica may lie about it, f + 1 do not all.
  if (!unit.finished && count(unit.too_large) > core_.replicas.f())
    finish(unit, fail(Errc::limit, "read: the proof would be too large; ask for less at a time"),
           now);
  retry(message.units, message.to, false, now);
}

void Reads::accept(const Message& message, const verify::VerifiedRead& verified,
                   const messages::ReadReply& reply, ByteView evidence, const Now& now) {
  core_.replicas.note_read(message.to, now.mono - message.sent);
  gather_count_ = message.units.size();
  gather_until_ =
      gather_count_ < 2 ? 0 : now.mono + std::min(kMostReadGather, (now.mono - message.sent) / 8);
  std::vector<Shared> uncovered;
  for (const Shared& u : message.units) {
    if (u->finished) {
      --u->messages;
      continue;
    }
    const Status taken = u->read.accept(verified, reply);
    if (taken) {
      --u->messages;
      finish(*u, {}, now);
      continue;
    }
    if (uncovered.empty()) core_.blame(message.to, reply.seq, taken.error(), evidence, now.mono);
    uncovered.push_back(u);
  }
  retry(uncovered, message.to, false, now);
}

void Reads::follow(const Renumbering& moved) {
  for (const auto& [id, m] : std::exchange(messages_, {}))
    for (const Shared& u : m.units) {
      const bool carried = std::exchange(u->messages, 0) > 0;  // by two messages, if hedged
      if (carried && !u->finished) waiting_.push_back(u);
    }
  for (const Shared& u : waiting_) {
    u->read.avoid = moved.set(u->read.avoid);
    u->tried = u->read.avoid;
    u->timed_out = 0;
    u->too_large = 0;
    u->nothing = 0;
    u->not_before = 0;
  }
}

void Reads::fail_all(const Error& error, const Now& now) {
  std::vector<Shared> all(waiting_.begin(), waiting_.end());
  for (const auto& [id, m] : messages_) all.insert(all.end(), m.units.begin(), m.units.end());
  waiting_.clear();
  messages_.clear();
  for (const Shared& u : all)
    if (!u->finished) finish(*u, tl::make_unexpected(error), now);
}

}  // namespace bftmeta::client
