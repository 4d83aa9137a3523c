#include "sim/explore/checks.hpp"

#include <bit>

namespace bftmeta::sim::explore {

using messages::ViewChange;

std::string Checks::violation(const Nodes& nodes, const Facts& facts, bool only_agreement) {
  std::uint64_t executed = 0;
  for (const std::uint32_t node : nodes) {
    const Local& local = lives_.node(node);
    executed |= local.executed;
    if (!only_agreement && !local.fault.empty()) return local.fault;
  }
  for (Seq n = 1; n <= world_.scope().seqs; ++n) {
    if (std::popcount(executed & bits(0, n)) > 1)
      return "two batches are executed under number " + std::to_string(n);
    int certified = 0;
    for (std::uint32_t body = 0; body < world_.bodies(); ++body)
      if ((facts.certified >> body & 1) != 0 && world_.body(body).seq == n) ++certified;
    if (certified > 1) return "two roots of number " + std::to_string(n) + " can be certified";
  }
  if (executed == 0 && facts.certified == 0) return "";
  return lost(nodes, facts);
}

// Executed by a correct replica: then a client may have been told, as soon as there are shares.
std::vector<Checks::Bound> Checks::bound(const Facts& facts) const {
  std::vector<Bound> list;
  for (Seq n = 1; n <= world_.scope().seqs; ++n)
    for (BatchNo d = 0; d < world_.batches(n); ++d)
      for (const Local* local : facts.of)
        if (local != nullptr && (local->executed & bit(0, n, d)) != 0) {
          list.push_back({n, d});
          break;
        }
  return list;
}

std::string Checks::lost(const Nodes& nodes, const Facts& facts) {
  const View next = world_.scope().views;
  std::vector<std::uint64_t> key{facts.provable, facts.certified};
  std::vector<std::uint32_t> view_changes;
  for (const std::uint32_t node : nodes) {
    const auto vc = lives_.last_view_change(node, next);
    if (vc) view_changes.push_back(*vc);
    key.push_back(vc ? *vc : ~0ULL);
  }
  const std::vector<Bound> kept = bound(facts);
  for (const Bound& b : kept) key.push_back(bit(0, b.seq, b.batch));
  const auto [it, fresh] = verdicts_.try_emplace(std::move(key));
  if (fresh) it->second = lost_by(view_changes, facts, kept);
  if (it->second.empty()) return "";
  // Those VIEW-CHANGEs were given without asking anybody. What the replicas tell each other when
  // all of them start may show that votes are lost; whoever learns that gives none.
  return lost_by(after_power_cut(nodes), facts, kept);
}

// Any quorum of them, with whatever the Byzantine replica adds.
std::string Checks::lost_by(const std::vector<std::uint32_t>& view_changes, const Facts& facts,
                            const std::vector<Bound>& bound) {
  const View view = world_.scope().views;
  std::vector<std::vector<std::uint32_t>> quorums;
  if (view_changes.size() == kCorrect) quorums.push_back(view_changes);
  for (std::size_t i = 0; i < view_changes.size(); ++i)
    for (std::size_t k = i + 1; k < view_changes.size(); ++k)
      for (const std::uint32_t own : menu_.own_view_changes(facts, view))
        if (world_.proven(own)) quorums.push_back({view_changes[i], view_changes[k], own});
  for (const auto& votes : quorums) {
    const auto plan = world_.plan(votes);
    if (!plan) return "after a power cut of all: " + plan.error().message;
    for (const Bound& b : bound) {
      if (b.seq <= plan->base_seq) continue;
      const auto chosen = plan->digests.find(b.seq);
      if (chosen != plan->digests.end() && chosen->second == world_.digest(b.seq, b.batch))
        continue;
      const auto d =
          chosen == plan->digests.end() ? std::nullopt : world_.find_batch(b.seq, chosen->second);
      return "number " + std::to_string(b.seq) + " is executed as " + world_.name(b.seq, b.batch) +
             ", but after a power cut of all a legal NEW-VIEW has " +
             (d ? world_.name(b.seq, *d) : "nothing") + " there";
    }
  }
  return "";
}

// All lose power and start again, answer each other, and go on to a view that nobody was in.
std::vector<std::uint32_t> Checks::after_power_cut(const Nodes& nodes) {
  const View view = world_.scope().views;
  std::vector<std::unique_ptr<Seat>> seats;
  for (std::size_t i = 0; i < kCorrect; ++i) {
    seats.push_back(std::make_unique<Seat>(world_, menu_.replica(i)));
    seats[i]->load(lives_.node(nodes[i]));
    if (!seats[i]->core().halted()) seats[i]->cut_power({});
    seats[i]->take_mail();
  }
  const auto exchange = [&](const auto& question, const auto& pick) {
    for (auto& asker : seats)
      for (auto& peer : seats) {
        if (asker == peer) continue;
        peer->deliver(asker->self(), question(*asker));
        for (const auto& [to, message] : peer->take_mail())
          if (pick(message)) asker->deliver(peer->self(), message);
      }
  };
  exchange(
      [](const Seat& asker) {
        messages::Hello hello;
        hello.incarnation = asker.local().incarnation;
        store_be64(hello.nonce.data(), hello.incarnation);
        return PeerMessage(hello);
      },
      [](const PeerMessage& m) { return std::holds_alternative<messages::HelloReply>(m); });
  std::vector<std::uint32_t> list;
  for (auto& seat : seats) {
    seat->sync();
    while (seat->core().may_vote() && !seat->core().halted() && seat->core().view() < view) {
      const View before = seat->core().view();
      const Key leave{Kind::leave, static_cast<std::uint32_t>(before)};
      for (auto& [from, message] : moves_.deliveries(seat->self(), seat->local(), leave))
        seat->deliver(from, std::move(message));
      seat->sync();
      if (seat->core().view() == before) break;
    }
    for (const std::uint32_t vc : seat->local().said.view_changes)
      if (world_.get<ViewChange>(vc).new_view == view) list.push_back(vc);
  }
  return list;
}

}  // namespace bftmeta::sim::explore
