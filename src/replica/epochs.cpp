// From one epoch to the next as a process sees it (protocol §9.2): a member that has the joint
// certificate, or is shown one, stores it and is opened anew, as after a restart; a peer or client
// that is still in an epoch that is over is shown the way.
#include "replica/log.hpp"
#include "replica/replica.hpp"

namespace bftmeta::replica {

namespace {

// How long a member that leaves still shows others the joint certificate.
constexpr std::int64_t kLeaveUs = 30'000'000;

}  // namespace

// Frames of an epoch that is over are answered with the chain from there, in that epoch. Those of a
// later one say nothing here: their sender answers ours like this.
bool Replica::of_this_epoch(ByteView frame, const ShowEpochs& show) {
  const auto epoch = messages::frame_epoch(cluster_id_, frame);
  const bool readable = !epoch || *epoch == membership_.epoch();
  if (readable) return leaves_us_ == 0 && !next_epoch_;
  if (const auto from = messages::epoch_to_show(cluster_id_, membership_.epoch(), frame))
    show({cluster_id_, *from}, membership_.steps_from(*from));
  return false;
}

void Replica::follow(messages::ReplicaId from, const messages::Epochs& epochs) {
  const Status followed = enter_epoch(epochs.steps);
  if (!followed && followed.error().code == Errc::unverified)
    log_line(LogLevel::warn, "peer " + std::to_string(from) + ": " + followed.error().message);
  else
    keep(followed);
}

// The chain is durable before anything is done in the new epoch. What this core still has to say is
// of the old one, and nobody needs it any more.
Status Replica::enter_epoch(std::span<const messages::EpochStep> steps) {
  // The same end may be shown by a peer and found by the core within one turn.
  if (next_epoch_ || leaves_us_ != 0) return {};
  const std::uint64_t before = membership_.epoch();
  Status followed = membership_.follow(storage::posix_file_system(), *verifier_, steps);
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

// Who joins has to be let in before the epoch ends: it fetches the state and the blocks, says
// READY, and signs the last batch. A link that can not be made is the joining replica's trouble,
// not this one's.
void Replica::expect_joining() {
  const config::Config& now = membership_.config();
  const auto change = machine_->engine().pending_change();
  const config::Config& next = change ? change->next : machine_->engine().config();
  net::PeerMesh::Peers joining;
  for (const std::uint32_t i : config::difference(now, next).joining)
    joining[now.n() + i] = next.replicas[i];
  if (joining == joining_) return;
  joining_ = joining;
  refresh_members();
  if (const Status expected = mesh_->expect(joining); !expected)
    log_line(LogLevel::warn, "a joining replica: " + expected.error().message);
}

}  // namespace bftmeta::replica
