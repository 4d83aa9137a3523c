#include "sim/explore/lives.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim::explore {

Lives::Lives(World& world, Moves& moves, bool check_merging)
    : world_(world), moves_(moves), check_merging_(check_merging) {
  for (ReplicaId r = 0; r < kReplicas; ++r) {
    seats_.push_back(std::make_unique<Seat>(world, r));
    seats_[r]->boot();
    seats_[r]->sync();
    first_.push_back(number_of(r, seats_[r]->save()));
  }
}

std::uint32_t Lives::number_of(ReplicaId self, Local local) {
  const auto next = static_cast<std::uint32_t>(nodes_.size());
  const auto [it, fresh] = numbers_.try_emplace({self, local.digest}, next);
  if (fresh) {
    nodes_.emplace_back().self = self;
    nodes_.back().local = std::make_unique<const Local>(std::move(local));
  } else if (Node& node = nodes_[it->second]; check_merging_ && !node.twin) {
    node.twin = std::make_unique<const Local>(std::move(local));
  }
  return it->second;
}

Lives::Edge Lives::edge(std::uint32_t number, std::uint32_t move) {
  const std::uint64_t key = std::uint64_t{number} << 32 | move;
  if (const auto known = edges_.find(key); known != edges_.end()) return known->second;
  const ReplicaId self = nodes_[number].self;
  Run one = run(self, *nodes_[number].local, moves_.key(move));
  ++runs_;
  if (const Local* twin = nodes_[number].twin.get()) {
    const Run other = run(self, *twin, moves_.key(move));
    ++compared_;
    if (other.affected != one.affected || (one.affected && other.end.digest != one.end.digest))
      ++different_;
  }
  Edge edge{number, one.leaks};
  if (one.affected) edge.to = number_of(self, std::move(one.end));
  edges_.emplace(key, edge);
  return edge;
}

Lives::Run Lives::run(ReplicaId self, const Local& from, const Key& key) {
  Seat& seat = *seats_[self];
  seat.load(from);
  bool leaks = false;
  if (key.kind == Kind::restart) {
    if (key.c != 0) perform(seat, moves_.key(key.c - 1));
    std::vector<std::pair<ReplicaId, messages::HelloReply>> answers;
    for (const std::uint32_t answer : {key.a, key.b})
      answers.emplace_back(answerer(answer),
                           world_.get<messages::HelloReply>(answer_message(answer)));
    seat.cut_power(answers);
  } else {
    const Said before = seat.local().said;
    perform(seat, key);
    leaks = seat.local().said != before;
    seat.sync();
  }
  if (!seat.affected()) return {from, false, false};
  return {seat.save(), true, leaks};
}

void Lives::perform(Seat& seat, const Key& key) {
  if (key.kind == Kind::item) return seat.submit(world_.item(key.a));
  if (key.kind == Kind::invent) return invent(seat, key.a);
  for (auto& [from, message] : moves_.deliveries(seat.self(), seat.local(), key))
    seat.deliver(from, std::move(message));
}

// As if `d` were the next batch of the agreed history.
void Lives::invent(Seat& seat, BatchNo d) {
  ToyMachine machine = seat.machine();
  const Seq n = machine.executed_seq() + 1;
  if (n > world_.scope().seqs) return;  // it has all there is
  auto parsed = messages::parse_batch(world_.context(), world_.batch(n, d));
  BFTMETA_ASSERT(parsed.has_value());
  const auto outcome = machine.execute(*parsed);
  const ReplicaId liar = world_.scope().byzantine;
  messages::HistoryData data;
  data.first = n;
  data.headers.push_back(outcome->header);
  data.batches.push_back(parsed->batch);
  seat.deliver(liar, messages::sign_share(world_.signer(liar), outcome->body, liar));
  seat.deliver(liar, std::move(data));
}

std::vector<Seat::Mail> Lives::ask(std::uint32_t node, ReplicaId from, PeerMessage question) {
  Seat& seat = *seats_[nodes_[node].self];
  seat.load(*nodes_[node].local);
  seat.deliver(from, std::move(question));
  return seat.take_mail();
}

namespace {

template <class T>
const PeerMessage* find(const std::vector<Seat::Mail>& mail) {
  for (const auto& [to, message] : mail)
    if (std::holds_alternative<T>(message)) return &message;
  return nullptr;
}

}  // namespace

std::uint32_t Lives::hello(std::uint32_t node, ReplicaId asker, std::uint64_t incarnation) {
  const std::uint64_t key = std::uint64_t{node} << 32 | asker << 8 | incarnation;
  if (const auto known = hellos_.find(key); known != hellos_.end()) return known->second;
  messages::Hello hello;
  hello.incarnation = incarnation;
  store_be64(hello.nonce.data(), incarnation);
  const auto mail = ask(node, asker, hello);
  const PeerMessage* reply = find<messages::HelloReply>(mail);
  BFTMETA_ASSERT(reply != nullptr);
  return hellos_[key] = world_.number_of(*reply);
}

std::optional<std::uint32_t> Lives::history(std::uint32_t node, Seq executed) {
  const std::uint64_t key = std::uint64_t{node} << 32 | executed;
  if (const auto known = histories_.find(key); known != histories_.end()) return known->second;
  const ReplicaId asker = nodes_[node].self == 0 ? 1 : 0;
  const auto mail = ask(node, asker, messages::FetchHistory{executed});
  const PeerMessage* data = find<messages::HistoryData>(mail);
  return histories_[key] = data ? std::optional(world_.number_of(*data)) : std::nullopt;
}

std::optional<std::uint32_t> Lives::last_view_change(std::uint32_t node, View view) {
  Node& n = nodes_[node];
  if (n.last_view_change) return *n.last_view_change;
  n.last_view_change.emplace();
  Seat& seat = *seats_[n.self];
  seat.load(*n.local);
  if (seat.core().halted()) return std::nullopt;
  messages::HelloReply nothing;
  store_be64(nothing.nonce.data(), seat.local().incarnation + 1);
  seat.cut_power({{n.self == 0 ? 1U : 0U, nothing}, {n.self == 3 ? 2U : 3U, nothing}});
  while (!seat.core().halted() && seat.core().may_vote() && seat.core().view() < view) {
    const auto before = seat.core().view();
    perform(seat, {Kind::leave, static_cast<std::uint32_t>(before)});
    seat.sync();
    if (seat.core().view() == before) return std::nullopt;
  }
  for (const std::uint32_t vc : seat.local().said.view_changes)
    if (world_.get<messages::ViewChange>(vc).new_view == view) *n.last_view_change = vc;
  return *n.last_view_change;
}

}  // namespace bftmeta::sim::explore
