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
      const messages::Bundle* bundle = item.bundle();
      out.first_time.push_back(bundle == nullptr
                                   ? !opens_.contains(item.digest)
                                   : bundle->bundle_no == last_bundle(bundle->session_id) + 1);
      outcomes.push_back(run(seq, item));
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

  std::unique_ptr<Machine> flush() override { return reopen(); }
  std::unique_ptr<Machine> reopen() const override { return std::make_unique<ToyMachine>(*this); }

 private:
  static bool closes(const messages::Bundle& bundle) {
    return std::ranges::any_of(bundle.operations, [](const schema::Operation& op) {
      return std::holds_alternative<schema::CloseSession>(op.body);
    });
  }

  Outcome run(messages::Seq seq, const messages::ParsedItem& item) {
    Outcome out{item.digest, {}, 0, item.digest, true};
    if (const messages::Bundle* bundle = item.bundle()) {
      out.session_id = bundle->session_id;
      out.bundle_no = bundle->bundle_no;
      std::uint64_t& last = sessions_[bundle->session_id];
      out.final = bundle->bundle_no <= last + 1;
      if (bundle->bundle_no == last + 1) {
        last = bundle->bundle_no;
        if (closes(*bundle)) sessions_.erase(bundle->session_id);
      }
    } else {
      const auto [opened, first] = opens_.try_emplace(item.digest);
      if (first) {
        const Hash id =
            crypto::Hasher(tags::Domain::session_id).update(item.digest).update_u64(seq).finish();
        std::copy_n(id.begin(), opened->second.size(), opened->second.begin());
      }
      out.session_id = opened->second;
      sessions_.try_emplace(out.session_id, 0);
    }
    return out;
  }

  Hash cluster_id_;
  Hash config_hash_;
  std::uint64_t epoch_;
  messages::Seq seq_ = 0;
  std::uint64_t time_us_ = 0;
  Hash history_;
  Hash state_{};
  std::map<Hash, Id16> opens_;  // ordered again, one opens no second session
  std::map<Id16, std::uint64_t> sessions_;
  std::map<messages::Seq, std::vector<Outcome>> outcomes_;
};

}  // namespace bftmeta::sim
