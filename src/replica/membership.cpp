#include "replica/membership.hpp"

#include <set>

namespace bftmeta::replica {

Result<Membership> Membership::load(storage::FileSystem& fs, std::string path,
                                    const config::Genesis& genesis,
                                    const crypto::Verifier& verifier, const PublicKey& vote_key) {
  Membership m(path, genesis, vote_key);
  std::optional<Error> damage;
  bool found = false;
  bool any = false;
  for (const std::string& file : {path, path + config::kCopySuffix}) {
    BFTMETA_ASSIGN(const bool present, fs.exists(file));
    const Status read = !present ? fail(Errc::not_found, file + ": it is missing")
                        : found  ? m.compare(fs, file)
                                 : m.read(fs, file, verifier);
    if (!read && (!damage || damage->code == Errc::not_found)) damage = read.error();
    found = found || read;
    any = any || present;
  }
  if (any && !found) return tl::make_unexpected(std::move(*damage));
  if (any && damage) m.damage_ = damage->message;
  BFTMETA_TRY(m.settle());
  return m;
}

Status Membership::compare(storage::FileSystem& fs, const std::string& file) const {
  BFTMETA_ASSIGN(const Bytes bytes, storage::read_file(fs, file, verify::kMaxChainFile));
  if (bytes == verify::encode_chain_file(anchor_.cluster_id, steps_)) return {};
  return fail(Errc::corrupt, file + ": it says something else than the first of the two files");
}

Status Membership::read(storage::FileSystem& fs, const std::string& file,
                        const crypto::Verifier& verifier) {
  BFTMETA_ASSIGN(const Bytes bytes, storage::read_file(fs, file, verify::kMaxChainFile));
  auto steps = verify::decode_chain_file(anchor_.cluster_id, bytes);
  if (!steps) return fail(file, Error{Errc::corrupt, steps.error().message});
  auto anchor = verify::follow_chain(verifier, anchor_, *steps);
  if (!anchor) return fail(file, Error{Errc::corrupt, anchor.error().message});
  steps_ = std::move(*steps);
  anchor_ = std::move(*anchor);
  return {};
}

Status Membership::write(storage::FileSystem& fs, std::span<const messages::EpochStep> steps) {
  const Bytes bytes = verify::encode_chain_file(anchor_.cluster_id, steps);
  BFTMETA_TRY(storage::write_file(fs, path_, bytes));
  return storage::write_file(fs, path_ + config::kCopySuffix, bytes);
}

Status Membership::mend(storage::FileSystem& fs) {
  if (damage_.empty()) return {};
  BFTMETA_TRY(write(fs, steps_));
  damage_.clear();
  return {};
}

const config::Config* Membership::config_of(std::uint64_t epoch) const {
  if (epoch > steps_.size()) return nullptr;
  return epoch == 0 ? &first_.config : &steps_[epoch - 1].next;
}

std::optional<verify::Epoch> Membership::epoch_at(std::uint64_t epoch) const {
  return verify::epoch_at(first_, steps_, epoch);
}

std::vector<config::Replica> Membership::left_out(std::uint64_t epochs) const {
  std::vector<config::Replica> left;
  std::set<PublicKey> known;
  for (const config::Replica& r : config().replicas) known.insert(r.link_key);
  for (std::uint64_t back = 1; back <= std::min(epochs, epoch()); ++back)
    for (const config::Replica& r : config_of(epoch() - back)->replicas)
      if (known.insert(r.link_key).second) left.push_back(r);
  return left;
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
  options.epoch_start = start_cert();
  Id16 random{};
  crypto::random_bytes(random);
  options.first_id = load_be64(random.data());
  return options;
}

Result<verify::TrustAnchor> Membership::end_of(const crypto::Verifier& verifier,
                                               std::span<const messages::EpochStep> steps) const {
  if (steps.empty()) return fail(Errc::unverified, "chain of epochs: it has no step");
  if (steps_.size() + steps.size() > limits::kMaxEpochs)
    return fail(Errc::limit, "chain of epochs: longer than " + std::to_string(limits::kMaxEpochs));
  return verify::follow_chain(verifier, anchor_, steps);
}

Status Membership::follow(storage::FileSystem& fs, const crypto::Verifier& verifier,
                          std::span<const messages::EpochStep> steps) {
  BFTMETA_ASSIGN(auto anchor, end_of(verifier, steps));
  std::vector<messages::EpochStep> all = steps_;
  all.insert(all.end(), steps.begin(), steps.end());
  BFTMETA_TRY(write(fs, all));
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
