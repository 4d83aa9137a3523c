#include "adversary/instance.hpp"

namespace bftmeta::adversary {

Instance::Instance(const Identity& identity, consensus::Now now, std::vector<consensus::Record> log)
    : self_(identity.self),
      n_(identity.config.n()),
      log_(std::move(log)),
      machine_(identity.fresh_machine()) {
  consensus::Options options;
  options.self = self_;
  options.cluster_id = identity.cluster_id;
  options.config = identity.config;
  options.timing = identity.timing;
  options.epoch_start = identity.epoch_start;
  core_ = std::make_unique<consensus::Core>(options, *identity.signer, *identity.verifier,
                                            *machine_, archive_);
  consensus::Actions actions;
  consensus::Recovered from_log;
  from_log.records = log_;
  core_->start(std::move(from_log), now, actions);
  perform(actions);
}

void Instance::deliver(ReplicaId from, const PeerMessage& message, consensus::Now now) {
  step(consensus::event::Peer{from, message}, now);
}

void Instance::submit(const messages::Item& item, consensus::Now now) {
  step(consensus::event::Client{item, 0}, now);
}

void Instance::tick(consensus::Now now) {
  if (now.mono_us >= deadline()) step(consensus::event::Tick{}, now);
}

std::vector<consensus::Interceptor::Unasked> Instance::take_sent() {
  return std::exchange(sent_, {});
}

// Its memory counts as durable at once: a Byzantine replica need not be careful.
void Instance::step(consensus::Event event, consensus::Now now) {
  consensus::Actions actions;
  const consensus::Lsn before = appended_;
  core_->step(std::move(event), now, actions);
  perform(actions);
  if (appended_ != before) step(consensus::event::Durable{appended_}, now);
}

void Instance::perform(consensus::Actions& actions) {
  for (consensus::Action& action : actions) {
    if (auto* append = std::get_if<consensus::action::Append>(&action)) {
      log_.push_back(std::move(append->record));
      ++appended_;
    } else if (auto* send = std::get_if<consensus::action::Send>(&action)) {
      for (ReplicaId to = 0; to < n_; ++to)
        if (to != self_ && (!send->to || *send->to == to)) sent_.push_back({to, send->message});
    }
  }
}

}  // namespace bftmeta::adversary
