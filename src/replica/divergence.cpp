#include "replica/divergence.hpp"

#include <algorithm>

#include "replica/log.hpp"
#include "tree/hashing.hpp"

namespace bftmeta::replica {

using consensus::action::Diverged;

namespace {

constexpr std::string_view kPrefix = "divergence-";
constexpr const char* kSummary = "summary.txt";

// The fields of a record by name, as text; hashes in full.
struct FieldTexts {
  std::vector<std::pair<std::string, std::string>> found;

  template <class T>
  void field(const char* name, const T& value) {
    codec::Printer printer;
    printer.print(value);
    found.emplace_back(name, std::move(printer.out));
  }
};

template <class Record>
std::vector<std::pair<std::string, std::string>> field_texts(const Record& record) {
  FieldTexts texts;
  Record::fields(texts, record);
  return std::move(texts.found);
}

// All fields of both; what differs comes first, with both values.
template <class Record>
std::string comparison(const std::string& title, const Record& own, const Record& other,
                       const std::string& others_name) {
  const auto mine = field_texts(own);
  const auto theirs = field_texts(other);
  std::string differing;
  std::string equal;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const auto& [name, value] = mine[i];
    if (value == theirs[i].second)
      equal += "  " + name + ": " + value + "\n";
    else
      differing += "  " + name + " differs\n    own: " + value + "\n    " + others_name + ": " +
                   theirs[i].second + "\n";
  }
  if (differing.empty()) differing = "  nothing differs\n";
  return title + "\n" + differing + "  equal in both:\n" + equal + "\n";
}

std::string unwritable(const std::string& directory, const Error& error) {
  return directory + ": the bundle about the divergence is not complete: " + error.message;
}

// Complete bundles, and those that a crash cut short, of other sequence numbers.
Result<std::size_t> count_others(storage::FileSystem& fs, const std::string& data_dir,
                                 const std::string& name) {
  BFTMETA_ASSIGN(const std::vector<std::string> names, fs.list(data_dir));
  return static_cast<std::size_t>(std::ranges::count_if(names, [&](const std::string& other) {
    return other.starts_with(kPrefix) && other != name;
  }));
}

// The summary comes last: with it the bundle is complete.
Status write_bundle(storage::FileSystem& fs, const std::string& directory, const Diverged& d,
                    const TouchedLeaves& leaves) {
  BFTMETA_ASSIGN(const bool present, fs.exists(directory));
  if (!present) BFTMETA_TRY(fs.make_directory(directory));
  BFTMETA_TRY(fs.sync_directory(storage::parent_of(directory)));
  const std::string in = directory + "/";
  if (d.cert) BFTMETA_TRY(storage::write_file(fs, in + "certificate", encode(*d.cert)));
  for (const messages::RootShare& share : d.shares)
    BFTMETA_TRY(
        storage::write_file(fs, in + "share-" + std::to_string(share.replica), encode(share)));
  if (d.agreed_header)
    BFTMETA_TRY(storage::write_file(fs, in + "agreed-header", encode(*d.agreed_header)));
  BFTMETA_TRY(storage::write_file(fs, in + "own-body", encode(d.own)));
  BFTMETA_TRY(storage::write_file(fs, in + "header", encode(d.header)));
  BFTMETA_TRY(storage::write_file(fs, in + "batch", encode(d.batch->batch)));
  BFTMETA_TRY(
      storage::write_file(fs, in + "touched-leaves.txt", view(touched_leaves_text(leaves))));
  return storage::write_file(fs, in + kSummary, view(divergence_summary(d)));
}

}  // namespace

std::string divergence_summary(const Diverged& d) {
  const std::string seq = std::to_string(d.own.seq);
  const std::string first = d.agreed_upto + 1 == d.own.seq
                                ? "this one"
                                : "one of " + std::to_string(d.agreed_upto + 1) + " to " + seq;
  std::string out =
      "Divergence at sequence number " + seq + "\n\nThis replica executed the agreed batch " + seq +
      " and got another result than it must. It has taken itself\nout of service.\nIts history up "
      "to " +
      std::to_string(d.agreed_upto) + " is the certified one: the first wrong batch is " + first +
      ".\nbftmetad " + BFTMETA_VERSION + ", state machine " + std::to_string(d.own.sm_version) +
      ", batch " + to_hex(d.batch->digest) + " with " + std::to_string(d.batch->items.size()) +
      " items.\n\n";
  if (d.cert)
    out += comparison("Against the certificate, signed by replicas " +
                          messages::replica_list(d.cert->signers) + ":",
                      d.own, d.cert->body, "certified");
  if (!d.shares.empty()) {
    std::uint32_t signers = 0;
    for (const messages::RootShare& share : d.shares) signers |= 1U << share.replica;
    out += comparison("No certificate was there. Against the shares of replicas " +
                          messages::replica_list(signers) + ", which are equal:",
                      d.own, d.shares.front().body, "theirs");
  }
  if (d.agreed_header)
    out += comparison("Against the header that the certified history or the own log has:", d.header,
                      *d.agreed_header, "agreed");
  return out +
         "What to do\n"
         "  1. It fetches the state from the others and comes back by itself; if it diverges "
         "again\n"
         "     right after that, it stays out of service and says so in its status. To search for\n"
         "     the cause, stop it and copy its whole data directory first.\n"
         "  2. Look for the cause: memory (ECC errors, memtest), disk (dmesg, SMART), and whether\n"
         "     this machine runs the same program and libraries as the others.\n"
         "  3. If another replica has a bundle of this number, compare them:\n"
         "       diff A/touched-leaves.txt B/touched-leaves.txt\n"
         "     Leaves that differ name the records that the two computed differently. None: only\n"
         "     hashes differ, or a batch before this one is the first wrong one.\n"
         "  4. Two replicas or more that stop at one number are a defect of the program, not of a\n"
         "     machine. Report it with the bundles.\n"
         "The other files here are canonical encodings (docs/protocol.md).\n";
}

std::string touched_leaves_text(const TouchedLeaves& leaves, std::size_t max_bytes) {
  if (leaves.keys == nullptr || leaves.after == nullptr)
    return "not known: the state after this batch is not kept any more\n";
  std::string out;
  Bytes value;
  for (std::size_t i = 0; i < leaves.keys->size(); ++i) {
    const Key& key = (*leaves.keys)[i];
    if (out.size() >= max_bytes)
      return out + "cut: " + std::to_string(leaves.keys->size() - i) + " more leaves\n";
    out += to_hex(key);
    switch (leaves.after->get(key, value)) {
      case tree::Found::value:
        out += " " + to_hex(tree::value_hash(value)) + " " + to_hex(value);
        break;
      case tree::Found::absent: out += " removed"; break;
      case tree::Found::unknown: out += " unreadable"; break;
    }
    out += "\n";
  }
  return out;
}

void keep_divergence(storage::FileSystem& fs, const std::string& data_dir, const Diverged& d,
                     const TouchedLeaves& leaves) {
  const std::string name = std::string(kPrefix) + std::to_string(d.own.seq);
  const std::string directory = data_dir + "/" + name;
  const auto complete = fs.exists(directory + "/" + kSummary);
  if (complete && *complete)
    return log_line(LogLevel::error, directory + ": kept when this divergence was first met");
  const auto others = count_others(fs, data_dir, name);
  if (!others) return log_line(LogLevel::error, unwritable(directory, others.error()));
  if (*others >= kMaxDivergences)
    return log_line(LogLevel::error, directory + ": not kept, there are " +
                                         std::to_string(*others) +
                                         " bundles about earlier divergences already");
  const Status written = write_bundle(fs, directory, d, leaves);
  log_line(LogLevel::error, written ? directory + ": what is known about the divergence is kept; " +
                                          "read summary.txt in it"
                                    : unwritable(directory, written.error()));
}

}  // namespace bftmeta::replica
