// Damage in the state store (protocol §7.8): what is rotten is fetched again from peers while this
// replica goes on; a store that cannot be read at all is given up.
#include "replica/log.hpp"
#include "replica/replica.hpp"
#include "tree/fragment.hpp"

namespace bftmeta::replica {

using tree::Subtree;

// All that is stored.
void Replica::scrub(std::uint64_t bytes_per_s) {
  const std::uint64_t rate = std::clamp(bytes_per_s, Scrubber::kSlowest, Scrubber::kFastest);
  scrubber_->begin(rate);
  block_keeper_->check_all(rate);
}

// What is due: the beginning, once nothing else writes to the store; the end of patience.
Status Replica::try_repair() {
  if (const auto broken = store_->broken()) return give_up_store(*broken);
  if (const auto fault = scrubber_->take_fault()) return give_up_store(*fault);
  repairs_.met(machine_->engine().version().take_rotten());
  repairs_.met(scrubber_->take_rotten());
  if (restoring() && net::steady_us() >= repair_deadline_us_)
    return fetch_instead("nobody has served them in time");
  if (!repairs_.waiting() || receiver_ || transfer_floor_ || core_->transferring() ||
      flusher_->busy())
    return {};
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  if (snapshot->generation() == 0) return {};
  BFTMETA_ASSIGN(auto own, tree::Version::open(snapshot, {.pinned_nodes = 0}));
  BFTMETA_ASSIGN(std::vector<Subtree> damaged, still_damaged(own));
  if (damaged.empty()) return {};
  return begin_repair(std::move(damaged), std::move(own), snapshot->meta());
}

// What a damaged segment holds of votes goes into a new one, out of memory; what it holds of
// history is not needed any more once the state store has it. Nothing is written before peers have
// said what they know of this replica's votes.
Status Replica::try_repair_log() {
  if (scrubber_->wants_log()) scrubber_->read_log(log_->written());
  if (core_->standing() == consensus::Standing::asking) return {};
  bool found = false;
  auto damaged = log_->take_damage();
  std::ranges::move(scrubber_->take_log_damage(), std::back_inserter(damaged));
  for (const auto& [segment, why] : damaged) {
    if (!log_->give_up(segment)) continue;
    found = true;
    ++log_damage_found_;
    log_line(LogLevel::warn, "the log is damaged: " + why +
                                 "; votes go on in a new segment, and this one is let go of when "
                                 "the state store has what is in it");
  }
  const std::uint64_t before = log_->damaged_gone();
  if (found && space_) BFTMETA_TRY(sync_log());
  if (const auto gone = log_->let_go(); !gone)
    log_line(LogLevel::error, "a damaged segment of the log stays: " + gone.error().message);
  if (log_->damaged_gone() != before)
    log_line(LogLevel::warn, "let go of a damaged segment of the log");
  return {};
}

// A place that was repaired a moment ago lies in a part of the file that does not keep what is
// written to it, or under a page that leads LMDB astray.
Status Replica::check_repaired(const Subtree& place) {
  if (!repairs_.repaired_lately(place, net::steady_us())) return {};
  return give_up_store(
      {Errc::corrupt, "a part of the state store was repaired and is damaged again"});
}

// Old versions may have met what is repaired or replaced by now.
Result<std::vector<Subtree>> Replica::still_damaged(const tree::Version& own) {
  std::vector<Subtree> damaged;
  for (Subtree& place : tree::unreadable(own, repairs_.take())) {
    tree::NodeCache of_head;
    const auto needed = tree::holds(machine_->engine().version(), place, of_head);
    if (needed && !*needed) continue;
    BFTMETA_TRY(check_repaired(place));
    damaged.push_back(std::move(place));
  }
  machine_->engine().version().take_rotten();  // by looking
  return damaged;
}

Status Replica::begin_repair(std::vector<Subtree> damaged, tree::Version own, Bytes meta) {
  BFTMETA_ASSIGN(const execution::Checkpoint checkpoint, execution::decode_checkpoint(meta));
  transfer::Options options = membership_.transfer_options(self_, setup_.settings.state_fetch_rate);
  options.damaged = restored_ = std::move(damaged);
  options.restore = checkpoint.body;
  restored_meta_ = std::move(meta);
  repair_deadline_us_ = net::steady_us() + kRepairUs;
  log_line(LogLevel::warn, "the state store is damaged in " + std::to_string(restored_.size()) +
                               " places: repairing them from peers");
  receiver_ = std::make_unique<transfer::Receiver>(std::move(options), *verifier_, std::move(own));
  return {};
}

// The same tree is in the store again.
Status Replica::repaired() {
  const auto done = std::move(receiver_);
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  machine_->engine().rebase(tree::on_equal(machine_->engine().head(), std::move(snapshot)));
  republish();
  repairs_.repaired(std::exchange(restored_, {}), net::steady_us());
  log_line(LogLevel::warn, "repaired: " + std::to_string(done->repairs()) + " subtrees (" +
                               std::to_string(done->received_bytes()) + " bytes) from peers");
  return {};
}

// The damaged parts have changed since: the whole difference to a newer state is fetched.
Status Replica::fetch_instead(const std::string& why) {
  log_line(LogLevel::warn, "the damaged parts of the state store can not be repaired: " + why +
                               "; fetching a newer state");
  receiver_.reset();
  std::ranges::move(std::exchange(restored_, {}), std::back_inserter(damaged_));
  return step(consensus::event::Damaged{});
}

// A batch could not be executed: the state as of a newer certificate is fetched, and of the own one
// what can be read is taken.
Status Replica::note_unreadable(const Error& error) {
  if (const auto broken = store_->broken()) return give_up_store(*broken);
  std::vector<Subtree> met = machine_->engine().version().take_rotten();
  if (met.empty() && damaged_.empty() && restored_.empty()) return tl::make_unexpected(error);
  BFTMETA_TRY(note_damaged(met));
  log_line(LogLevel::error, error.message);
  return {};
}

// For the next transfer to fetch anew. A reader of an older version may have met what was repaired
// a moment before.
Status Replica::note_damaged(const std::vector<Subtree>& places) {
  if (places.empty()) return {};
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  BFTMETA_ASSIGN(const auto own, tree::Version::open(std::move(snapshot), {.pinned_nodes = 0}));
  for (Subtree& place : tree::unreadable(own, places)) {
    BFTMETA_TRY(check_repaired(place));
    damaged_.push_back(std::move(place));
  }
  return {};
}

// The next start of this process sets it aside (main.cpp).
tl::unexpected<Error> Replica::give_up_store(const Error& error) {
  reopens_ = true;
  if (const Status noted = marks_->suspect(error.message); !noted)
    return tl::make_unexpected(noted.error());
  return tl::make_unexpected(error);
}

}  // namespace bftmeta::replica
