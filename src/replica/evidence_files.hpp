// evidence/ in the data directory: one file for each offence of each member, written when the core
// first holds the proof and read back at each start. Losing one costs nothing that a peer does not
// give again, so no error here stops a replica: it is one line in the log. Thread-safety: one
// thread.
#pragma once

#include "consensus/core.hpp"
#include "storage/file.hpp"

namespace bftmeta::replica {

class EvidenceFiles {
 public:
  // Makes the directory if need be, and appends what is in it to `found`, unproven. Files that are
  // no evidence of this cluster and epoch are named in the log and left alone. Errors: permission,
  // io, disk_full: of the directory itself.
  static Result<EvidenceFiles> open(storage::FileSystem& fs, std::string directory,
                                    const crypto::Context& context,
                                    std::vector<messages::Evidence>& found);

  void keep(const consensus::action::Accused& accused);

 private:
  EvidenceFiles(storage::FileSystem& fs, std::string directory, const crypto::Context& context)
      : fs_(&fs), directory_(std::move(directory)), context_(context) {}

  storage::FileSystem* fs_;
  std::string directory_;
  crypto::Context context_;
};

}  // namespace bftmeta::replica
