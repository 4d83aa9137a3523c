#include "replica/learner.hpp"

#include "replica/log.hpp"
#include "replica/state_store.hpp"

namespace bftmeta::replica {

namespace {

constexpr std::uint64_t kRoundUs = 200'000;
constexpr std::uint64_t kProgressUs = 10'000'000;
constexpr std::uint64_t kTellUs = 1'000'000;
constexpr std::uint64_t kDisbeliefUs = 1'000'000;  // whose steps did not hold
constexpr std::size_t kSliceRecords = 2000;

}  // namespace

Result<std::unique_ptr<Learner>> Learner::open(const Setup& setup,
                                               const storage::DataDirectory& directory,
                                               Membership& membership) {
  const config::ReplicaCard& card = *setup.card;
  if (card.vote_key != setup.signer->public_key() || card.link_key != setup.link_key.public_key)
    return fail(Errc::identity, "card " + setup.settings.card + ": it is of other keys than " +
                                    setup.settings.vote_key + " and " + setup.settings.link_key);
  std::unique_ptr<Learner> learner(new Learner(setup, directory, membership));
  learner->cluster_id_ = setup.genesis.cluster_id();
  const config::Replica own{limits::kMaxReplicas, card.vote_key, card.link_key, card.host,
                            card.port};
  learner->authenticator_ = std::make_unique<net::Authenticator>(learner->net_context_);
  BFTMETA_ASSIGN(learner->mesh_,
                 net::PeerMesh::open_as(learner->net_context_, *learner->authenticator_,
                                        membership.config(), own, setup.link_key,
                                        setup.settings.listen_host, learner->poller_.waker()));
  learner->poller_.add(*learner->mesh_);
  BFTMETA_TRY(learner->open_blocks(directory));
  BFTMETA_TRY(open_state_store(learner->marks_, directory, [&]() -> Status {
    BFTMETA_ASSIGN(learner->store_,
                   storage::LmdbPageStore::open(directory.state_path(),
                                                {.map_bytes = setup.settings.lmdb_map_bytes}));
    Status status = learner->begin_transfer();
    if (status) return status;
    learner->receiver_.reset();
    learner->store_.reset();
    return status;
  }));
  return learner;
}

Status Learner::open_blocks(const storage::DataDirectory& directory) {
  BFTMETA_ASSIGN(block_directory_,
                 blocks::BlockDirectory::open(
                     storage::posix_file_system(), directory.blocks_path(),
                     [](const std::string& line) { log_line(LogLevel::error, line); }));
  BFTMETA_ASSIGN(
      block_keeper_,
      BlockKeeper::open(
          net_context_, setup_.link_key, storage::posix_file_system(), *block_directory_,
          block_keeper_options(setup_, directory, membership_.config(), limits::kMaxReplicas)));
  return {};
}

void Learner::stop() {
  stopping_ = true;
  poller_.waker()->wake();
}

std::uint64_t Learner::now_us() const { return static_cast<std::uint64_t>(net::steady_us()); }

// A store that cannot be read any more is set aside by the next life of this process: what was in
// it is fetched again.
Result<bool> Learner::run() {
  while (!stopping_ && !next_epoch_) {
    const Status status = turn();
    if (status) continue;
    if (status.error().code != Errc::corrupt) return tl::make_unexpected(status.error());
    BFTMETA_TRY(marks_.suspect(status.error().message));
    return true;
  }
  return next_epoch_;
}

Status Learner::turn() {
  std::uint64_t due = next_round_us_;
  if (receiver_) due = std::min(due, receiver_->deadline());
  const std::uint64_t now = now_us();
  poller_.wait(std::chrono::microseconds(due > now ? due - now : 0));
  mesh_->receive([this](messages::ReplicaId from, ByteView frame) { receive(from, frame); });
  if (failure_) return tl::make_unexpected(std::move(*failure_));
  if (receiver_ && now_us() >= receiver_->deadline()) {
    transfer::Actions actions;
    receiver_->tick(now_us(), actions);
    BFTMETA_TRY(perform(actions));
  }
  if (now_us() >= next_round_us_) {
    next_round_us_ = now_us() + kRoundUs;
    announce();
    tell_progress();
    say_progress();
    if (!receiver_) BFTMETA_TRY(begin_transfer());
  }
  mesh_->flush();
  return {};
}

void Learner::receive(messages::ReplicaId from, ByteView frame) {
  if (failure_ || next_epoch_) return;
  auto message = messages::decode_peer_frame(context(), frame);
  if (!message) return;
  const auto keep = [this](const Status& status) {
    if (!status) failure_ = status.error();
  };
  if (auto* nodes = std::get_if<messages::NodesData>(&*message)) {
    if (!receiver_) return;
    transfer::Actions actions;
    receiver_->on(from, std::move(*nodes), now_us(), actions);
    keep(perform(actions));
  } else if (const auto* epochs = std::get_if<messages::Epochs>(&*message)) {
    if (now_us() < unbelieved_until_us_[from]) return;
    // What does not hold is its sender's fault; an error behind that is this replica's trouble.
    if (const auto end = membership_.end_of(verifier_, epochs->steps); !end) {
      unbelieved_until_us_[from] = now_us() + kDisbeliefUs;
      log_line(LogLevel::warn, "peer " + std::to_string(from) + ": " + end.error().message);
      return;
    }
    const Status followed =
        membership_.follow(storage::posix_file_system(), verifier_, epochs->steps);
    keep(followed);
    next_epoch_ = followed.has_value();
  }
}

// Every transfer begins at what the store holds, and goes for something newer.
Status Learner::begin_transfer() {
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  BFTMETA_ASSIGN(auto own, tree::Version::open(std::move(snapshot)));
  transfer::Options options = membership_.transfer_options(
      limits::kMaxReplicas, setup_.settings.state_fetch_rate);  // none of those who are asked
  meter_.begin(own.leaf_count(), now_us());
  next_progress_us_ = now_us() + kProgressUs;
  options.floor = state_ ? state_->cert.body.seq + 1 : 1;
  receiver_ = std::make_unique<transfer::Receiver>(std::move(options), verifier_, std::move(own));
  transfer::Actions actions;
  receiver_->tick(now_us(), actions);
  return perform(actions);
}

Status Learner::perform(transfer::Actions& actions) {
  for (std::size_t i = 0; i < actions.size(); ++i) {  // a write may add more
    if (auto* send = std::get_if<transfer::action::Send>(&actions[i])) {
      mesh_->send(send->to, messages::encode_frame(
                                context(), messages::PeerMessage(std::move(send->message))));
    } else {
      BFTMETA_TRY(write(std::move(std::get<transfer::action::Write>(actions[i])), actions));
    }
  }
  if (receiver_->failure()) return tl::make_unexpected(*receiver_->failure());
  return receiver_->done() ? arrived() : Status();
}

Status Learner::write(transfer::action::Write write, transfer::Actions& more) {
  BFTMETA_ASSIGN(auto writer, store_->begin());
  for (bool all = false; !all;) {
    BFTMETA_ASSIGN(all, write.set.write_some(*writer, kSliceRecords));
  }
  const Bytes meta =
      write.complete ? encode(execution::checkpoint_of(*write.complete)) : transfer::mixture_meta();
  BFTMETA_ASSIGN(auto snapshot, writer->commit(write.set.root_record(), meta));
  writer.reset();
  BFTMETA_TRY(store_->sync());
  receiver_->written(write.set, std::move(snapshot), now_us(), more);
  return {};
}

Status Learner::arrived() {
  const auto done = std::move(receiver_);
  if (!state_)
    log_line(LogLevel::info, "has the state of sequence number " +
                                 std::to_string(done->state().cert.body.seq) + " (" +
                                 std::to_string(done->received_bytes()) + " bytes)");
  state_ = done->state();
  version_ = done->version();
  BFTMETA_ASSIGN(joining_,
                 execution::joining(*version_, state_->cert.body, setup_.signer->public_key()));
  // A pass over an older state, of a peer that was behind or of a proposal that was taken back, has
  // not seen what was named before this one.
  if (joining_.ready) {
    if (proposal_ != joining_.ready->proposal) block_keeper_->transferred();
    proposal_ = joining_.ready->proposal;
  }
  block_keeper_->publish(*version_, {});
  announce();
  return {};
}

// What the state that it has asks of it: again with every round, since anything may be lost.
void Learner::announce() {
  std::string waits = "waits for a change of the configuration that names its card";
  if (state_) {
    const bool complete = block_keeper_->complete();
    ready_ = joining_.expected && (complete || !joining_.ready);
    if (joining_.ready && complete)
      send_all(
          messages::Forward{messages::sign_ready(*setup_.signer, cluster_id_, *joining_.ready)});
    if (joining_.end_share)
      send_all(messages::sign_share(*setup_.signer, state_->cert.body, *joining_.end_share));
    if (joining_.ready && !complete)
      waits = waits_for_blocks();
    else if (joining_.expected)
      waits = joining_.epoch_end == 0
                  ? "is ready; waits for the other members of the next epoch"
                  : "is ready; the epoch ends at " + std::to_string(joining_.epoch_end);
  }
  if (waits != said_)
    log_line(LogLevel::info,
             "no member of epoch " + std::to_string(membership_.epoch()) + ": " + waits);
  said_ = std::move(waits);
}

// To the members, for their status: nobody else can be asked.
void Learner::tell_progress() {
  if (now_us() < next_tell_us_) return;
  next_tell_us_ = now_us() + kTellUs;
  messages::Learning learning;
  learning.blocks = block_keeper_->progress();
  learning.ready = ready_;
  if (state_) learning.seq = state_->cert.body.seq;
  if (receiver_) learning.transfer = meter_.progress(*receiver_, now_us());
  send_all(learning);
}

// Of a transfer that takes its time, to whoever waits beside it.
void Learner::say_progress() {
  if (!receiver_ || !receiver_->target() || now_us() < next_progress_us_) return;
  next_progress_us_ = now_us() + kProgressUs;
  log_line(LogLevel::info, to_string(meter_.progress(*receiver_, now_us())));
}

std::string Learner::waits_for_blocks() const {
  const messages::BlocksProgress blocks = block_keeper_->progress();
  if (blocks.running || blocks.finished_s == 0) return "fetches the blocks that files name";
  return "is not ready: files name " + std::to_string(blocks.missing) +
         " blocks that no member has given; it asks again";
}

// What is sent to a member that does not let it in yet would only wait there, and grow old.
void Learner::send_all(const messages::PeerMessage& message) {
  const Bytes frame = messages::encode_frame(context(), message);
  for (messages::ReplicaId r = 0; r < membership_.config().n(); ++r)
    if (const net::ClientLink* link = mesh_->link(r);
        link != nullptr && link->state() == net::LinkState::connected)
      mesh_->send(r, frame);
}

}  // namespace bftmeta::replica
