#include "replica/evidence_files.hpp"

#include <algorithm>
#include <charconv>

#include "replica/log.hpp"

namespace bftmeta::replica {

namespace {

// What the name claims: only an order in which files are read. A name without one, as they once
// were, counts as of the first.
std::uint64_t epoch_in(std::string_view name) {
  constexpr std::string_view before = "epoch-";
  std::uint64_t epoch = 0;
  if (name.starts_with(before))
    std::from_chars(name.data() + before.size(), name.data() + name.size(), epoch);
  return epoch;
}

// The names worth reading, of the newest epochs first: that of today counts most.
Result<std::vector<std::string>> names_in(storage::FileSystem& fs, const std::string& directory) {
  BFTMETA_ASSIGN(std::vector<std::string> names, fs.list(directory));
  std::erase_if(names, [](const auto& name) { return !name.ends_with(messages::kEvidenceSuffix); });
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return std::pair(epoch_in(b), a) < std::pair(epoch_in(a), b);
  });
  if (names.size() > limits::kMaxEvidenceFiles) {
    log_line(LogLevel::warn, directory + ": more than " +
                                 std::to_string(limits::kMaxEvidenceFiles) +
                                 " files; those of the oldest epochs are not read");
    names.resize(limits::kMaxEvidenceFiles);
  }
  return names;
}

}  // namespace

Result<EvidenceFiles> EvidenceFiles::open(storage::FileSystem& fs, std::string directory,
                                          const Membership& membership,
                                          const crypto::Verifier& verifier,
                                          std::vector<messages::Evidence>& found) {
  BFTMETA_ASSIGN(const bool present, fs.exists(directory));
  if (!present) {
    BFTMETA_TRY(fs.make_directory(directory));
    BFTMETA_TRY(fs.sync_directory(storage::parent_of(directory)));
  }
  BFTMETA_ASSIGN(const std::vector<std::string> names, names_in(fs, directory));
  EvidenceFiles files(fs, std::move(directory), membership.cluster_id(), membership.epoch());
  for (const std::string& name : names) {
    const std::string path = files.directory_ + "/" + name;
    if (const Status read = files.read(path, membership, verifier, found); !read)
      log_line(LogLevel::warn,
               path + ": " + read.error().message + "; it is left as it is and not used");
  }
  return files;
}

// Errors: why it proves nothing here.
Status EvidenceFiles::read(const std::string& path, const Membership& membership,
                           const crypto::Verifier& verifier,
                           std::vector<messages::Evidence>& found) {
  BFTMETA_ASSIGN(const Bytes bytes, storage::read_file(*fs_, path, messages::kMaxEvidenceFile));
  BFTMETA_ASSIGN(auto kept, messages::decode_evidence_file(cluster_id_, bytes));
  const auto epoch = membership.epoch_at(kept.epoch);
  if (!epoch)
    return fail(Errc::identity, "evidence file: of epoch " + std::to_string(kept.epoch) +
                                    ", and this replica knows of " + std::to_string(epoch_));
  BFTMETA_ASSIGN(const messages::Accusation a,
                 messages::judge(verifier, epoch->context, epoch->config, kept.evidence));
  if (kept.epoch == epoch_) {
    found.push_back(std::move(kept.evidence));
    return {};
  }
  past_[kept.epoch].add(a, std::move(kept.evidence));
  const PublicKey& key = epoch->config.replicas[a.replica].vote_key;
  if (const auto today = config::position_of(membership.config(), key)) accused_ |= 1U << *today;
  return {};
}

void EvidenceFiles::keep(const consensus::action::Accused& accused) {
  const messages::Accusation& a = accused.accusation;
  const std::string path = directory_ + "/" + messages::evidence_file_name(epoch_, a);
  const Status written = storage::write_file(
      *fs_, path, messages::encode_evidence_file(cluster_id_, {epoch_, accused.evidence}));
  log_line(LogLevel::error, "evidence against " + messages::to_string(a) +
                                (written ? ": kept in " + path + "; see 'bftadm evidence'"
                                         : ": not kept in a file: " + written.error().message));
}

std::size_t EvidenceFiles::past() const {
  std::size_t count = 0;
  for (const auto& [epoch, book] : past_) count += book.size();
  return count;
}

std::optional<messages::KeptEvidence> EvidenceFiles::past_at(std::size_t index) const {
  for (const auto& [epoch, book] : past_) {
    if (const messages::Evidence* evidence = book.at(index))
      return messages::KeptEvidence{epoch, *evidence};
    index -= book.size();
  }
  return std::nullopt;
}

}  // namespace bftmeta::replica
