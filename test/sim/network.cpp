#include "sim/network.hpp"

namespace bftmeta::sim {

Network::Network(Scheduler& scheduler, Random random, NetworkFaults faults, Trace& trace,
                 Deliver deliver)
    : scheduler_(scheduler),
      random_(random),
      faults_(faults),
      trace_(trace),
      deliver_(std::move(deliver)) {}

void Network::send(Endpoint from, Endpoint to, const Frame& frame, const MessageSummary& what) {
  const Link link{from, to};
  ++sent_[{link, what.type}];
  transmit(link, frame, what);
  if (faults_on_ && random_.chance(faults_.duplicate)) transmit(link, frame, what);
}

void Network::transmit(const Link& link, const Frame& frame, const MessageSummary& what) {
  if (cut_.contains(link) || (faults_on_ && random_.chance(faults_.loss))) return drop(link, what);
  std::uint64_t delay = random_.between(faults_.delay_min_us, faults_.delay_max_us);
  if (faults_on_ && random_.chance(faults_.slow)) delay = faults_.slow_us;
  if (LinkRule* rule = matching(link, what.type)) {
    if (rule->remaining) --*rule->remaining;
    if (!rule->delay_us) return drop(link, what);
    delay = *rule->delay_us;
  }
  if (stalled_.contains(link)) {
    auto& waiting = waiting_[link];
    if (waiting.size() >= kMaxStalled) return drop(link, what);
    waiting.emplace_back(frame, what);
    return;
  }
  const auto queueing = queueing_us(link, frame->size());
  if (!queueing) return drop(link, what);
  scheduler_.after(delay + *queueing, [this, link, frame, what] { arrive(link, frame, what); });
}

void Network::arrive(const Link& link, const Frame& frame, const MessageSummary& what) {
  ++delivered_;
  trace_.message(scheduler_.now(), link.first, link.second, what, true);
  const bool bend = faults_on_ && corrupt_.contains(link.first) && random_.chance(faults_.corrupt);
  deliver_(link.first, link.second, bend ? *bent(frame) : *frame);
}

void Network::drop(const Link& link, const MessageSummary& what) {
  ++dropped_;
  trace_.message(scheduler_.now(), link.first, link.second, what, false);
}

// How long the frame waits for those before it; nullopt: the queue is full.
std::optional<std::uint64_t> Network::queueing_us(const Link& link, std::size_t bytes) {
  if (!faults_on_ || faults_.bytes_per_s == 0) return 0;
  std::uint64_t& free_at = free_at_us_[link];
  const std::uint64_t begin = std::max(free_at, scheduler_.now());
  if (begin - scheduler_.now() > kMaxQueueUs) return std::nullopt;
  free_at = begin + bytes * 1'000'000 / faults_.bytes_per_s;
  return free_at - scheduler_.now();
}

// One to four bytes change, or the end is missing.
Frame Network::bent(const Frame& frame) {
  ++corrupted_;
  Bytes bytes = *frame;
  if (random_.chance(250)) {
    bytes.resize(random_.below(bytes.size() + 1));
  } else {
    for (std::uint64_t i = random_.between(1, 4); i > 0; --i)
      bytes[random_.below(bytes.size())] ^= static_cast<std::uint8_t>(random_.between(1, 255));
  }
  return std::make_shared<const Bytes>(std::move(bytes));
}

LinkRule* Network::matching(const Link& link, const char* type) {
  for (LinkRule& rule : rules_)
    if (rule.from.contains(link.first) && rule.to.contains(link.second) &&
        (rule.type.empty() || rule.type == type) && rule.remaining != 0)
      return &rule;
  return nullptr;
}

void Network::mend(Endpoint from, Endpoint to) {
  const auto it = cut_.find({from, to});
  if (it != cut_.end() && --it->second == 0) cut_.erase(it);
}

void Network::flow(Endpoint from, Endpoint to) {
  const Link link{from, to};
  const auto it = stalled_.find(link);
  if (it == stalled_.end() || --it->second != 0) return;
  stalled_.erase(it);
  const auto waiting = waiting_.extract(link);
  if (waiting.empty()) return;
  for (const auto& [frame, what] : waiting.mapped())
    scheduler_.after(random_.between(faults_.delay_min_us, faults_.delay_max_us),
                     [this, link, f = frame, w = what] { arrive(link, f, w); });
}

void Network::heal() {
  cut_.clear();
  while (!stalled_.empty()) {
    stalled_.begin()->second = 1;
    flow(stalled_.begin()->first.first, stalled_.begin()->first.second);
  }
}

std::uint64_t Network::sent(Endpoint from, Endpoint to, std::string_view type) const {
  const auto it = sent_.find({{from, to}, type});
  return it == sent_.end() ? 0 : it->second;
}

}  // namespace bftmeta::sim
