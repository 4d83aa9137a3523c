#include "replica/membership.hpp"

namespace bftmeta::replica {

Result<Membership> Membership::load(storage::FileSystem& fs, std::string path,
                                    const config::Genesis& genesis,
                                    const crypto::Verifier& verifier, const PublicKey& vote_key) {
  Membership m(path, genesis, vote_key);
  BFTMETA_ASSIGN(const bool present, fs.exists(path));
  if (present) {
    BFTMETA_ASSIGN(const Bytes bytes, storage::read_file(fs, path, verify::kMaxChainFile));
    auto steps = verify::decode_chain_file(m.anchor_.cluster_id, bytes);
    if (!steps) return fail(path, Error{Errc::corrupt, steps.error().message});
    auto anchor = verify::follow_chain(verifier, m.anchor_, *steps);
    if (!anchor) return fail(path, Error{Errc::corrupt, anchor.error().message});
    m.steps_ = std::move(*steps);
    m.anchor_ = std::move(*anchor);
  }
  BFTMETA_TRY(m.settle());
  return m;
}

const config::Config* Membership::config_of(std::uint64_t epoch) const {
  if (epoch > steps_.size()) return nullptr;
  return epoch == 0 ? &first_ : &steps_[epoch - 1].next;
}

std::optional<messages::RootCert> Membership::start_cert() const {
  if (steps_.empty()) return std::nullopt;
  return messages::plain(steps_.back().cert);
}

messages::Epochs Membership::steps_from(std::uint64_t epoch) const {
  messages::Epochs answer;
  for (std::uint64_t e = epoch; e < steps_.size() && answer.steps.size() < limits::kMaxEpochSteps;
       ++e)
    answer.steps.push_back(steps_[e]);
  return answer;
}

transfer::Options Membership::transfer_options(messages::ReplicaId self,
                                               std::uint64_t bytes_per_second) const {
  transfer::Options options;
  options.bytes_per_second = bytes_per_second;
  options.self = self;
  options.cluster_id = anchor_.cluster_id;
  options.config = config();
  options.epoch_start_cert = start_cert();
  if (options.epoch_start_cert) options.epoch_start = options.epoch_start_cert->body;
  Id16 random{};
  crypto::random_bytes(random);
  options.first_id = load_be64(random.data());
  return options;
}

Status Membership::follow(storage::FileSystem& fs, const crypto::Verifier& verifier,
                          std::span<const messages::EpochStep> steps) {
  if (steps.empty()) return fail(Errc::unverified, "chain of epochs: it has no step");
  BFTMETA_ASSIGN(auto anchor, verify::follow_chain(verifier, anchor_, steps));
  std::vector<messages::EpochStep> all = steps_;
  all.insert(all.end(), steps.begin(), steps.end());
  if (all.size() > limits::kMaxEpochs)
    return fail(Errc::limit, "chain of epochs: longer than " + std::to_string(limits::kMaxEpochs));
  BFTMETA_TRY(storage::write_file(fs, path_, verify::encode_chain_file(anchor_.cluster_id, all)));
  steps_ = std::move(all);
  anchor_ = std::move(anchor);
  return settle();
}

// A key that is no member's now and was one before is retired: its votes may be lost, or its secret
// stolen.
Status Membership::settle() {
  position_ = config::position_of(anchor_.config, vote_key_);
  if (position_) return {};
  for (std::uint64_t e = 0; e < steps_.size(); ++e)
    if (config::position_of(*config_of(e), vote_key_))
      return fail(Errc::identity,
                  "this replica's vote key has left the configuration by epoch " +
                      std::to_string(epoch()) +
                      " and never comes back: remove its keys and its data directory; 'bftadm "
                      "keygen replica' makes new ones");
  return {};
}

}  // namespace bftmeta::replica
