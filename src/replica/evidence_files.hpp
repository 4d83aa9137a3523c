// evidence/ in the data directory: one file for each offence of each member of each epoch, written
// when the core first holds the proof and read back at each start. What is of an epoch that is over
// concerns the core no more; it stays here, for clients. Losing a file of this epoch costs nothing
// that a peer does not give again, so no error here stops a replica: it is one line in the log.
// Thread-safety: one thread.
#pragma once

#include "consensus/core.hpp"
#include "replica/membership.hpp"
#include "storage/file.hpp"

namespace bftmeta::replica {

class EvidenceFiles {
 public:
  // Makes the directory if need be, and appends what is in it and of this epoch to `found`. At most
  // limits::kMaxEvidenceFiles are read, and each is judged by the members of its epoch; those that
  // prove nothing here are named in the log and left alone. Errors: permission, io, disk_full: of
  // the directory itself.
  static Result<EvidenceFiles> open(storage::FileSystem& fs, std::string directory,
                                    const Membership& membership, const crypto::Verifier& verifier,
                                    std::vector<messages::Evidence>& found);

  void keep(const consensus::action::Accused& accused);

  // Of the epochs that are over, the oldest first, by position; nullopt: none there.
  std::size_t past() const;
  std::optional<messages::KeptEvidence> past_at(std::size_t index) const;
  // Bit i: replica i of today is a member, by its key, that such evidence accuses.
  std::uint32_t accused() const { return accused_; }

 private:
  EvidenceFiles(storage::FileSystem& fs, std::string directory, const Hash& cluster_id,
                std::uint64_t epoch)
      : fs_(&fs), directory_(std::move(directory)), cluster_id_(cluster_id), epoch_(epoch) {}
  Status read(const std::string& path, const Membership& membership,
              const crypto::Verifier& verifier, std::vector<messages::Evidence>& found);

  storage::FileSystem* fs_;
  std::string directory_;
  Hash cluster_id_;
  std::uint64_t epoch_;
  std::map<std::uint64_t, consensus::EvidenceBook> past_;  // by epoch
  std::uint32_t accused_ = 0;
};

}  // namespace bftmeta::replica
