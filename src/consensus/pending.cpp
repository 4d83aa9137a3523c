#include "consensus/pending.hpp"

#include <set>

namespace bftmeta::consensus {

using messages::Bundle;
using messages::Item;
using messages::ParsedBatch;
using messages::ParsedItem;
using messages::Seq;

Pending::Added Pending::add(Item item, std::shared_ptr<const ParsedItem> parsed,
                            std::uint64_t now_us) {
  const Hash digest = parsed->digest;
  if (items_.contains(digest)) return Added::duplicate;
  const std::size_t size = item.body.size();
  if (items_.size() >= kMaxItems || bytes_ + size > kMaxBytes) return Added::full;
  if (const auto it = bytes_of_.find(parsed->client);
      it != bytes_of_.end() && it->second + size > kMaxClientBytes)
    return Added::full;
  if (const Bundle* bundle = parsed->bundle()) {
    // Two bundles of one number: the first is kept, only the equivocating client suffers (§8.4).
    auto& numbers = bundles_[parsed->client][bundle->session_id];
    if (!numbers.try_emplace(bundle->bundle_no, digest).second) return Added::duplicate;
  } else {
    opens_[parsed->client].try_emplace(digest, true);
  }
  bytes_of_[parsed->client] += size;
  bytes_ += size;
  waiting_bytes_ += size;
  items_.emplace(digest, PendingItem{std::move(item), std::move(parsed), now_us, 0});
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

std::vector<Item> Pending::take(const StateMachine& machine, Seq seq) {
  std::vector<Item> out;
  Room room;
  // The next number of each session that may be proposed now; found once, then counted on.
  std::map<Id16, std::uint64_t> next;
  const auto offer = [&](const Hash& digest) {
    PendingItem& p = items_.at(digest);
    if (!room.take(p)) return false;
    set_proposed(p, seq);
    out.push_back(p.item);
    return true;
  };

  std::set<PublicKey> clients;
  for (const auto& [client, sessions] : bundles_) clients.insert(client);
  for (const auto& [client, digests] : opens_) clients.insert(client);
  std::vector<PublicKey> order(clients.upper_bound(last_served_), clients.end());
  order.insert(order.end(), clients.begin(), clients.upper_bound(last_served_));

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
      const auto it = bundles_.find(client);
      if (it == bundles_.end()) continue;
      for (const auto& [session, numbers] : it->second) {
        auto [n, fresh] = next.try_emplace(session, 0);
        if (fresh) {
          n->second = machine.last_bundle(session) + 1;
          while (numbers.contains(n->second) && items_.at(numbers.at(n->second)).proposed_at != 0)
            ++n->second;
        }
        const auto found = numbers.find(n->second);
        if (found == numbers.end() || !offer(found->second)) continue;
        ++n->second;
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

void Pending::executed(const ParsedBatch& batch, const StateMachine& machine,
                       std::uint64_t now_us) {
  std::set<std::pair<PublicKey, Id16>> sessions;
  for (const ParsedItem& item : batch.items) {
    if (const Bundle* bundle = item.bundle())
      sessions.emplace(item.client, bundle->session_id);
    else
      erase(item.digest);
    if (const auto it = items_.find(item.digest); it != items_.end()) {
      set_proposed(it->second, 0);
      if (machine.admit(item) != Admission::accept) erase(item.digest);
    }
  }
  for (const auto& [client, session] : sessions) {
    const auto of_client = bundles_.find(client);
    if (of_client == bundles_.end()) continue;
    const auto numbers = of_client->second.find(session);
    if (numbers == of_client->second.end()) continue;
    const std::uint64_t last = machine.last_bundle(session);
    std::vector<Hash> gone;
    for (const auto& [number, digest] : numbers->second)
      if (number <= last) gone.push_back(digest);
    // Once: a primary could order what comes behind it, which is skipped, again and again.
    if (const auto next = numbers->second.find(last + 1); next != numbers->second.end())
      if (PendingItem& item = items_.at(next->second); !std::exchange(item.first_in_line, true))
        item.since_us = now_us;
    for (const Hash& digest : gone) erase(digest);
  }
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
  bytes_ -= size;
  waiting_bytes_ -= size;
  if (const auto client = bytes_of_.find(it->second.parsed->client); (client->second -= size) == 0)
    bytes_of_.erase(client);
  const ParsedItem& parsed = *it->second.parsed;
  if (const Bundle* bundle = parsed.bundle()) {
    auto client = bundles_.find(parsed.client);
    auto session = client->second.find(bundle->session_id);
    session->second.erase(bundle->bundle_no);
    if (session->second.empty()) client->second.erase(session);
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
  }
}

std::optional<std::uint64_t> Pending::oldest_since(const StateMachine& machine) const {
  std::optional<std::uint64_t> oldest;
  const auto consider = [&](const Hash& digest) {
    const std::uint64_t since = items_.at(digest).since_us;
    if (!oldest || since < *oldest) oldest = since;
  };
  for (const auto& [client, sessions] : bundles_)
    for (const auto& [session, numbers] : sessions)
      if (numbers.begin()->first <= machine.last_bundle(session) + 1)
        consider(numbers.begin()->second);
  for (const auto& [client, digests] : opens_)
    for (const auto& [digest, unused] : digests) consider(digest);
  return oldest;
}

}  // namespace bftmeta::consensus
