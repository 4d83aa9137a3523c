// Which epoch a replica is in, who its members are, and whether it is one: from the genesis and the
// chain of epochs in its data directory (protocol §9.2, §9.3). A member is its vote key; its
// position may be another one in every epoch. Thread-safety: plain values.
#pragma once

#include "config/identity.hpp"
#include "storage/file.hpp"
#include "transfer/receiver.hpp"
#include "verify/epoch_chain.hpp"

namespace bftmeta::replica {

class Membership {
 public:
  // Reads and proves the chain in `path`, or in its copy where that one does not hold or is gone
  // (no file: the epoch of the genesis). Errors: corrupt (none holds), io; identity (this key was a
  // member's that has left, and never votes again).
  static Result<Membership> load(storage::FileSystem& fs, std::string path,
                                 const config::Genesis& genesis, const crypto::Verifier& verifier,
                                 const PublicKey& vote_key);

  // What is wrong with one of the two files; empty: nothing.
  const std::string& damage() const { return damage_; }
  // Writes both anew where that is so. Precondition: the data directory is locked.
  Status mend(storage::FileSystem& fs);

  const config::Config& config() const { return anchor_.config; }
  std::uint64_t epoch() const { return anchor_.config.epoch; }
  messages::Seq start() const { return verify::start_of_epoch(steps_); }
  // Of the last batch of the epoch before, by its members; nullopt in the first.
  std::optional<messages::RootCert> start_cert() const;
  std::optional<messages::ReplicaId> position() const { return position_; }
  // Of an epoch up to this one; nullptr for later ones.
  const config::Config* config_of(std::uint64_t epoch) const;
  // The same with all that statements of that epoch are judged by; nullopt for later ones.
  std::optional<verify::Epoch> epoch_at(std::uint64_t epoch) const;
  // Members of the last `epochs` before this one whose link keys are no member's now, each key
  // once.
  std::vector<config::Replica> left_out(std::uint64_t epochs) const;
  const Hash& cluster_id() const { return anchor_.cluster_id; }

  // What whoever is still in `epoch` lacks: one message's worth. Precondition: epoch < epoch().
  messages::Epochs steps_from(std::uint64_t epoch) const;
  // Of a state transfer or a repair in this epoch, from whatever floor.
  transfer::Options transfer_options(messages::ReplicaId self,
                                     std::uint64_t bytes_per_second) const;
  // Whether the steps lead on from this epoch. Errc::unverified: they do not, or there is none;
  // Errc::limit: into more epochs than there may be.
  Result<verify::TrustAnchor> end_of(const crypto::Verifier& verifier,
                                     std::span<const messages::EpochStep> steps) const;
  // Goes on by steps that begin at this epoch, durably. Errc::unverified: they do not hold, or
  // there is none; Errc::identity: so it does, but without this replica; what the file system says.
  Status follow(storage::FileSystem& fs, const crypto::Verifier& verifier,
                std::span<const messages::EpochStep> steps);

 private:
  Membership(std::string path, const config::Genesis& genesis, const PublicKey& vote_key)
      : path_(std::move(path)),
        vote_key_(vote_key),
        first_(verify::TrustAnchor::of(genesis)),
        anchor_(first_) {}

  Status settle();
  Status compare(storage::FileSystem& fs, const std::string& file) const;
  Status read(storage::FileSystem& fs, const std::string& file, const crypto::Verifier& verifier);
  Status write(storage::FileSystem& fs, std::span<const messages::EpochStep> steps);

  std::string path_;
  std::string damage_;
  PublicKey vote_key_;
  verify::TrustAnchor first_;  // of the genesis
  std::vector<messages::EpochStep> steps_;
  verify::TrustAnchor anchor_;
  std::optional<messages::ReplicaId> position_;
};

}  // namespace bftmeta::replica
