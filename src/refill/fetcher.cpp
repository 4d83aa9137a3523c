#include "refill/fetcher.hpp"

#include <algorithm>

#include "crypto/hash.hpp"

namespace bftmeta::refill {

namespace {

constexpr std::uint64_t kLook = 50'000;    // microseconds between ticks while something is wanted
constexpr std::uint32_t kMostDenials = 8;  // more in a row make nobody a worse choice
// So many unanswered questions in a row, and a peer is not waited for.
constexpr std::uint32_t kUnanswered = 2;

constexpr auto kPass = static_cast<std::size_t>(Why::pass);
constexpr auto kAsked = static_cast<std::size_t>(Why::asked);

std::uint32_t bit(ReplicaId id) { return std::uint32_t{1} << id; }

}  // namespace

Fetcher::Fetcher(FetcherOptions options, std::uint64_t now_us)
    : options_(options), pace_(options.bytes_per_second, kBurst), peers_(options.n) {
  for (Peer& peer : peers_) peer.changed_us = now_us;
}

void Fetcher::want(const NamedBlock& block, Why why) {
  const auto [entry, fresh] = wanted_.try_emplace(block.digest);
  bool& already = entry->second.why[static_cast<std::size_t>(why)];
  if (already) return;
  already = true;
  ++counts_[static_cast<std::size_t>(why)];
  if (fresh || block.bytes != 0) entry->second.block = block;
  if (why == Why::asked && !open_.contains(block.digest))
    waiting_.push_front(block.digest);
  else if (fresh)
    waiting_.push_back(block.digest);
}

std::vector<Hash> Fetcher::digests(Why why) const {
  std::vector<Hash> digests;
  for (const auto& [digest, wanted] : wanted_)
    if (wanted.why[static_cast<std::size_t>(why)]) digests.push_back(digest);
  return digests;
}

void Fetcher::forgive() {
  for (Peer& peer : peers_) peer.banned = false;
}

void Fetcher::forget() {
  for (auto entry = wanted_.begin(); entry != wanted_.end();) {
    bool& of_pass = entry->second.why[kPass];
    counts_[kPass] -= of_pass ? 1 : 0;
    of_pass = false;
    if (entry->second.keeping || std::ranges::count(entry->second.why, true) != 0) {
      ++entry;
      continue;
    }
    const Hash digest = entry->first;
    for (ReplicaId to = 0; to < options_.n; ++to) drop_question(to, digest);
    open_.erase(digest);
    entry = wanted_.erase(entry);
  }
}

std::uint32_t Fetcher::banned() const {
  std::uint32_t all = 0;
  for (ReplicaId id = 0; id < options_.n; ++id) all |= peers_[id].banned ? bit(id) : 0;
  return all;
}

void Fetcher::connected(ReplicaId peer, bool is, std::uint64_t now_us) {
  Peer& p = peers_[peer];
  if (p.connected == is) return;
  p.connected = is;
  p.changed_us = now_us;
  if (is)
    p.quiet_until_us = 0;
  else
    drop_questions(peer);  // what was under way is lost
}

void Fetcher::on(ReplicaId from, messages::BlockReply reply, std::uint64_t now_us, Actions& out) {
  if (from >= options_.n || peers_[from].banned) return;
  const Hash digest = std::visit([](const auto& body) { return body.digest; }, reply);
  const auto entry = wanted_.find(digest);
  const bool asked = answered(from, digest);
  if (const auto* refused = std::get_if<messages::BlockRefused>(&reply);
      refused != nullptr && refused->reason == messages::BlockRefusal::busy) {
    if (asked) leave_alone(peers_[from], options_.timing.busy, now_us);
    return;
  }
  if (asked) peers_[from].unanswered = 0;
  if (entry == wanted_.end() || !open_.contains(digest) || entry->second.keeping) return;
  auto* content = std::get_if<messages::BlockContent>(&reply);
  if (content == nullptr) {
    entry->second.denied |= bit(from);
    peers_[from].denials = std::min(peers_[from].denials + 1, kMostDenials);
    return;
  }
  pace_.spend(content->content.size(), now_us);
  if (crypto::sha256(content->content) != digest) return ban(from, out);
  peers_[from].denials = peers_[from].unanswered = 0;
  entry->second.keeping = true;
  out.keeps.push_back({digest, std::move(content->content)});
}

void Fetcher::stored(const Hash& digest, bool durably, Actions& out) {
  const auto entry = wanted_.find(digest);
  if (entry != wanted_.end() && entry->second.keeping)
    end(entry, durably ? Outcome::kept : Outcome::refused, out);
}

void Fetcher::tick(std::uint64_t now_us, Actions& out) {
  time_out(now_us);
  open_more();
  const std::vector<Hash> open(open_.begin(), open_.end());
  // What a client waits for has the first choice.
  for (const bool asked : {true, false})
    for (const Hash& digest : open)
      if (const auto entry = wanted_.find(digest);
          entry != wanted_.end() && entry->second.why[kAsked] == asked)
        serve(entry, now_us, out);
  deadline_us_ = wanted_.empty() ? kNever : now_us + kLook;
}

void Fetcher::time_out(std::uint64_t now_us) {
  std::set<ReplicaId> late;
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second > now_us) {
      ++it;
      continue;
    }
    const auto [to, digest] = (it++)->first;
    drop_question(to, digest);
    if (const auto entry = wanted_.find(digest); entry != wanted_.end())
      entry->second.silent |= bit(to);
    late.insert(to);
  }
  // Questions of one turn that nobody answered are one silence.
  for (const ReplicaId to : late) leave_alone(peers_[to], 1'000'000, now_us);
}

void Fetcher::open_more() {
  while (open_.size() < kMaxOpen && !waiting_.empty()) {
    const Hash digest = waiting_.front();
    waiting_.pop_front();
    if (wanted_.contains(digest)) open_.insert(digest);
  }
}

void Fetcher::serve(Entry entry, std::uint64_t now_us, Actions& out) {
  Wanted& wanted = entry->second;
  if (wanted.keeping) return;
  if (wanted.asked != 0 && now_us - wanted.asked_us < options_.timing.hedge) return;
  const auto to = choose(wanted, now_us);
  if (to && wanted.asked != 0 && peers_[*to].asked != 0) return;
  if (!to) {
    if (wanted.asked == 0 && hopeless(wanted, now_us)) end(entry, Outcome::nowhere, out);
    return;
  }
  if (!pace_.open(now_us)) return;
  wanted.asked |= bit(*to);
  wanted.asked_us = now_us;
  ++peers_[*to].asked;
  questions_[{*to, entry->first}] = now_us + options_.timing.answer;
  out.asks.push_back({*to, entry->first});
}

// Rather one who has what it is asked for, then one who has little to do. Who has not answered is
// tried with one question.
std::optional<ReplicaId> Fetcher::choose(const Wanted& wanted, std::uint64_t now_us) const {
  const std::uint32_t out_of_question = wanted.denied | wanted.silent | wanted.asked;
  std::optional<ReplicaId> best;
  for (ReplicaId id = 0; id < options_.n; ++id) {
    const Peer& peer = peers_[id];
    if (id == options_.self || peer.banned || !peer.connected || (out_of_question & bit(id)) != 0 ||
        peer.quiet_until_us > now_us || peer.asked >= (peer.unanswered > 0 ? 1 : kPerPeer))
      continue;
    const auto rank = [this](ReplicaId r) {
      return std::tuple(peers_[r].unanswered > 0, peers_[r].denials, peers_[r].asked);
    };
    if (!best || rank(id) < rank(*best)) best = id;
  }
  return best;
}

bool Fetcher::hopeless(const Wanted& wanted, std::uint64_t now_us) const {
  for (ReplicaId id = 0; id < options_.n; ++id) {
    const Peer& peer = peers_[id];
    const bool out = id == options_.self || peer.banned ||
                     ((wanted.denied | wanted.silent) & bit(id)) != 0 ||
                     peer.unanswered >= kUnanswered ||
                     (!peer.connected && now_us - peer.changed_us >= options_.timing.gone);
    if (!out) return false;
  }
  return true;
}

// True: it had been asked for that.
bool Fetcher::answered(ReplicaId from, const Hash& digest) {
  const bool asked = questions_.contains({from, digest});
  drop_question(from, digest);
  return asked;
}

void Fetcher::drop_question(ReplicaId to, const Hash& digest) {
  if (questions_.erase({to, digest}) == 0) return;
  --peers_[to].asked;
  if (const auto entry = wanted_.find(digest); entry != wanted_.end())
    entry->second.asked &= ~bit(to);
}

void Fetcher::leave_alone(Peer& peer, std::uint64_t first_us, std::uint64_t now_us) {
  peer.quiet_until_us =
      now_us + std::min(first_us << std::min(peer.unanswered, 16U), options_.timing.longest_quiet);
  ++peer.unanswered;
}

void Fetcher::ban(ReplicaId id, Actions& out) {
  peers_[id].banned = true;
  out.liars.push_back(id);
  drop_questions(id);
}

void Fetcher::drop_questions(ReplicaId to) {
  std::vector<Hash> asked;
  for (const auto& [question, until] : questions_)
    if (question.first == to) asked.push_back(question.second);
  for (const Hash& digest : asked) drop_question(to, digest);
}

void Fetcher::end(Entry entry, Outcome outcome, Actions& out) {
  out.ended.push_back({entry->second.block, entry->second.why, outcome, entry->second.denied});
  for (std::size_t why = 0; why < kWhys; ++why) counts_[why] -= entry->second.why[why] ? 1 : 0;
  const Hash digest = entry->first;
  // Whoever was asked as well still counts as busy with it until it answers or its time is over.
  open_.erase(digest);
  wanted_.erase(entry);
}

}  // namespace bftmeta::refill
