#include "transfer/receiver.hpp"

#include "base/assert.hpp"
#include "base/mutant.hpp"
#include "transfer/source.hpp"

namespace bftmeta::transfer {

using messages::FetchNodes;
using messages::NodesData;

namespace {

// Where the own tree has something, five levels are up to 64 subtrees to compare, in 4 KiB.
constexpr std::uint8_t kCompareLevels = 5;
// Questions per peer that are under way: the next is there when an answer leaves.
constexpr std::uint32_t kAtOnce = 3;
// Walks that end at another root, one after the other, before the own tree is given up.
constexpr std::uint32_t kFailedEnds = 3;
// Answers to questions that went out together come together.
constexpr std::uint64_t kBurst = 2 * limits::kNodesBytes;
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 62;
constexpr std::uint8_t kMixtureFormat = 0x4d;

}  // namespace

Bytes mixture_meta() { return {kMixtureFormat}; }
bool is_mixture(ByteView meta) {
  return meta.size() == 1 && meta[0] == kMixtureFormat && !mutant(Mutant::mixture_executed);
}

Receiver::Receiver(Options options, const crypto::Verifier& verifier, tree::Version own)
    : options_(std::move(options)),
      verifier_(verifier),
      work_(options_.cluster_id, std::move(own)),
      target_(options_.floor),
      pace_(options_.bytes_per_second != 0 ? options_.bytes_per_second : kUnlimited, kBurst),
      next_id_(options_.first_id) {
  for (ReplicaId r = 0; r < options_.config.n(); ++r)
    if (r != options_.self) peers_[r];
  keep(work_.damaged(options_.damaged));
  work_.take_cut();
  if (options_.restore) work_.restore(*options_.restore);
}

// ---- events

void Receiver::tick(std::uint64_t now_us, Actions& out) {
  now_us_ = now_us;
  go_on(out);
}

void Receiver::on(ReplicaId from, NodesData answer, std::uint64_t now_us, Actions& out) {
  now_us_ = now_us;
  const auto it = questions_.find(answer.id);
  if (it == questions_.end() || it->second.to != from) return;
  const Question question = it->second;
  questions_.erase(it);
  const std::size_t size = encoded_size(answer);
  received_ += size;
  Peer& peer = peers_.at(from);
  const std::uint64_t cost = cost_of(size, question.subtrees);
  peer.pace.spend(cost, now_us);
  pace_.spend(cost, now_us);
  if (!question.errand) {
    peer.slow = 0;
    on_offer(from, answer);
  } else {
    --peer.asked;
    --question.errand->under_way;
    if (!question.errand->done) on_fragments(answer, question);
  }
  go_on(out);
}

// Who was asked before and has not answered yet is slower than others are.
void Receiver::overtake(const Question& by) {
  for (const auto& [id, other] : questions_)
    if (other.errand == by.errand && other.deadline_us < by.deadline_us)
      leave_alone(peers_.at(other.to));
}

void Receiver::on_offer(ReplicaId from, const NodesData& answer) {
  --offers_awaited_;
  if (!answer.fragments.empty()) return ban(from);
  if (peers_.at(from).banned || !answer.state) return;
  const bool proven = options_.epoch_start && answer.state->cert.body == options_.epoch_start->body;
  // A state of another epoch is one that this replica can not judge: no offer, and no lie.
  if (!proven && answer.state->cert.body.epoch != options_.config.epoch) return;
  CertifiedState state = *answer.state;
  if (proven) state.cert = *options_.epoch_start;
  const Status sound = proven ? messages::verify_state_header(state)
                              : messages::verify_certified_state(verifier_, options_.cluster_id,
                                                                 options_.config, state);
  if (!sound && !mutant(Mutant::target_unverified)) return ban(from);
  target_.offer(from, std::move(state));
  if (choose_us_ == 0) return;
  // One of W is of a correct replica.
  if (target_.offers() >= options_.config.weak_quorum())
    choose_us_ = now_us_;
  else if (target_.offers() > 0)
    choose_us_ = std::min(choose_us_, now_us_ + options_.timing.offers);
}

// In the order of the tasks; what an answer had no room for is asked for again. An answer of no use
// leaves the errand to others that were asked.
void Receiver::on_fragments(const NodesData& answer, const Question& question) {
  const ReplicaId from = question.to;
  Errand& errand = *question.errand;
  peers_.at(from).slow = 0;
  bool lies = answer.state || answer.fragments.size() > errand.tasks.size();
  if (answer.fragments.empty()) leave_alone(peers_.at(from));
  bool moved_on = false;
  std::vector<Task> open;
  for (std::size_t i = 0; i < errand.tasks.size(); ++i) {
    Task& task = errand.tasks[i];
    const bool answered = !lies && !failure_ && i < answer.fragments.size();
    if (answered && !answer.fragments[i].bytes.empty()) {
      const Status merged = work_.merge(task, answer.fragments[i].bytes);
      if (merged) continue;
      const Errc code = merged.error().code;
      lies = code == Errc::unverified || code == Errc::malformed || code == Errc::limit;
      if (!lies) keep(merged);
    } else if (answered) {
      task.gone |= 1U << from;
      moved_on = moved_on || from == target_.from();
    }
    open.push_back(std::move(task));
  }
  if (open.size() == errand.tasks.size() && errand.under_way > 0) {
    errand.tasks = std::move(open);
  } else {
    errand.done = true;
    if (open.size() < errand.tasks.size()) overtake(question);
    work_.put_back(std::move(open));
  }
  if (lies) ban(from);
  // Who named the target does not serve it any more: what has changed since is gone everywhere.
  if (moved_on) ask_for_offers_soon();
}

void Receiver::written(const tree::WriteSet& set, std::shared_ptr<const tree::Snapshot> snapshot,
                       std::uint64_t now_us, Actions& out) {
  BFTMETA_ASSERT(writing_);
  now_us_ = now_us;
  writing_ = false;
  work_.written(set, std::move(snapshot));
  done_ = last_write_;
  go_on(out);
}

void Receiver::not_written(std::uint64_t now_us, Actions& out) {
  BFTMETA_ASSERT(writing_);
  now_us_ = now_us;
  writing_ = last_write_ = false;
  write_again_us_ = now_us + options_.timing.write_again;
  go_on(out);
}

// ---- level-triggered work

void Receiver::go_on(Actions& out) {
  if (!done_ && !failure_ && !last_write_) {
    time_out();
    erase_surplus();
    choose_target();
    ask_for_subtrees(out);
    give_up_if_stuck();
    if (!options_.restore && choose_us_ == 0 && !at_end_ && now_us_ >= next_offers_us_)
      ask_for_offers(out);
    check_end();
    write(out);
  }
  set_deadline();
}

void Receiver::erase_surplus() {
  while (!failure_ && work_.unwritten() < 2 * options_.write_bytes) {
    const auto more = work_.erase_some();
    if (!more) return keep(tl::make_unexpected(more.error()));
    if (!*more) return;
  }
}

void Receiver::time_out() {
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.deadline_us > now_us_) {
      ++it;
      continue;
    }
    if (it->second.errand) leave_alone(peers_.at(it->second.to));
    it = drop(it);
  }
}

// What nobody else is asked for is open again, unless it is done.
Receiver::Questions::iterator Receiver::drop(Questions::iterator question) {
  const Question& q = question->second;
  if (!q.errand) {
    --offers_awaited_;
  } else {
    --peers_.at(q.to).asked;
    if (--q.errand->under_way == 0 && !q.errand->done) work_.put_back(std::move(q.errand->tasks));
  }
  return questions_.erase(question);
}

void Receiver::choose_target() {
  const bool answered = offers_awaited_ == 0 || now_us_ >= choose_us_;
  if (choose_us_ == 0 || !answered || at_end_ || failure_) return;
  choose_us_ = 0;
  next_offers_us_ = now_us_ + options_.timing.ask_again;
  if (target_.offers() == 0) return;
  next_offers_us_ = now_us_ + options_.timing.target;
  if (!target_.choose()) return;
  std::erase_if(questions_, [](const auto& q) { return q.second.errand != nullptr; });
  for (auto& [id, peer] : peers_) peer.asked = 0;
  turn_ = target_.from();
  keep(work_.restart(target_.state()->cert.body));
}

// Nobody serves any of what is still open: the state has moved on everywhere. What was merged of it
// is kept, so the next one is nearer.
void Receiver::give_up_if_stuck() {
  const std::uint32_t able = usable();
  if (!aimed() || able == 0 || asking() || !work_.stuck(able)) return;
  if (options_.restore)
    return keep(fail(Errc::not_found, "repair: nobody serves the damaged part of the state"));
  if (target_.spent()) return;
  target_.give_up();
  ask_for_offers_soon();
}

void Receiver::ask_for_offers_soon() {
  next_offers_us_ = std::min(next_offers_us_, last_offers_us_ + options_.timing.ask_again);
}

void Receiver::ask_for_offers(Actions& out) {
  if (target_.state() && !target_.spent()) target_.late();
  std::erase_if(questions_, [](const auto& q) { return q.second.errand == nullptr; });
  offers_awaited_ = 0;
  last_offers_us_ = now_us_;
  choose_us_ = now_us_ + options_.timing.answer;
  for (const auto& [id, peer] : peers_) {
    target_.withdraw(id);
    if (peer.banned) continue;
    ++offers_awaited_;
    ask(id, nullptr, out);
  }
}

// Whoever is free gets an equal part, so that all of them have something to do; first, after a new
// target, the one who named it: others may not have it.
void Receiver::ask_for_subtrees(Actions& out) {
  if (failure_ || !aimed() || work_.unwritten() >= 2 * options_.write_bytes) return;
  const auto n = static_cast<ReplicaId>(options_.config.n());
  for (std::size_t free = free_questions(); free > 0;) {
    const std::size_t share = (work_.open() + free - 1) / free;
    const std::size_t most = std::min(std::max<std::size_t>(share, 1), limits::kMaxSubtrees);
    free = 0;
    for (ReplicaId i = 0; i < n; ++i) {
      const ReplicaId r = (turn_ + i) % n;
      const auto peer = peers_.find(r);
      if (peer == peers_.end() || !may_ask(peer->second)) continue;
      auto tasks = work_.take(r, most);
      if (!tasks) return keep(tl::make_unexpected(std::move(tasks.error())));
      if (tasks->empty()) continue;
      auto errand = std::make_shared<Errand>();
      errand->tasks = std::move(*tasks);
      ask(r, std::move(errand), out);
      free = free_questions();
    }
    turn_ = (turn_ + 1) % n;
  }
  ask_others_too(out);
}

// Who has nothing to do is asked for what another one has had to itself for too long, so that no
// peer's pace is that of all.
void Receiver::ask_others_too(Actions& out) {
  if (mutant(Mutant::slow_peer_waited_for)) return;
  const Questions asked = questions_;
  for (const auto& [id, question] : asked) {
    const auto& errand = question.errand;
    if (!errand || errand->done || now_us_ - errand->last_us < options_.timing.alone) continue;
    for (const auto& [r, peer] : peers_) {
      const auto gone = [r = r](const Task& task) { return (task.gone >> r & 1) != 0; };
      if (!may_ask(peer) || (errand->askers >> r & 1) != 0 ||
          std::ranges::all_of(errand->tasks, gone))
        continue;
      ask(r, errand, out);
      break;
    }
  }
}

std::size_t Receiver::free_questions() const {
  std::size_t free = 0;
  for (const auto& [id, peer] : peers_)
    if (may_ask(peer)) free += kAtOnce - peer.asked;
  return free;
}

bool Receiver::may_ask(const Peer& peer) const {
  return !peer.banned && peer.asked < kAtOnce && peer.quiet_until_us <= now_us_ &&
         peer.pace.open(now_us_) && pace_.open(now_us_);
}

// Without an errand: for an offer.
void Receiver::ask(ReplicaId to, std::shared_ptr<Errand> errand, Actions& out) {
  FetchNodes question;
  question.id = next_id_++;
  if (errand) {
    ++peers_.at(to).asked;
    ++errand->under_way;
    errand->askers |= 1U << to;
    errand->last_us = now_us_;
    question.levels = errand->tasks.front().compares ? kCompareLevels : kAllLevels;
    for (const Task& task : errand->tasks)
      question.subtrees.push_back({task.subtree.region.prefix,
                                   static_cast<std::uint16_t>(task.subtree.region.bits),
                                   task.subtree.hash});
  }
  questions_[question.id] = {to, std::move(errand), question.subtrees.size(),
                             now_us_ + options_.timing.answer};
  out.push_back(action::Send{to, std::move(question)});
}

// Slow, or out of reach: others do its work, and it is tried again.
void Receiver::leave_alone(Peer& peer) {
  constexpr std::uint32_t kDoublings = 16;
  const std::uint64_t quiet = options_.timing.answer << std::min(peer.slow++, kDoublings);
  peer.quiet_until_us = now_us_ + std::min(quiet, options_.timing.longest_quiet);
}

// For as long as the transfer lasts. If that hits everybody, more than f are faulty or this replica
// errs: all get another chance.
void Receiver::ban(ReplicaId id) {
  if (mutant(Mutant::liar_not_banned)) return;
  peers_.at(id).banned = true;
  target_.withdraw(id);
  take_back(id);
  for (const auto& [r, peer] : peers_)
    if (!peer.banned) return;
  for (auto& [r, peer] : peers_) peer.banned = false;
}

// What it was asked for is had from others.
void Receiver::take_back(ReplicaId id) {
  for (auto it = questions_.begin(); it != questions_.end();)
    it = it->second.to == id ? drop(it) : std::next(it);
}

bool Receiver::asking() const {
  return std::ranges::any_of(
      questions_, [](const auto& q) { return q.second.errand && !q.second.errand->done; });
}

std::uint32_t Receiver::banned() const {
  std::uint32_t bits = 0;
  for (const auto& [id, peer] : peers_)
    if (peer.banned) bits |= 1U << id;
  return bits;
}

// Peers from which an answer can be hoped for now.
std::uint32_t Receiver::usable() const {
  std::uint32_t bits = 0;
  for (const auto& [id, peer] : peers_)
    if (!peer.banned && peer.quiet_until_us <= now_us_) bits |= 1U << id;
  return bits;
}

// ---- writing, and the end

void Receiver::check_end() {
  const bool aims = options_.restore || !target_.spent();
  if (failure_ || at_end_ || !aims || asking()) return;
  const bool unchecked = mutant(Mutant::final_root_unchecked);
  if (!work_.empty() && !unchecked) return;
  at_end_ = work_.reached() || unchecked;
  if (at_end_) {
    failed_ends_ = 0;
    return;
  }
  // What was cut out lay where nothing differed before.
  if (work_.take_cut() && !options_.restore) return keep(work_.restart(target_.state()->cert.body));
  // Never accepted "as computed": the walk begins again and finds where they differ.
  if (!options_.restore && ++failed_ends_ < kFailedEnds)
    return keep(work_.restart(target_.state()->cert.body));
  failure_ = Error{Errc::corrupt,
                   "state transfer: all parts were verified, and still the tree has another root "
                   "than the certified one; the state store or memory is damaged"};
}

void Receiver::write(Actions& out) {
  if (failure_ || writing_ || now_us_ < write_again_us_) return;
  if (!at_end_ && work_.unwritten() < options_.write_bytes) return;
  writing_ = true;
  last_write_ = at_end_;
  std::optional<CertifiedState> complete;
  if ((at_end_ || mutant(Mutant::mixture_as_state)) && !options_.restore)
    complete = target_.state();
  const bool restored = at_end_ && options_.restore;
  out.push_back(action::Write{work_.begin_write(), std::move(complete), restored});
}

void Receiver::set_deadline() {
  deadline_us_ = kNever;
  if (done_ || failure_ || last_write_) return;
  if (write_again_us_ > now_us_) deadline_us_ = write_again_us_;
  for (const auto& [id, q] : questions_) {
    deadline_us_ = std::min(deadline_us_, q.deadline_us);
    const std::uint64_t alone_until = q.errand ? q.errand->last_us + options_.timing.alone : 0;
    if (alone_until > now_us_ && !q.errand->done)
      deadline_us_ = std::min(deadline_us_, alone_until);
  }
  if (!at_end_ && !options_.restore)
    deadline_us_ = std::min(deadline_us_, choose_us_ != 0 ? choose_us_ : next_offers_us_);
  if (work_.open() == 0 || work_.unwritten() >= 2 * options_.write_bytes) return;
  for (const auto& [id, peer] : peers_) {
    const std::uint64_t opens =
        std::max({peer.quiet_until_us, peer.pace.opens_us(), pace_.opens_us()});
    if (!peer.banned && peer.asked < kAtOnce && opens > now_us_)
      deadline_us_ = std::min(deadline_us_, opens);
  }
}

void Receiver::keep(Status status) {
  if (!status && !failure_) failure_ = std::move(status.error());
}

}  // namespace bftmeta::transfer
