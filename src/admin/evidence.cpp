// evidence list, show, export, verify: what a member signed that no correct one signs (protocol
// §9.6). Every line printed was verified here; the word of the replica that kept it is not needed.
#include <algorithm>
#include <filesystem>
#include <map>
#include <tuple>

#include "admin/cluster.hpp"
#include "config/change.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"
#include "messages/evidence.hpp"
#include "verify/epoch_chain.hpp"

namespace bftmeta::admin {

namespace {

using messages::Accusation;
using messages::KeptEvidence;

struct Options {
  std::uint32_t replica = 0;  // show
  std::string offence;        // show; empty: all
  std::optional<std::uint32_t> epoch;
  std::string directory;
  std::string file;
  std::string genesis;
  std::string chain;
  std::uint32_t timeout_ms = 2000;
};

// Verified by the members of its epoch.
struct Known {
  KeptEvidence kept;
  Accusation accusation;
  verify::Epoch epoch;
  std::uint32_t holders = 0;  // bitmap: which replicas keep it

  const PublicKey& vote_key() const { return epoch.config.replicas[accusation.replica].vote_key; }
};
// One for each offence of each member of each epoch, the first that verified.
using Collection =
    std::map<std::tuple<std::uint64_t, messages::ReplicaId, messages::Offence>, Known>;

// Errc::unverified: it proves nothing, or is of an epoch that `steps`, proven, do not lead to.
Result<Known> prove(const config::Genesis& genesis, std::span<const messages::EpochStep> steps,
                    KeptEvidence kept) {
  auto epoch = verify::epoch_at(verify::TrustAnchor::of(genesis), steps, kept.epoch);
  if (!epoch)
    return fail(Errc::unverified, "evidence of epoch " + std::to_string(kept.epoch) +
                                      ", but the chain of epochs ends at " +
                                      std::to_string(steps.size()) +
                                      "; 'bftadm get-root --chain' writes that of today");
  const crypto::Ed25519Verifier verifier;
  BFTMETA_ASSIGN(const Accusation a,
                 messages::judge(verifier, epoch->context, epoch->config, kept.evidence));
  return Known{std::move(kept), a, std::move(*epoch)};
}

// Everything that this replica keeps. A replica that gives what does not verify is named and left.
void collect_from(client::Client& client, messages::ReplicaId replica,
                  std::chrono::milliseconds timeout, Collection& all, Report& report) {
  const auto complain = [&](const std::string& what) {
    report.fields.push_back({"replica_" + std::to_string(replica), what});
  };
  constexpr auto most = static_cast<std::uint32_t>(limits::kMaxEvidenceFiles +
                                                   limits::kMaxReplicas * messages::kOffences);
  for (std::uint32_t index = 0; index < most; ++index) {
    auto reply = client.evidence(replica, index, timeout);
    if (!reply) return complain(reply.error().message);
    if (!reply->kept) return;
    // Whoever answers is of the epoch that the client is in now.
    const auto membership = client.membership();
    if (!membership) return complain(membership.error().message);
    auto known = prove(client.genesis(), membership->steps, std::move(*reply->kept));
    if (!known) return complain("gave evidence that does not hold: " + known.error().message);
    const std::tuple key{known->kept.epoch, known->accusation.replica, known->accusation.offence};
    all.try_emplace(key, std::move(*known)).first->second.holders |= 1U << replica;
  }
}

// Errc::unreachable when nobody answers: nothing is then known, not even that there is none.
Result<Collection> collect(client::Client& client, const Options& o, Report& report) {
  Collection all;
  messages::ReplicaId asked = 0;
  while (asked < members_of(client).n())  // which its answers may change
    collect_from(client, asked++, std::chrono::milliseconds(o.timeout_ms), all, report);
  if (all.empty() && report.fields.size() == asked)
    return fail(Errc::unreachable,
                "evidence: no replica answers; are they running, and is this "
                "client's key registered?");
  return all;
}

// ---- what is said of it

// Which replica has the accused key now: positions change hands with an epoch.
Value replica_today(const Known& k, const config::Config& today) {
  const auto position = config::position_of(today, k.vote_key());
  return position ? std::to_string(*position) : std::string("none");
}

std::string what_is_wrong(const Known& k) {
  const auto flaw = messages::flaw_of(crypto::Ed25519Verifier(), k.epoch.context, k.epoch.config,
                                      k.kept.evidence.first);
  if (!k.kept.evidence.second && flaw) return *flaw;
  return messages::offence_meaning(k.accusation.offence);
}

std::vector<Value> accusation_columns(const Known& k) {
  return {k.kept.epoch, std::uint64_t{k.accusation.replica},
          std::string(messages::offence_name(k.accusation.offence)), k.accusation.view,
          k.accusation.seq};
}

Table evidence_table(std::vector<std::string> more) {
  Table table{"evidence", {"epoch", "replica", "offence", "view", "seq"}, {}};
  table.columns.insert(table.columns.end(), more.begin(), more.end());
  return table;
}

void add_row(Table& table, const Known& k, const std::vector<Value>& more) {
  table.rows.push_back(accusation_columns(k));
  table.rows.back().insert(table.rows.back().end(), more.begin(), more.end());
}

Table statements_table() {
  return {"statements",
          {"epoch", "offence", "number", "kind", "signed_by", "view", "seq", "digest"},
          {}};
}

// What was signed: usually two statements that differ in nothing but their digest.
void add_statements(Table& table, const Known& k) {
  const auto add = [&](std::uint64_t number, const messages::Statement& statement) {
    const messages::Said said = messages::said_by(k.epoch.config, statement);
    table.rows.push_back({k.kept.epoch, std::string(messages::offence_name(k.accusation.offence)),
                          number, std::string(said.kind), replica_list(said.signers), said.view,
                          said.seq, to_hex(said.digest)});
  };
  add(1, k.kept.evidence.first);
  if (k.kept.evidence.second) add(2, *k.kept.evidence.second);
}

// ---- the commands

Result<ExitCode> list(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  BFTMETA_ASSIGN(const Collection all, collect(*client, o, report));
  const config::Config today = members_of(*client);
  report.fields.insert(report.fields.begin(), {"total", std::uint64_t{all.size()}});
  Table table = evidence_table({"replica_today", "kept_by"});
  for (const auto& [key, known] : all)
    add_row(table, known, {replica_today(known, today), replica_list(known.holders)});
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  return ExitCode::ok;
}

bool asked_for(const Options& o, const Known& k) {
  return k.accusation.replica == o.replica && (!o.epoch || *o.epoch == k.kept.epoch) &&
         (o.offence.empty() || o.offence == messages::offence_name(k.accusation.offence));
}

Result<ExitCode> show(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  BFTMETA_ASSIGN(const Collection all, collect(*client, o, report));
  const config::Config today = members_of(*client);
  Table table = evidence_table({"replica_today", "kept_by", "vote_key", "what"});
  Table statements = statements_table();
  for (const auto& [key, known] : all) {
    if (!asked_for(o, known)) continue;
    add_row(table, known,
            {replica_today(known, today), replica_list(known.holders), to_hex(known.vote_key()),
             what_is_wrong(known)});
    add_statements(statements, known);
  }
  if (table.rows.empty())
    return fail(Errc::not_found, "evidence: nobody who answers keeps any against replica " +
                                     std::to_string(o.replica) +
                                     (o.offence.empty() ? "" : " of " + o.offence) +
                                     (o.epoch ? " in epoch " + std::to_string(*o.epoch) : "") +
                                     "; 'bftadm evidence list' shows what there is");
  report.fields.insert(report.fields.begin(), {"total", std::uint64_t{table.rows.size()}});
  report.tables = {std::move(table), std::move(statements)};
  print(globals.output, report);
  return ExitCode::ok;
}

Result<ExitCode> export_all(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  BFTMETA_ASSIGN(const Collection all, collect(*client, o, report));
  std::error_code made;
  std::filesystem::create_directories(o.directory, made);
  if (made)
    return fail(Errc::io, "directory " + o.directory + " cannot be made: " + made.message());
  Table table{"files", {"file", "epoch", "replica", "offence"}, {}};
  for (const auto& [key, known] : all) {
    const std::string path =
        o.directory + "/" + messages::evidence_file_name(known.kept.epoch, known.accusation);
    BFTMETA_TRY(crypto::write_new_file(
        path, messages::encode_evidence_file(known.epoch.context.cluster_id, known.kept),
        crypto::FileMode::public_file));
    table.rows.push_back({path, known.kept.epoch, std::uint64_t{known.accusation.replica},
                          std::string(messages::offence_name(known.accusation.offence))});
  }
  report.fields.insert(report.fields.begin(), {"exported", std::uint64_t{all.size()}});
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  return ExitCode::ok;
}

// Proven; none without a file.
Result<std::vector<messages::EpochStep>> load_chain(const std::string& path,
                                                    const config::Genesis& genesis) {
  if (path.empty()) return std::vector<messages::EpochStep>();
  const auto anchor = verify::TrustAnchor::of(genesis);
  BFTMETA_ASSIGN(const Bytes bytes,
                 crypto::read_public_file(path, "chain of epochs", verify::kMaxChainFile));
  auto steps = verify::decode_chain_file(anchor.cluster_id, bytes);
  if (!steps) return fail(Errc::unverified, path + ": " + steps.error().message);
  const auto led = verify::follow_chain(crypto::Ed25519Verifier(), anchor, *steps);
  if (!led) return fail(Errc::unverified, path + ": " + led.error().message);
  return steps;
}

Result<ExitCode> verify(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const config::Genesis genesis, config::load_genesis(o.genesis));
  BFTMETA_ASSIGN(const auto steps, load_chain(o.chain, genesis));
  BFTMETA_ASSIGN(const Bytes bytes,
                 crypto::read_public_file(o.file, "evidence file", messages::kMaxEvidenceFile));
  auto kept = messages::decode_evidence_file(genesis.cluster_id(), bytes);
  // Whatever is wrong with it, it proves nothing.
  if (!kept) return fail(Errc::unverified, o.file + ": " + kept.error().message);
  const auto known = prove(genesis, steps, std::move(*kept));
  if (!known) return fail(Errc::unverified, o.file + ": " + known.error().message);
  const Accusation& a = known->accusation;
  Report report{{{"verified", true},
                 {"replica", std::uint64_t{a.replica}},
                 {"offence", std::string(messages::offence_name(a.offence))},
                 {"view", a.view},
                 {"seq", a.seq},
                 {"epoch", known->kept.epoch},
                 {"vote_key", to_hex(known->vote_key())},
                 {"what", what_is_wrong(*known)},
                 {"genesis_digest", to_hex(genesis.cluster_id())}},
                {statements_table()}};
  add_statements(report.tables.front(), *known);
  print(globals.output, report);
  return ExitCode::ok;
}

std::vector<std::string> offence_names() {
  std::vector<std::string> names;
  for (std::uint8_t o = 1; o <= messages::kOffences; ++o)
    names.emplace_back(messages::offence_name(messages::Offence{o}));
  return names;
}

}  // namespace

Run declare_evidence(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  const auto list_syntax = syntax.command("list", "What the replicas keep, verified");
  const auto show_syntax = syntax.command("show", "What the statements are that condemn a replica");
  const auto export_syntax = syntax.command("export", "Write each as a file that proves itself");
  const auto verify_syntax = syntax.command("verify", "Verify such a file without a cluster");
  show_syntax.option("REPLICA", o->replica, "Its number in the epoch of the evidence").required();
  show_syntax.option("OFFENCE", o->offence, "As 'list' names it (default: all)")
      .one_of(offence_names());
  show_syntax.option("--epoch", o->epoch, "Only of this one (default: all)");
  export_syntax.option("DIRECTORY", o->directory, "Where to; made if need be").required();
  verify_syntax.option("FILE", o->file, "From 'bftadm evidence export'").required();
  verify_syntax.option("--genesis", o->genesis, "The genesis.toml that you trust").required();
  verify_syntax.option("--chain", o->chain,
                       "From 'bftadm get-root --chain': for evidence of a later epoch");
  for (const auto& asks : {list_syntax, show_syntax, export_syntax})
    asks.option("--timeout-ms", o->timeout_ms, "How long to wait for a silent replica")
        .between(50, 60000)
        .show_default();
  return [=, &globals]() -> Result<ExitCode> {
    if (verify_syntax.chosen()) return verify(*o, globals);
    if (show_syntax.chosen()) return show(*o, globals);
    if (export_syntax.chosen()) return export_all(*o, globals);
    return list(*o, globals);
  };
}

}  // namespace bftmeta::admin
