// A state machine that only hashes: sessions count their bundles, the state root is a hash chain
// over batch digests. It isolates agreement from execution. Deterministic by construction.
#pragma once

#include <algorithm>
#include <map>

#include "messages/merkle.hpp"
#include "sim/machine.hpp"

namespace bftmeta::sim {

class ToyMachine final : public Machine {
 public:
  explicit ToyMachine(const Hash& cluster_id, const config::Config& config)
      : cluster_id_(cluster_id),
        config_hash_(config.hash()),
        epoch_(config.epoch),
        history_(messages::history_start(cluster_id)) {}

  messages::Seq executed_seq() const override { return seq_; }
  Hash history_hash() const override { return history_; }

  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override {
    const messages::Seq seq = seq_ + 1;
    time_us_ = std::max(batch.batch.time_us, time_us_ + 1);
    auto& outcomes = outcomes_[seq];
    consensus::Outcome out;
    for (const messages::ParsedItem& item : batch.items) {
      outcomes.push_back(run(seq, item));
      out.first_time.push_back(outcomes.back().first_time);
    }
    state_ = crypto::Hasher(tags::Domain::state_root).update(state_).update(batch.digest).finish();
    out.header = {seq,   batch.digest, time_us_, {}, static_cast<std::uint32_t>(batch.items.size()),
                  state_};
    history_ = messages::extend_history(history_, out.header);
    out.body.cluster_id = cluster_id_;
    out.body.epoch = epoch_;
    out.body.config_hash = config_hash_;
    out.body.seq = seq;
    out.body.history_hash = history_;
    out.body.state_root = state_;
    out.body.reply_count = out.header.reply_count;
    out.body.time_us = time_us_;
    out.body.epoch_end_seq = epoch_end_;
    if (seq == epoch_end_) out.body.next_config_hash = next_->hash();
    seq_ = seq;
    return out;
  }

  consensus::Admission admit(const messages::ParsedItem& item) const override {
    const messages::Bundle* bundle = item.bundle();
    if (bundle == nullptr) return consensus::Admission::accept;
    const auto it = sessions_.find(bundle->session_id);
    if (it == sessions_.end()) return consensus::Admission::no_session;
    if (bundle->bundle_no <= it->second) return consensus::Admission::done;
    if (bundle->bundle_no > it->second + limits::kSessionWindow)
      return consensus::Admission::out_of_window;
    return consensus::Admission::accept;
  }

  std::uint64_t last_bundle(const Id16& session) const override {
    const auto it = sessions_.find(session);
    return it == sessions_.end() ? 0 : it->second;
  }

  std::vector<Outcome> outcomes(messages::Seq seq) const override {
    const auto it = outcomes_.find(seq);
    return it == outcomes_.end() ? std::vector<Outcome>{} : it->second;
  }
  // Proves nothing: clients of a toy cluster believe correct replicas.
  std::optional<messages::Reply> reply(messages::Seq seq, std::size_t index,
                                       const messages::RootCert& cert) const override {
    const auto it = outcomes_.find(seq);
    if (it == outcomes_.end()) return std::nullopt;
    const Outcome& outcome = it->second.at(index);
    messages::Reply reply;
    reply.request_digest = outcome.request_digest;
    reply.session_id = outcome.session_id;
    reply.bundle_no = outcome.bundle_no;
    reply.results = encode(result_of(outcome));
    reply.headers.emplace_back().seq = seq;
    reply.cert = cert;
    return reply;
  }
  const tree::Version* version(messages::Seq) const override { return nullptr; }

  // From the next batch on it says that the epoch ends with `seq`, and then that `next` follows.
  void end_epoch(messages::Seq seq, config::Config next) {
    epoch_end_ = seq;
    next_ = std::move(next);
  }
  std::optional<config::Config> next_config() const override {
    return seq_ == epoch_end_ ? next_ : std::nullopt;
  }
  std::optional<Hash> unconfirmed(const PublicKey&) const override { return unconfirmed_; }
  void wait_for_ready(std::optional<Hash> of) { unconfirmed_ = of; }

  // A bit flip in its memory: every state from the next batch on is another one.
  void damage(std::uint8_t bits) { state_[0] ^= bits; }

  void begin_flush() override {
    flushed_.reset();
    flushed_ = std::make_shared<ToyMachine>(*this);
  }
  std::unique_ptr<Machine> finish_flush() override { return flushed_->reopen(); }
  std::unique_ptr<Machine> reopen() const override { return std::make_unique<ToyMachine>(*this); }

 private:
  static bool closes(const messages::Bundle& bundle) {
    return std::ranges::any_of(bundle.operations, [](const schema::Operation& op) {
      return std::holds_alternative<schema::CloseSession>(op.body);
    });
  }

  Outcome run(messages::Seq seq, const messages::ParsedItem& item) {
    Outcome out;
    out.request_digest = item.digest;
    if (const messages::Bundle* bundle = item.bundle()) {
      out.session_id = bundle->session_id;
      out.bundle_no = bundle->bundle_no;
      std::uint64_t& last = sessions_[bundle->session_id];
      out.final = bundle->bundle_no <= last + 1;
      out.first_time = bundle->bundle_no == last + 1;
      if (out.first_time) {
        last = bundle->bundle_no;
        if (closes(*bundle)) sessions_.erase(bundle->session_id);
      }
    } else {
      const Hash id =
          crypto::Hasher(tags::Domain::session_id).update(item.digest).update_u64(seq).finish();
      std::copy_n(id.begin(), out.session_id.size(), out.session_id.begin());
      const auto [known, first] = opened_.try_emplace(item.digest, out.session_id);
      out.session_id = known->second;
      out.first_time = first;
      if (first) sessions_[out.session_id] = 0;
    }
    out.results_digest = messages::results_digest(encode(result_of(out)));
    return out;
  }

  static schema::BundleResult result_of(const Outcome& outcome) {
    schema::BundleResult result;
    result.outcome = outcome.bundle_no == 0 ? schema::BundleOutcome::session_opened
                                            : schema::BundleOutcome::done;
    if (!outcome.final) result.outcome = schema::BundleOutcome::skipped;
    result.session_id = outcome.bundle_no == 0 ? outcome.session_id : Id16{};
    return result;
  }

  Hash cluster_id_;
  Hash config_hash_;
  std::uint64_t epoch_;
  messages::Seq seq_ = 0;
  std::uint64_t time_us_ = 0;
  Hash history_;
  Hash state_{};
  messages::Seq epoch_end_ = 0;
  std::optional<config::Config> next_;
  std::optional<Hash> unconfirmed_;
  std::map<Id16, std::uint64_t> sessions_;
  std::map<Hash, Id16> opened_;  // by request
  std::map<messages::Seq, std::vector<Outcome>> outcomes_;
  std::shared_ptr<ToyMachine> flushed_;
};

}  // namespace bftmeta::sim
