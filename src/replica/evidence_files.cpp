#include "replica/evidence_files.hpp"

#include "replica/log.hpp"

namespace bftmeta::replica {

namespace {

constexpr const char* kSuffix = ".evidence";
// More than every offence of every member, so that a directory full of other files costs little.
constexpr std::size_t kMaxFiles = std::size_t{limits::kMaxReplicas} * 16;

Result<messages::Evidence> read(storage::FileSystem& fs, const std::string& path,
                                const crypto::Context& context) {
  BFTMETA_ASSIGN(const Bytes bytes, storage::read_file(fs, path, messages::kMaxEvidenceFile));
  return messages::decode_evidence_file(context, bytes);
}

}  // namespace

Result<EvidenceFiles> EvidenceFiles::open(storage::FileSystem& fs, std::string directory,
                                          const crypto::Context& context,
                                          std::vector<messages::Evidence>& found) {
  BFTMETA_ASSIGN(const bool present, fs.exists(directory));
  if (!present) {
    BFTMETA_TRY(fs.make_directory(directory));
    BFTMETA_TRY(fs.sync_directory(storage::parent_of(directory)));
  }
  BFTMETA_ASSIGN(const std::vector<std::string> names, fs.list(directory));
  for (const std::string& name : names) {
    if (!name.ends_with(kSuffix) || found.size() == kMaxFiles) continue;
    auto evidence = read(fs, directory + "/" + name, context);
    if (evidence)
      found.push_back(std::move(*evidence));
    else
      log_line(LogLevel::warn, directory + "/" + name + ": " + evidence.error().message +
                                   "; it is left as it is and not used");
  }
  return EvidenceFiles(fs, std::move(directory), context);
}

void EvidenceFiles::keep(const consensus::action::Accused& accused) {
  const messages::Accusation& a = accused.accusation;
  const std::string path = directory_ + "/replica-" + std::to_string(a.replica) + "-" +
                           messages::offence_name(a.offence) + kSuffix;
  const Status written =
      storage::write_file(*fs_, path, messages::encode_evidence_file(context_, accused.evidence));
  log_line(LogLevel::error, "evidence against " + messages::to_string(a) +
                                (written ? ": kept in " + path + "; see 'bftadm evidence'"
                                         : ": not kept in a file: " + written.error().message));
}

}  // namespace bftmeta::replica
