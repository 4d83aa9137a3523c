// stat and verify: verified attributes of a path, the proof file that shows them to others, and the
// verification of it, or of a chain of epochs, without a cluster.
#include "admin/cluster.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"
#include "crypto/keys.hpp"
#include "verify/proof_file.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::string path;   // in the namespace
  std::string proof;  // a file; for verify also a chain of epochs
  std::string genesis;
};

const char* type_name(schema::FileType type) {
  switch (type) {
    case schema::FileType::fifo: return "fifo";
    case schema::FileType::character_device: return "character device";
    case schema::FileType::directory: return "directory";
    case schema::FileType::block_device: return "block device";
    case schema::FileType::regular: return "regular file";
    case schema::FileType::symlink: return "symbolic link";
    case schema::FileType::socket: return "socket";
  }
  return "unknown";
}

std::string octal(std::uint16_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mode & 07777U);
  return text;
}

void add_attributes(Report& report, std::uint64_t ino, const schema::Attributes& a) {
  const auto time_of = [](std::int64_t ns) {
    return utc_time(static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)) / 1000);
  };
  const std::vector<Field> fields = {{"ino", ino},
                                     {"type", std::string(type_name(a.type))},
                                     {"mode", octal(a.mode)},
                                     {"nlink", std::uint64_t{a.nlink}},
                                     {"uid", std::uint64_t{a.uid}},
                                     {"gid", std::uint64_t{a.gid}},
                                     {"size", a.size},
                                     {"version", a.version},
                                     {"mtime", time_of(a.mtime_ns)},
                                     {"ctime", time_of(a.ctime_ns)}};
  report.fields.insert(report.fields.end(), fields.begin(), fields.end());
}

Report proof_report(const verify::VerifiedProof& proof) {
  Report report{{{"path", verify::target_name(proof.target)}, {"exists", proof.fact.exists}}, {}};
  if (proof.fact.exists) add_attributes(report, proof.fact.ino, proof.fact.attributes);
  report.fields.push_back({"epoch", proof.certified.epoch});
  report.fields.push_back({"seq", proof.certified.seq});
  report.fields.push_back({"certified_at", utc_time(proof.certified.time_us)});
  report.fields.push_back({"state_root", to_hex(proof.certified.state_root)});
  return report;
}

Result<ExitCode> write_proof(client::Client& client, const Options& o, schema::Target target,
                             const Globals& globals) {
  BFTMETA_ASSIGN(const Bytes bytes, client.prove(current_caller(), std::move(target)));
  // What is printed is what others will read from the file.
  const crypto::Ed25519Verifier verifier;
  BFTMETA_ASSIGN(
      const verify::VerifiedProof proof,
      verify::verify_proof_file(verifier, verify::TrustAnchor::of(client.genesis()), bytes));
  BFTMETA_TRY(crypto::write_new_file(o.proof, bytes, crypto::FileMode::public_file));
  Report report = proof_report(proof);
  report.fields.push_back({"proof", o.proof});
  report.fields.push_back({"proof_bytes", std::uint64_t{bytes.size()}});
  print(globals.output, report);
  return ExitCode::ok;
}

Result<ExitCode> run_stat(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(schema::Target target, parse_path(o.path));
  BFTMETA_ASSIGN(const auto client, connect(globals));
  if (!o.proof.empty()) return write_proof(*client, o, std::move(target), globals);
  BFTMETA_ASSIGN(const client::ReadResult read,
                 client->read({{current_caller(), schema::GetInode{std::move(target), true}}}));
  const ns::QueryResult& result = read.answers.front();
  const auto* inode = std::get_if<ns::InodeAnswer>(&result.answer);
  if (inode == nullptr) return tl::make_unexpected(operation_error(o.path, result.code));
  Report report{{{"path", o.path}, {"exists", true}}, {}};
  add_attributes(report, inode->ino, inode->attributes);
  if (inode->symlink) report.fields.push_back({"target", std::string(text(*inode->symlink))});
  report.fields.push_back({"seq", read.seq});
  report.fields.push_back({"certified_at", utc_time(read.time_us)});
  print(globals.output, report);
  return ExitCode::ok;
}

// genesis.toml, or its canonical bytes: these start with the format number, no text does.
Result<verify::TrustAnchor> load_anchor(const std::string& path) {
  constexpr std::size_t kMaxGenesisFile = 8 << 20;
  BFTMETA_ASSIGN(const Bytes bytes, crypto::read_public_file(path, "genesis", kMaxGenesisFile));
  if (!bytes.empty() && bytes[0] == config::Genesis{}.format) {
    auto anchor = verify::TrustAnchor::from_genesis(bytes);
    if (!anchor) return fail(Errc::config, path + ": " + anchor.error().message);
    return anchor;
  }
  BFTMETA_ASSIGN(const config::Genesis genesis, config::load_genesis(path));
  return verify::TrustAnchor::of(genesis);
}

std::string key_list(const config::Config& config, const std::vector<std::uint32_t>& positions) {
  std::string list;
  for (const std::uint32_t i : positions)
    list += (list.empty() ? "" : ",") + short_hex(crypto::fingerprint(config.replicas[i].vote_key));
  return list.empty() ? "-" : list;
}

// One row per epoch; the last one has not ended.
Result<ExitCode> verify_chain(const std::string& path, verify::TrustAnchor anchor, ByteView bytes,
                              const Globals& globals) {
  const auto wrong = [&path](const Error& e) {
    return fail(Errc::unverified, path + ": " + e.message);
  };
  const auto steps = verify::decode_chain_file(anchor.cluster_id, bytes);
  if (!steps) return wrong(steps.error());
  Table table{
      "epochs", {"epoch", "members", "quorum", "last_seq", "joined", "left", "config_hash"}, {}};
  config::Config before = anchor.config;
  const auto add_row = [&](std::uint64_t last_seq) {
    const config::Config& c = anchor.config;
    const config::Difference d = config::difference(before, c);
    table.rows.push_back({c.epoch, std::uint64_t{c.n()}, std::uint64_t{c.quorum()}, last_seq,
                          key_list(c, d.joining), key_list(before, d.leaving), to_hex(c.hash())});
    before = c;
  };
  const crypto::Ed25519Verifier verifier;
  for (const messages::EpochStep& step : *steps) {
    add_row(step.cert.body.seq);
    if (const auto followed = anchor.follow(verifier, step); !followed)
      return wrong(followed.error());
  }
  add_row(0);
  print(globals.output, {{{"verified", true},
                          {"epoch", anchor.config.epoch},
                          {"starts_behind_seq", verify::start_of_epoch(*steps)},
                          {"genesis_digest", to_hex(anchor.cluster_id)}},
                         {std::move(table)}});
  return ExitCode::ok;
}

Result<ExitCode> run_verify(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const verify::TrustAnchor anchor, load_anchor(o.genesis));
  BFTMETA_ASSIGN(const Bytes bytes,
                 crypto::read_public_file(o.proof, "proof file", verify::kMaxProofFile));
  if (verify::is_chain_file(bytes)) return verify_chain(o.proof, anchor, bytes, globals);
  const crypto::Ed25519Verifier verifier;
  const auto proof = verify::verify_proof_file(verifier, anchor, bytes);
  // Whatever is wrong with it, it proves nothing.
  if (!proof) return fail(Errc::unverified, o.proof + ": " + proof.error().message);
  Report report = proof_report(*proof);
  report.fields.insert(report.fields.begin(), {"verified", true});
  report.fields.push_back({"genesis_digest", to_hex(anchor.cluster_id)});
  print(globals.output, report);
  return ExitCode::ok;
}

}  // namespace

Run declare_stat(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  syntax.option("PATH", o->path, "Path from the root of the namespace").required();
  syntax.option("--proof", o->proof, "Write a proof file for 'bftadm verify', also of absence");
  return [=, &globals] { return run_stat(*o, globals); };
}

Run declare_verify(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  syntax
      .option("FILE", o->proof,
              "A proof file, from 'bftadm stat --proof', or a chain of epochs, from 'bftadm "
              "get-root --chain'")
      .required();
  syntax.option("--genesis", o->genesis, "The genesis that you trust: genesis.toml or canonical")
      .required();
  return [=, &globals] { return run_verify(*o, globals); };
}

}  // namespace bftmeta::admin
