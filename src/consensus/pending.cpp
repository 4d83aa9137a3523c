#include "consensus/pending.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/mutant.hpp"

namespace bftmeta::consensus {

using messages::Bundle;
using messages::Item;
using messages::ParsedBatch;
using messages::ParsedItem;
using messages::Seq;

const PendingItem* Pending::find(const Hash& digest) const {
  const auto it = items_.find(digest);
  return it == items_.end() ? nullptr : &it->second;
}

bool Pending::has_room(const ParsedItem& parsed, std::size_t size) const {
  if (items_.size() >= kMaxItems || bytes_ + size > kMaxBytes) return false;
  const auto it = bytes_of_.find(parsed.client);
  return it == bytes_of_.end() || it->second + size <= kMaxClientBytes;
}

bool Pending::first_in_line(const ParsedItem& parsed, const StateMachine& machine) const {
  const Bundle* bundle = parsed.bundle();
  return bundle == nullptr || bundle->bundle_no == machine.last_bundle(bundle->session_id) + 1;
}

Pending::Added Pending::add(Item item, std::shared_ptr<const ParsedItem> parsed,
                            const StateMachine& machine, std::uint64_t now_us,
                            std::optional<messages::ReplicaId> forwarder) {
  const Hash digest = parsed->digest;
  if (items_.contains(digest)) return Added::duplicate;
  const std::size_t size = item.body.size();
  if (has_room(*parsed, size)) {
    forwarder.reset();
  } else {
    if (!forwarder || !first_in_line(*parsed, machine)) return Added::full;
    const Usage& used = forwarded_[*forwarder];
    if (used.items >= kMaxForwardItems || used.bytes + size > kMaxForwardBytes) return Added::full;
  }
  if (const Bundle* bundle = parsed->bundle()) {
    // Two bundles of one number: the first is kept, only the equivocating client suffers (§8.4).
    auto [queue, fresh] = bundles_[parsed->client].try_emplace(bundle->session_id);
    if (fresh) queue->second.last = machine.last_bundle(bundle->session_id);
    if (!queue->second.numbers.try_emplace(bundle->bundle_no, digest).second)
      return Added::duplicate;
  } else {
    opens_[parsed->client].try_emplace(digest, true);
  }
  if (forwarder) {
    Usage& used = forwarded_[*forwarder];
    ++used.items;
    used.bytes += size;
  } else {
    bytes_of_[parsed->client] += size;
    bytes_ += size;
  }
  waiting_bytes_ += size;
  PendingItem pending;
  pending.item = std::move(item);
  pending.parsed = std::move(parsed);
  pending.since_us = now_us;
  pending.forwarded_us = now_us;
  pending.forwarder = forwarder;
  items_.emplace(digest, std::move(pending));
  return Added::added;
}

void Pending::set_proposed(PendingItem& item, Seq seq) {
  const std::size_t size = item.item.body.size();
  if (item.proposed_at == 0 && seq != 0) {
    ++proposed_;
    waiting_bytes_ -= size;
  } else if (item.proposed_at != 0 && seq == 0) {
    --proposed_;
    waiting_bytes_ += size;
  }
  item.proposed_at = seq;
}

namespace {

// What one batch may still take.
struct Room {
  std::size_t items = limits::kMaxBundlesPerBatch;
  std::size_t operations = limits::kMaxOpsPerBatch;
  std::size_t bytes = limits::kMaxBatchBytes - 1024;  // less the batch's own fields
  std::uint64_t cost = messages::kMaxBatchCost;

  bool take(const PendingItem& p) {
    const Bundle* bundle = p.parsed->bundle();
    const std::size_t ops = bundle == nullptr ? 0 : bundle->operations.size();
    const std::size_t size = p.item.body.size() + 80;  // kind, count, signature
    std::uint64_t c = 0;
    if (bundle != nullptr)
      for (const schema::Operation& op : bundle->operations) c += schema::cost_of(op);
    if (items == 0 || operations < ops || bytes < size || cost < c) return false;
    items -= 1;
    operations -= ops;
    bytes -= size;
    cost -= c;
    return true;
  }
};

}  // namespace

// Each queue counts on by itself: who names a session that is not its own must not move the
// owner's place in line.
std::map<PublicKey, std::vector<Pending::Line>> Pending::lines() const {
  std::map<PublicKey, std::vector<Line>> lines;
  for (const auto& [client, sessions] : bundles_)
    for (const auto& [session, queue] : sessions) {
      Line line{&queue.numbers, queue.last + 1};
      while (line.digest() != nullptr && items_.at(*line.digest()).proposed_at != 0) ++line.next;
      lines[client].push_back(line);
    }
  for (const auto& [client, digests] : opens_) lines[client];
  return lines;
}

std::vector<Item> Pending::take(Seq seq) {
  std::vector<Item> out;
  Room room;
  const auto offer = [&](const Hash& digest) {
    PendingItem& p = items_.at(digest);
    if (!room.take(p)) return false;
    set_proposed(p, seq);
    out.push_back(p.item);
    return true;
  };

  auto waiting = lines();
  std::vector<PublicKey> order;  // of clients, from the one after the last served
  for (const auto& [client, unused] : waiting) order.push_back(client);
  std::ranges::rotate(order, std::ranges::upper_bound(order, last_served_));

  bool progress = true;
  while (progress) {
    progress = false;
    for (const PublicKey& client : order) {
      if (const auto it = opens_.find(client); it != opens_.end())
        for (const auto& [digest, unused] : it->second)
          if (items_.at(digest).proposed_at == 0 && offer(digest)) {
            progress = true;
            break;
          }
      for (Line& line : waiting.at(client)) {
        if (line.digest() == nullptr || !offer(*line.digest())) continue;
        ++line.next;
        last_served_ = client;
        progress = true;
      }
    }
  }
  return out;
}

void Pending::mark_proposed(const ParsedBatch& batch) {
  for (const ParsedItem& item : batch.items)
    if (const auto it = items_.find(item.digest); it != items_.end())
      set_proposed(it->second, batch.batch.seq);
}

std::uint64_t Pending::executed(const ParsedBatch& batch, const StateMachine& machine,
                                std::uint64_t now_us) {
  std::uint64_t longest = 0;
  const auto waited = [&](const Hash& digest) {
    const PendingItem& p = items_.at(digest);
    if (p.proposed_at == batch.batch.seq) longest = std::max(longest, now_us - p.since_us);
  };
  std::set<std::pair<PublicKey, Id16>> sessions;
  for (const ParsedItem& item : batch.items) {
    if (const Bundle* bundle = item.bundle()) {
      sessions.emplace(item.client, bundle->session_id);
    } else if (items_.contains(item.digest)) {
      waited(item.digest);
      erase(item.digest);
    }
  }
  for (const auto& [client, session] : sessions) {
    const auto of_client = bundles_.find(client);
    if (of_client == bundles_.end()) continue;
    const auto found = of_client->second.find(session);
    if (found == of_client->second.end()) continue;
    SessionQueue& queue = found->second;
    const std::uint64_t before = std::exchange(queue.last, machine.last_bundle(session));
    if (queue.last == before) continue;
    if (const auto first = queue.numbers.find(before + 1); first != queue.numbers.end())
      waited(first->second);
    if (const auto first = queue.numbers.find(queue.last + 1); first != queue.numbers.end())
      items_.at(first->second).since_us = now_us;
    if (mutant(Mutant::twin_bundle_stays)) {
      for (const ParsedItem& item : batch.items) erase(item.digest);
      continue;
    }
    const bool ended = queue.last < before;
    const auto end = ended ? queue.numbers.end() : queue.numbers.upper_bound(queue.last);
    std::vector<Hash> gone;
    for (auto it = queue.numbers.begin(); it != end; ++it) gone.push_back(it->second);
    for (const Hash& digest : gone) erase(digest);
  }
  for (const ParsedItem& item : batch.items)
    if (const auto it = items_.find(item.digest); it != items_.end()) {
      set_proposed(it->second, 0);
      if (machine.admit(item) != Admission::accept) erase(item.digest);
    }
  return longest;
}

void Pending::moved_on(const StateMachine& machine, std::uint64_t now_us) {
  drop_dead(machine);
  for (auto& [client, sessions] : bundles_)
    for (auto& [session, queue] : sessions) queue.last = machine.last_bundle(session);
  for (auto& [digest, item] : items_) item.since_us = now_us;
}

void Pending::drop_dead(const StateMachine& machine) {
  std::vector<Hash> dead;
  for (const auto& [digest, item] : items_)
    if (machine.admit(*item.parsed) != Admission::accept) dead.push_back(digest);
  for (const Hash& digest : dead) erase(digest);
}

void Pending::erase(const Hash& digest) {
  const auto it = items_.find(digest);
  if (it == items_.end()) return;
  set_proposed(it->second, 0);
  const std::size_t size = it->second.item.body.size();
  waiting_bytes_ -= size;
  if (it->second.forwarder) {
    Usage& used = forwarded_[*it->second.forwarder];
    --used.items;
    used.bytes -= size;
  } else {
    bytes_ -= size;
    const auto client = bytes_of_.find(it->second.parsed->client);
    if ((client->second -= size) == 0) bytes_of_.erase(client);
  }
  const ParsedItem& parsed = *it->second.parsed;
  if (const Bundle* bundle = parsed.bundle()) {
    auto client = bundles_.find(parsed.client);
    auto session = client->second.find(bundle->session_id);
    session->second.numbers.erase(bundle->bundle_no);
    if (session->second.numbers.empty()) client->second.erase(session);
    if (client->second.empty()) bundles_.erase(client);
  } else {
    auto client = opens_.find(parsed.client);
    client->second.erase(digest);
    if (client->second.empty()) opens_.erase(client);
  }
  items_.erase(it);
}

void Pending::requeue_all(std::uint64_t now_us) {
  for (auto& [digest, item] : items_) {
    set_proposed(item, 0);
    item.since_us = now_us;
    item.forwarded_us = 0;  // the new primary has none of them
  }
}

void Pending::for_each_timed(
    const std::function<void(const Hash&, const PendingItem&)>& visit) const {
  for (const auto& [client, sessions] : bundles_)
    for (const auto& [session, queue] : sessions)
      if (const auto& [number, digest] = *queue.numbers.begin();
          number <= queue.last + 1 || mutant(Mutant::gaps_timed))
        visit(digest, items_.at(digest));
  for (const auto& [client, digests] : opens_)
    for (const auto& [digest, unused] : digests) visit(digest, items_.at(digest));
}

std::vector<Item> Pending::take_forwards(const StateMachine& machine, std::uint64_t age_us,
                                         std::size_t max_bytes, std::uint64_t now_us) {
  std::vector<Hash> due;
  for_each_timed([&](const Hash& digest, const PendingItem& p) {
    if (p.proposed_at == 0 && now_us - p.forwarded_us >= age_us) due.push_back(digest);
  });
  std::ranges::stable_sort(due, {},
                           [this](const Hash& digest) { return items_.at(digest).forwarded_us; });
  std::vector<Item> out;
  for (const Hash& digest : due) {
    PendingItem& p = items_.at(digest);
    if (machine.admit(*p.parsed) != Admission::accept && !mutant(Mutant::twin_bundle_stays)) {
      erase(digest);
      continue;
    }
    if (p.item.body.size() > max_bytes) break;
    max_bytes -= p.item.body.size();
    p.forwarded_us = now_us;
    out.push_back(p.item);
  }
  return out;
}

}  // namespace bftmeta::consensus
