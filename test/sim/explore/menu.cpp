#include "sim/explore/menu.hpp"

#include <algorithm>
#include <bit>

namespace bftmeta::sim::explore {

using messages::NewView;
using messages::PreparedCert;
using messages::ViewChange;

namespace {

bool proposable(BatchNo d) { return d == kA || d == kB; }

}  // namespace

Facts Menu::facts(const Nodes& nodes) const {
  Facts facts;
  std::array<std::uint64_t, kCorrect> prepares{};
  std::array<std::uint64_t, kCorrect> shares{};
  for (std::size_t i = 0; i < kCorrect; ++i) {
    const Local& local = lives_.node(nodes[i]);
    facts.of[replica(i)] = &local;
    facts.proposals |= local.said.proposals;
    prepares[i] = local.said.prepares;
    shares[i] = local.said.shares;
  }
  const auto two = [](const auto& s) { return (s[0] & s[1]) | (s[0] & s[2]) | (s[1] & s[2]); };
  const std::uint64_t by_two = two(prepares);
  const std::uint64_t by_one = prepares[0] | prepares[1] | prepares[2];
  for (View v = 0; v < kMaxViews; ++v) {
    const std::uint64_t of_view = bits(v, 1) | bits(v, 2);
    // 2f backups: as the primary the Byzantine replica is none, otherwise it is one of them.
    facts.provable |=
        of_view & (world_.byzantine(world_.primary(v)) ? by_two : by_one & facts.proposals);
  }
  facts.certified = two(shares);
  return facts;
}

void Menu::list(const Nodes& nodes, const Facts& facts, std::size_t i,
                std::vector<std::uint32_t>& out) {
  const Local& local = lives_.node(nodes[i]);
  const consensus::Core& core = *local.core;
  if (core.halted() || core.standing() == consensus::Standing::asking) return;
  const Turn t{nodes, facts, replica(i), local, out};
  if (core.active()) {
    items(t);
    proposals(t);
    votes(t);
  }
  shares(t);
  histories(t);
  if (core.may_vote() && core.view() + 1 < world_.scope().views)
    add(t, {Kind::leave, static_cast<std::uint32_t>(core.view())});
  view_changes(t);
}

// To the primary only: what a backup knows it passes on, and the primary may know it anyway.
void Menu::items(const Turn& t) {
  const consensus::Core& core = *t.local.core;
  if (!core.is_primary()) return;
  Seq next = std::max(core.executed_seq(), core.certified_seq()) + 1;
  for (Seq n = 1; n <= world_.scope().seqs; ++n)
    if ((t.local.said.proposals & ~t.local.forgotten() & bits(core.view(), n)) != 0)
      next = std::max(next, n + 1);
  if (next > world_.scope().seqs) return;
  for (std::uint32_t i = 0; i < 2; ++i) add(t, {Kind::item, i});
}

void Menu::proposals(const Turn& t) {
  const View v = t.local.core->view();
  const ReplicaId primary = world_.primary(v);
  if (primary == t.self) return;
  for (Seq n = 1; n <= world_.scope().seqs; ++n)
    for (BatchNo d = 0; d < world_.batches(n); ++d) {
      if ((t.local.said.prepares & bit(v, n, d)) != 0) continue;
      const bool proposed =
          world_.byzantine(primary) ? proposable(d) : (t.facts.proposals & bit(v, n, d)) != 0;
      if (proposed) add(t, {Kind::propose, slot_of(v, n, d)});
    }
}

template <class Has>
std::uint32_t Menu::senders(const Turn& t, std::size_t size, bool with_byzantine, Has has) const {
  std::uint32_t mask = with_byzantine ? 1U << world_.scope().byzantine : 0;
  for (ReplicaId r = 0; r < kReplicas && std::popcount(mask) < static_cast<int>(size); ++r)
    if (r != t.self && t.facts.of[r] != nullptr && has(t.facts.of[r]->said)) mask |= 1U << r;
  return std::popcount(mask) == static_cast<int>(size) ? mask : 0;
}

// For what this replica has voted for itself: nothing else can be counted.
void Menu::votes(const Turn& t) {
  const View v = t.local.core->view();
  const Said& own = t.local.said;
  const bool backup = !world_.byzantine(world_.primary(v));  // the Byzantine one
  for (Seq n = 1; n <= world_.scope().seqs; ++n)
    for (BatchNo d = 0; d < world_.batches(n); ++d) {
      const std::uint64_t b = bit(v, n, d);
      if (((own.prepares | own.proposals) & b) == 0) continue;
      const std::uint32_t slot = slot_of(v, n, d);
      for (std::size_t size = 1; size <= 2; ++size) {
        const auto prepares =
            senders(t, size, backup, [&](const Said& s) { return s.prepares & b; });
        if (prepares != 0 && (own.commits & b) == 0) {
          add(t, {Kind::prepares, slot, prepares});
          if (world_.scope().lies && backup) add(t, {Kind::prepares, slot, prepares, 1});
        }
        const auto commits = senders(t, size, true, [&](const Said& s) { return s.commits & b; });
        if (commits != 0 && (t.local.executed & bit(0, n, d)) == 0)
          add(t, {Kind::commits, slot, commits});
      }
    }
}

void Menu::shares(const Turn& t) {
  for (std::uint32_t body = 0; body < world_.bodies(); ++body) {
    const Seq n = world_.body(body).seq;
    if (n > world_.scope().seqs || n <= t.local.core->certified_seq()) continue;
    for (std::size_t size = 1; size <= 3; ++size) {
      const auto from = senders(t, size, true, [&](const Said& s) { return s.shares >> body & 1; });
      if (std::popcount(from) > 1) add(t, {Kind::shares, body, from});
    }
  }
}

void Menu::histories(const Turn& t) {
  const Seq executed = t.local.core->executed_seq();
  for (ReplicaId r = 0; r < kReplicas; ++r) {
    const Local* other = t.facts.of[r];
    if (r == t.self || other == nullptr || other->core->executed_seq() <= executed) continue;
    const std::size_t i = r < world_.scope().byzantine ? r : r - 1;
    const auto message = lives_.history(t.nodes[i], executed);
    if (!message) continue;
    const Seq last = executed + world_.get<messages::HistoryData>(*message).headers.size();
    if (last > world_.scope().seqs) continue;
    for (std::uint32_t body = 0; body < world_.bodies(); ++body) {
      if (world_.body(body).seq != last || (other->said.shares >> body & 1) == 0) continue;
      for (std::size_t size = 1; size <= 2; ++size)
        if (const auto from =
                senders(t, size, true, [&](const Said& s) { return s.shares >> body & 1; });
            from != 0)
          add(t, {Kind::history, *message, body, from});
    }
  }
  if (world_.scope().lies && executed < world_.scope().seqs)
    for (const BatchNo d : {kNull, kA, kB}) add(t, {Kind::invent, d});
}

// ---- view changes

std::vector<std::uint32_t> Menu::said_view_changes(const Facts& facts, View view) const {
  std::vector<std::uint32_t> list;
  for (const Local* local : facts.of)
    if (local != nullptr)
      for (const std::uint32_t vc : local->said.view_changes)
        if (world_.get<ViewChange>(vc).new_view == view) list.push_back(vc);
  return list;
}

// A replica that is told to enter a view has left all below it first, and said so: W of the
// VIEW-CHANGEs that NEW-VIEW comes with are of others.
void Menu::view_changes(const Turn& t) {
  const consensus::Core& core = *t.local.core;
  const View w = core.view();
  if (core.active() || w >= world_.scope().views) return;  // evidence may lead out of the scope
  if (world_.primary(w) != t.self) return new_views(t, w);
  const auto own = t.local.view_changes.find(w);
  if (!core.may_vote() || own == t.local.view_changes.end()) return;
  lead(t, w, world_.view_change(own->second.digest()));
}

// With the VIEW-CHANGEs of two others; one move for each plan.
void Menu::lead(const Turn& t, View view, std::uint32_t own) {
  std::vector<std::uint32_t> correct = said_view_changes(t.facts, view);
  const auto replica = [&](std::uint32_t vc) { return world_.get<ViewChange>(vc).replica; };
  std::erase_if(correct, [&](std::uint32_t vc) { return replica(vc) == t.self; });
  std::vector<std::uint64_t> key{t.self, view, own, t.facts.provable, t.facts.certified};
  key.insert(key.end(), correct.begin(), correct.end());
  const auto [it, fresh] = leads_.try_emplace(std::move(key));
  if (fresh) {
    std::vector<Plan> plans;
    const auto add_pair = [&](std::uint32_t a, std::uint32_t b) {
      if (replica(a) != replica(b) && add_plan({own, a, b}, plans))
        it->second.push_back(moves_.number_of({Kind::lead, a, b}));
    };
    for (std::size_t i = 0; i < correct.size(); ++i) {
      for (std::size_t k = i + 1; k < correct.size(); ++k) add_pair(correct[i], correct[k]);
      for (const std::uint32_t vc : own_view_changes(t.facts, view)) add_pair(correct[i], vc);
    }
  }
  t.out.insert(t.out.end(), it->second.begin(), it->second.end());
}

// False: another quorum has it. Who would stop on these VIEW-CHANGEs has a plan of its own.
bool Menu::add_plan(const std::vector<std::uint32_t>& votes, std::vector<Plan>& plans) const {
  const auto plan = world_.plan(votes);
  const bool proven =
      std::ranges::all_of(votes, [&](std::uint32_t vc) { return world_.proven(vc); });
  Plan one{proven, !plan, 0, {}};
  if (plan) one = {proven, false, plan->base_seq, plan->digests};
  if (std::ranges::find(plans, one) != plans.end()) return false;
  plans.push_back(one);
  return true;
}

void Menu::new_views(const Turn& t, View view) {
  const ReplicaId primary = world_.primary(view);
  if (world_.byzantine(primary)) {
    for (const std::uint32_t nv : own_new_views(t.facts, view)) add(t, {Kind::enter, nv});
    return;
  }
  for (const std::uint32_t nv : t.facts.of[primary]->said.new_views)
    if (world_.get<NewView>(nv).view == view) add(t, {Kind::enter, nv});
}

// Precondition: it is provable. The Byzantine backup's signature, then those of the first others.
PreparedCert Menu::proof(const Facts& facts, View v, Seq n, BatchNo d) const {
  PreparedCert cert;
  cert.proposal = world_.proposal(v, n, d);
  cert.primary_signature = world_.pre_prepare(v, n, d).signature;
  const ReplicaId liar = world_.scope().byzantine;
  if (liar != world_.primary(v)) cert.backups |= 1U << liar;
  for (ReplicaId r = 0; r < kReplicas && std::popcount(cert.backups) < 2; ++r)
    if (facts.of[r] != nullptr && (facts.of[r]->said.prepares & bit(v, n, d)) != 0)
      cert.backups |= 1U << r;
  for (ReplicaId r = 0; r < kReplicas; ++r)
    if ((cert.backups >> r & 1) != 0)
      cert.signatures.push_back(world_.prepare(r, v, n, d).signature);
  return cert;
}

// As many signatures, none of which holds.
PreparedCert Menu::forged(View v, Seq n, BatchNo d) const {
  PreparedCert cert;
  cert.proposal = world_.proposal(v, n, d);
  cert.primary_signature = world_.pre_prepare(v, n, d).signature;
  cert.backups = world_.primary(v) < 2 ? 0b1100 : 0b0011;
  cert.signatures.resize(2);
  return cert;
}

// Precondition: it is certified. Exactly Q, the Byzantine one among them.
std::vector<ReplicaId> Menu::signers(const Facts& facts, std::uint32_t body) const {
  std::vector<ReplicaId> list{world_.scope().byzantine};
  for (ReplicaId r = 0; r < kReplicas && list.size() < world_.config().quorum(); ++r)
    if (facts.of[r] != nullptr && (facts.of[r]->said.shares >> body & 1) != 0) list.push_back(r);
  std::ranges::sort(list);
  return list;
}

const std::vector<std::uint32_t>& Menu::own_view_changes(const Facts& facts, View view) {
  const auto [it, fresh] = own_view_changes_.try_emplace({view, facts.provable, facts.certified});
  if (!fresh) return it->second;
  const bool lies = world_.scope().lies;
  std::vector<ViewChange> all;
  ViewChange vc;
  vc.new_view = view;
  vc.replica = world_.scope().byzantine;
  all.push_back(vc);
  for (std::uint32_t body = 0; body < world_.bodies(); ++body)
    if ((facts.certified >> body & 1) != 0) {
      vc.base = world_.certificate(body, signers(facts, body));
      all.push_back(vc);
    }
  for (Seq n = 1; n <= world_.scope().seqs; ++n)
    for (std::size_t i = 0, end = all.size(); i < end; ++i) {
      if (all[i].base_seq() >= n) continue;
      for (View v = 0; v < view; ++v)
        for (BatchNo d = 0; d < world_.batches(n); ++d) {
          const bool provable = (facts.provable & bit(v, n, d)) != 0;
          if (!provable && !(lies && proposable(d))) continue;
          ViewChange more = all[i];
          more.prepared.push_back(provable ? proof(facts, v, n, d) : forged(v, n, d));
          all.push_back(std::move(more));
        }
    }
  for (ViewChange& one : all) {
    messages::sign_view_change(world_.signer(one.replica), world_.context(), one);
    it->second.push_back(world_.number_of(PeerMessage(one)));
  }
  return it->second;
}

// One for each plan: what else it names makes no difference to whoever enters.
const std::vector<std::uint32_t>& Menu::own_new_views(const Facts& facts, View view) {
  const std::vector<std::uint32_t> correct = said_view_changes(facts, view);
  std::vector<std::uint64_t> key{view, facts.provable, facts.certified};
  key.insert(key.end(), correct.begin(), correct.end());
  const auto [it, fresh] = own_new_views_.try_emplace(std::move(key));
  if (!fresh) return it->second;
  std::vector<std::vector<std::uint32_t>> quorums;
  const auto replica = [&](std::uint32_t vc) { return world_.get<ViewChange>(vc).replica; };
  for (std::size_t i = 0; i < correct.size(); ++i)
    for (std::size_t k = i + 1; k < correct.size(); ++k) {
      if (replica(correct[i]) == replica(correct[k])) continue;
      for (const std::uint32_t own : own_view_changes(facts, view))
        quorums.push_back({correct[i], correct[k], own});
      for (std::size_t m = k + 1; m < correct.size(); ++m)
        if (replica(correct[m]) != replica(correct[i]) &&
            replica(correct[m]) != replica(correct[k]))
          quorums.push_back({correct[i], correct[k], correct[m]});
    }
  std::vector<Plan> plans;
  for (const auto& quorum : quorums) {
    if (!add_plan(quorum, plans)) continue;
    std::vector<ViewChange> votes;
    for (const std::uint32_t vc : quorum) votes.push_back(world_.get<ViewChange>(vc));
    const auto add_one = [&](const Plan& plan) {
      it->second.push_back(
          world_.number_of(PeerMessage(world_.new_view(view, votes, plan.base, plan.digests))));
    };
    if (plans.back().stops) continue;
    add_one(plans.back());
    if (world_.scope().lies)
      for (const Plan& wrong : wrong_plans(plans.back())) add_one(wrong);
  }
  return it->second;
}

// With the right VIEW-CHANGEs, an O that does not follow from them.
std::vector<Menu::Plan> Menu::wrong_plans(const Plan& right) const {
  std::vector<Plan> wrong;
  for (const auto& [seq, digest] : right.digests)
    for (const BatchNo d : {kNull, kA, kB})
      if (world_.digest(seq, d) != digest) {
        wrong.push_back(right);
        wrong.back().digests[seq] = world_.digest(seq, d);
      }
  if (right.digests.empty()) return wrong;
  wrong.push_back(right);
  wrong.back().digests.clear();
  return wrong;
}

// ---- power cuts

void Menu::restarts(const Nodes& nodes, std::size_t i, std::optional<std::uint32_t> cut,
                    std::vector<std::uint32_t>& out) {
  const std::uint64_t incarnation = lives_.node(nodes[i]).incarnation + 1;
  std::vector<std::uint32_t> answers;
  for (std::size_t k = 0; k < kCorrect; ++k)
    if (k != i && !lives_.node(nodes[k]).core->halted())
      answers.push_back(answer_of(replica(k), lives_.hello(nodes[k], replica(i), incarnation)));
  messages::HelloReply nothing;  // of the Byzantine one
  store_be64(nothing.nonce.data(), incarnation);
  answers.push_back(answer_of(world_.scope().byzantine, world_.number_of(PeerMessage(nothing))));
  const std::uint32_t c = cut ? *cut + 1 : 0;
  for (std::size_t a = 0; a < answers.size(); ++a)
    for (std::size_t b = a + 1; b < answers.size(); ++b)
      out.push_back(moves_.number_of({Kind::restart, answers[a], answers[b], c}));
}

}  // namespace bftmeta::sim::explore
