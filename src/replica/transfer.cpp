// A replica that fetches the state from its peers (src/transfer), and what it serves of its own.
#include "replica/log.hpp"
#include "replica/replica.hpp"

namespace bftmeta::replica {

// Subtrees are no affair of the core: questions go to the reading thread, answers to the receiver.
bool Replica::take_nodes(messages::ReplicaId from, messages::PeerMessage& message) {
  if (auto* question = std::get_if<messages::FetchNodes>(&message)) {
    reads_->ask_nodes({from, std::move(*question)});
    return true;
  }
  auto* answer = std::get_if<messages::NodesData>(&message);
  if (answer == nullptr) return false;
  if (receiver_) {
    transfer::Actions actions;
    receiver_->on(from, std::move(*answer), now().mono_us, actions);
    keep(perform(actions));
  }
  return true;
}

// What is due: the beginning, once the flush under way has ended; a timer.
Status Replica::try_transfer() {
  if (transfer_floor_ && !flusher_->busy()) {
    BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
    BFTMETA_ASSIGN(auto own, tree::Version::open(std::move(snapshot)));
    transfer::Options options =
        membership_.transfer_options(self_, setup_.settings.state_fetch_rate);
    options.floor = *std::exchange(transfer_floor_, std::nullopt);
    // A repair that was under way is part of it.
    std::ranges::move(std::exchange(restored_, {}), std::back_inserter(damaged_));
    options.damaged = replaced_ = std::exchange(damaged_, {});
    std::string why = "the others' logs do not reach back to sequence number " +
                      std::to_string(core_->executed_seq() + 1);
    if (!options.damaged.empty()) why = "the state store is damaged";
    if (core_->out_of_service()) why = "the state has diverged";
    log_line(LogLevel::warn,
             why + ": fetching the state at or behind " + std::to_string(options.floor));
    transfer_meter_.begin(own.leaf_count(), now().mono_us);
    receiver_ =
        std::make_unique<transfer::Receiver>(std::move(options), *verifier_, std::move(own));
  }
  if (!receiver_) return {};
  transfer::Actions actions;
  if (now().mono_us >= receiver_->deadline()) receiver_->tick(now().mono_us, actions);
  return perform(actions);
}

Status Replica::perform(transfer::Actions& actions) {
  for (transfer::Action& action : actions) {
    if (auto* send = std::get_if<transfer::action::Send>(&action))
      release({send->to, std::move(send->message), 0});
    else
      write(std::move(std::get<transfer::action::Write>(action)));
  }
  if (receiver_->failure()) return transfer_failed(*receiver_->failure());
  if (!receiver_->done()) return {};
  return restoring() ? repaired() : transferred();
}

Status Replica::transfer_failed(const Error& error) {
  if (restoring() && error.code == Errc::not_found) return fetch_instead(error.message);
  if (error.code == Errc::corrupt) return give_up_store(error);
  return tl::make_unexpected(error);
}

void Replica::write(transfer::action::Write write) {
  if (!write.complete)
    return flusher_->start(
        {std::move(write.set), write.restored ? restored_meta_ : transfer::mixture_meta(), 0});
  const execution::Checkpoint checkpoint = execution::checkpoint_of(*write.complete);
  flusher_->start({std::move(write.set), encode(checkpoint), checkpoint.seq});
}

// The store holds the state, durably. The log follows (protocol §4.6).
Status Replica::transferred() {
  const auto done = std::move(receiver_);
  const tree::Version version = done->version();
  repairs_.repaired(std::exchange(replaced_, {}), net::steady_us());
  auto engine = execution::Engine::from_checkpoint(
      cluster_id_, *verifier_, execution::checkpoint_of(done->state()), version);
  if (!engine) {
    // What differed is here; what did not may have been rotten before.
    BFTMETA_TRY(note_damaged(version.take_rotten()));
    if (damaged_.empty()) return transfer_failed(engine.error());
    transfer_floor_ = done->state().cert.body.seq;
    return {};
  }
  machine_->replace(std::move(*engine));
  flushed_seq_ = flush_from_ = machine_->executed_seq();
  flush_started_us_ = net::steady_us();
  published_ = false;
  block_keeper_->transferred();
  log_->set_flushed(flushed_seq_);
  log_line(LogLevel::warn, "fetched the state of sequence number " + std::to_string(flushed_seq_) +
                               " (" + std::to_string(done->received_bytes()) +
                               " bytes); following the others again");
  return step(consensus::event::Transferred{done->state()});
}

messages::TransferProgress Replica::transfer_progress() const {
  if (receiver_) return transfer_meter_.progress(*receiver_, now().mono_us);
  messages::TransferProgress p;
  p.running = transfer_floor_.has_value();
  return p;
}

}  // namespace bftmeta::replica
