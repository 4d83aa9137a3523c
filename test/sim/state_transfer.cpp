#include "sim/state_transfer.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim {

std::shared_ptr<StateTransfer> StateTransfer::start(transfer::Options options,
                                                    const crypto::Verifier& verifier,
                                                    Transferable& machine, Scheduler& scheduler,
                                                    Random random, Callbacks callbacks) {
  auto snapshot = machine.store()->snapshot();
  BFTMETA_ASSERT(snapshot.has_value());
  auto own = tree::Version::open(std::move(*snapshot));
  BFTMETA_ASSERT(own.has_value());
  std::shared_ptr<StateTransfer> transfer(new StateTransfer(std::move(options), verifier, machine,
                                                            scheduler, random, std::move(callbacks),
                                                            std::move(*own)));
  transfer::Actions actions;
  transfer->receiver_.tick(scheduler.now(), actions);
  transfer->perform(actions);
  return transfer;
}

StateTransfer::StateTransfer(transfer::Options options, const crypto::Verifier& verifier,
                             Transferable& machine, Scheduler& scheduler, Random random,
                             Callbacks callbacks, tree::Version own)
    : machine_(machine),
      scheduler_(scheduler),
      random_(random),
      callbacks_(std::move(callbacks)),
      receiver_(std::move(options), verifier, std::move(own)) {}

void StateTransfer::on(messages::ReplicaId from, messages::NodesData answer) {
  transfer::Actions actions;
  receiver_.on(from, std::move(answer), scheduler_.now(), actions);
  perform(actions);
}

void StateTransfer::perform(transfer::Actions& actions) {
  for (transfer::Action& action : actions) {
    if (auto* send = std::get_if<transfer::action::Send>(&action)) {
      callbacks_.send(send->to, std::move(send->message));
      continue;
    }
    auto write = std::make_shared<transfer::action::Write>(
        std::move(std::get<transfer::action::Write>(action)));
    scheduler_.after(random_.between(500, 20'000), [weak = weak_from_this(), write] {
      if (const auto self = weak.lock()) self->commit(*write);
    });
  }
  if (receiver_.failure()) return callbacks_.failed(*receiver_.failure());
  const std::uint64_t due = std::max(receiver_.deadline(), scheduler_.now() + 1);
  if (receiver_.done() || receiver_.deadline() == transfer::Receiver::kNever ||
      (timer_at_ > scheduler_.now() && timer_at_ <= due))
    return;
  timer_at_ = due;
  scheduler_.at(due, [weak = weak_from_this(), due] {
    const auto self = weak.lock();
    if (!self || self->timer_at_ != due) return;
    self->timer_at_ = 0;
    transfer::Actions later;
    self->receiver_.tick(self->scheduler_.now(), later);
    self->perform(later);
  });
}

void StateTransfer::commit(const transfer::action::Write& write) {
  auto writer = machine_.store()->begin();
  BFTMETA_ASSERT(writer.has_value());
  tree::WriteSet set = write.set;
  while (true) {
    const auto all = set.write_some(**writer, 1000);
    BFTMETA_ASSERT(all.has_value());
    if (*all) break;
  }
  const Bytes meta =
      write.complete ? machine_.checkpoint_of(*write.complete) : transfer::mixture_meta();
  auto snapshot = (*writer)->commit(set.root_record(), meta);
  BFTMETA_ASSERT(snapshot.has_value());
  transfer::Actions actions;
  receiver_.written(set, std::move(*snapshot), scheduler_.now(), actions);
  perform(actions);
  callbacks_.written(write.complete);
}

}  // namespace bftmeta::sim
