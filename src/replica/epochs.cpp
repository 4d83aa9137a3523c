// From one epoch to the next as a process sees it (protocol §9.2): a member that has the joint
// certificate, or is shown one, stores it and is opened anew, as after a restart; a peer or client
// that is still in an epoch that is over is shown the way.
#include "replica/log.hpp"
#include "replica/replica.hpp"

namespace bftmeta::replica {

namespace {

// How long a member that leaves still shows others the joint certificate.
constexpr std::int64_t kLeaveUs = 30'000'000;
// Steps that do not hold cost up to f + 1 signature checks; their sender is not heard for so long.
constexpr std::int64_t kUnbelievedUs = 1'000'000;
constexpr std::int64_t kEnterAgainUs = 5'000'000;
constexpr std::int64_t kShowAgainUs = 50'000;  // to one peer
constexpr std::uint64_t kShownSteps = 8;       // whoever one of the last so many has left out
constexpr std::int64_t kRefusedUs = 10'000'000;
constexpr std::int64_t kHeardUs = 10'000'000;  // who has said nothing for so long is gone

}  // namespace

// Frames of an epoch that is over are answered with the chain from there, in that epoch. Those of a
// later one say nothing here: their sender answers ours like this.
bool Replica::of_this_epoch(ByteView frame, const ShowEpochs& show) {
  const auto epoch = messages::frame_epoch(cluster_id_, frame);
  const bool readable = !epoch || *epoch == membership_.epoch();
  if (readable) return leaves_us_ == 0 && !next_epoch_;
  if (const auto from = messages::epoch_to_show(cluster_id_, membership_.epoch(), frame))
    show({cluster_id_, *from});
  return false;
}

// A peer that is behind sends many frames, and one answer leads it.
void Replica::show_epochs(messages::ReplicaId to, const crypto::Context& theirs) {
  const std::int64_t now_us = net::steady_us();
  if (now_us < shown_again_us_[to]) return;
  shown_again_us_[to] = now_us + kShowAgainUs;
  mesh_->send(to, messages::encode_frame(
                      theirs, messages::PeerMessage(membership_.steps_from(theirs.epoch))));
}

// When the core may go there is the core's matter.
void Replica::follow(messages::ReplicaId from, const messages::Epochs& epochs) {
  const std::int64_t now_us = net::steady_us();
  if (!next_steps_.empty() || now_us < unbelieved_until_us_[from]) return;
  if (const auto end = membership_.end_of(*verifier_, epochs.steps); !end) {
    unbelieved_until_us_[from] = now_us + kUnbelievedUs;
    log_line(LogLevel::warn, "peer " + std::to_string(from) + ": " + end.error().message);
    return;
  }
  next_steps_ = epochs.steps;
  keep(step(consensus::event::EpochShown{next_steps_.front()}));
}

// The chain is durable before anything is done in the new epoch. What this core still has to say is
// of the old one, and nobody needs it any more.
Status Replica::enter_epoch() {
  if (!epoch_ended_ || next_epoch_ || leaves_us_ != 0 || net::steady_us() < enters_us_) return {};
  const std::uint64_t before = membership_.epoch();
  Status followed = membership_.follow(storage::posix_file_system(), *verifier_, next_steps_);
  if (!followed && followed.error().code == Errc::disk_full) {  // this one goes on until then
    enters_us_ = net::steady_us() + kEnterAgainUs;
    log_line(LogLevel::error, "the next epoch waits: " + followed.error().message);
    return {};
  }
  if (membership_.epoch() == before) return followed;
  waiting_.clear();
  if (!followed) {  // without this replica
    log_line(LogLevel::warn, followed.error().message);
    leaves_us_ = net::steady_us() + kLeaveUs;
    return {};
  }
  log_line(LogLevel::info, "epoch " + std::to_string(membership_.epoch()) + " begins behind " +
                               std::to_string(membership_.start()) + " with " +
                               std::to_string(membership_.config().n()) + " replicas");
  next_epoch_ = true;
  return {};
}

// The next life begins with the state that this one ends with, unless it has to be fetched.
void Replica::leave_epoch() {
  if (published_ && published_seq_ == membership_.start()) setup_.block_rest = block_keeper_->end();
}

// Who joins has to be let in before the epoch ends: it fetches the state and the blocks, says
// READY, and signs the last batch. A link that can not be made is the joining replica's trouble,
// not this one's.
void Replica::expect_joining() {
  const config::Config& now = membership_.config();
  const auto change = machine_->engine().pending_change();
  // A machine that is behind, or at genesis while a state is fetched, names members that have left.
  const config::Config& next = change ? change->next : machine_->engine().config();
  if (next.epoch != now.epoch && next.epoch != now.epoch + 1) return;
  net::PeerMesh::Peers joining;
  for (const std::uint32_t i : config::difference(now, next).joining)
    joining[now.n() + i] = next.replicas[i];
  if (joining == joining_) return;
  joining_ = joining;
  heard_of_joining_.clear();
  refresh_members();
  if (const Status expected = mesh_->expect(joining); !expected)
    log_line(LogLevel::warn, "a joining replica: " + expected.error().message);
}

// For the status; it may be a lie, about itself.
void Replica::note_learning(messages::ReplicaId from, const messages::Learning& learning) {
  if (joining_.contains(from)) heard_of_joining_[from] = {learning, net::steady_us()};
}

std::vector<messages::Joining> Replica::heard_of_joining() const {
  std::vector<messages::Joining> joining;
  for (const auto& [number, heard] : heard_of_joining_)
    if (net::steady_us() - heard.at_us < kHeardUs)
      joining.push_back({number - membership_.config().n(), heard.learning});
  return joining;
}

// Whom a step has left out may have to hear of it from members: when these had the joint
// certificate, their links of the epoch before were gone. It is let in for as long as it would show
// the step to others, and heard for nothing but to be shown it. More than the last step, because
// the next one may follow at once.
void Replica::let_in_left_out() {
  net::PeerMesh::Peers left;
  for (const config::Replica& r : membership_.left_out(kShownSteps))
    left.emplace(kFirstLeftOut + static_cast<messages::ReplicaId>(left.size()), r);
  mesh_->let_in(left);
  lets_left_in_until_us_ = left.empty() ? 0 : net::steady_us() + kLeaveUs;
}

// Now and then. After that nobody tells a replica that it was left out, but members refuse it: more
// than may be wrong about it, and too few are left for it to be one.
void Replica::note_doors() {
  const std::int64_t now_us = net::steady_us();
  if (lets_left_in_until_us_ != 0 && now_us >= lets_left_in_until_us_) {
    lets_left_in_until_us_ = 0;
    mesh_->let_in({});
  }
  const std::uint32_t f = membership_.config().f();
  const bool out =
      mesh_->count(net::LinkState::refused) > f && mesh_->count(net::LinkState::connected) <= f;
  if (!out) {
    refused_since_us_ = 0;
    refusal_said_ = false;
  } else if (refused_since_us_ == 0) {
    refused_since_us_ = now_us;
  } else if (!refusal_said_ && now_us - refused_since_us_ >= kRefusedUs) {
    refusal_said_ = true;
    log_line(LogLevel::error,
             std::to_string(mesh_->count(net::LinkState::refused)) +
                 " members refuse this replica's link key: it has probably been removed or "
                 "replaced while it was away; 'bftadm replica list' says who is a member");
  }
}

}  // namespace bftmeta::replica
