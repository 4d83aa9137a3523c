// evidence list, show, export, verify: what a member signed that no correct one signs (protocol
// §9.6). Every line printed was verified here; the word of the replica that kept it is not needed.
#include <algorithm>
#include <filesystem>
#include <map>

#include "admin/cluster.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"
#include "messages/evidence.hpp"
#include "verify/epoch_chain.hpp"

namespace bftmeta::admin {

namespace {

using messages::Accusation;
using messages::Evidence;

struct Options {
  std::string directory;
  std::string file;
  std::string genesis;
  std::string chain;
  std::uint32_t timeout_ms = 2000;
};

struct Known {
  Accusation accusation;
  Evidence evidence;
  std::uint32_t holders = 0;  // bitmap: which replicas keep it
};
// One for each offence of each member, the first that verified.
using Collection = std::map<std::pair<messages::ReplicaId, messages::Offence>, Known>;

crypto::Context context_of(const config::Genesis& genesis) {
  return {genesis.cluster_id(), genesis.config.epoch};
}

// What statements of the epoch that this client was led to are judged by.
struct Epoch {
  messages::EpochContext context;
  config::Config config;
};

Result<Epoch> epoch_of(client::Client& client) {
  BFTMETA_ASSIGN(client::Membership m, client.membership());
  const crypto::Context context{client.genesis().cluster_id(), m.config.epoch};
  return Epoch{{context, verify::start_of_epoch(m.steps)}, std::move(m.config)};
}

// Everything that this replica keeps. A replica that gives what does not verify is named and left.
void collect_from(client::Client& client, messages::ReplicaId replica,
                  std::chrono::milliseconds timeout, Collection& all, Report& report) {
  const crypto::Ed25519Verifier verifier;
  constexpr auto most = static_cast<std::uint32_t>(limits::kMaxReplicas * messages::kOffences);
  for (std::uint32_t index = 0; index < most; ++index) {
    const auto reply = client.evidence(replica, index, timeout);
    if (!reply || !reply->evidence) {
      if (!reply)
        report.fields.push_back({"replica_" + std::to_string(replica), reply.error().message});
      return;
    }
    // Whoever answers is of the epoch that the client is in now.
    const auto epoch = epoch_of(client);
    const auto accusation =
        epoch ? messages::judge(verifier, epoch->context, epoch->config, *reply->evidence)
              : tl::make_unexpected(epoch.error());
    if (!accusation) {
      report.fields.push_back({"replica_" + std::to_string(replica),
                               "gave evidence that does not hold: " + accusation.error().message});
      return;
    }
    auto& known = all.try_emplace({accusation->replica, accusation->offence},
                                  Known{*accusation, *reply->evidence, 0})
                      .first->second;
    known.holders |= 1U << replica;
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

void add_row(Table& table, const Known& k) {
  const Accusation& a = k.accusation;
  table.rows.push_back({std::uint64_t{a.replica}, std::string(messages::offence_name(a.offence)),
                        a.view, a.seq, replica_list(k.holders)});
}

Result<ExitCode> list(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  BFTMETA_ASSIGN(const Collection all, collect(*client, o, report));
  report.fields.insert(report.fields.begin(), {"total", std::uint64_t{all.size()}});
  Table table{"evidence", {"replica", "offence", "view", "seq", "kept_by"}, {}};
  for (const auto& [key, known] : all) add_row(table, known);
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  return ExitCode::ok;
}

std::string file_name(const Accusation& a) {
  return "replica-" + std::to_string(a.replica) + "-" + messages::offence_name(a.offence) +
         ".evidence";
}

Result<ExitCode> export_all(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  BFTMETA_ASSIGN(const Collection all, collect(*client, o, report));
  BFTMETA_ASSIGN(const Epoch epoch, epoch_of(*client));
  std::error_code made;
  std::filesystem::create_directories(o.directory, made);
  if (made)
    return fail(Errc::io, "directory " + o.directory + " cannot be made: " + made.message());
  Table table{"files", {"file", "replica", "offence"}, {}};
  for (const auto& [key, known] : all) {
    const std::string path = o.directory + "/" + file_name(known.accusation);
    BFTMETA_TRY(
        crypto::write_new_file(path, messages::encode_evidence_file(epoch.context, known.evidence),
                               crypto::FileMode::public_file));
    table.rows.push_back({path, std::uint64_t{known.accusation.replica},
                          std::string(messages::offence_name(known.accusation.offence))});
  }
  report.fields.insert(report.fields.begin(), {"exported", std::uint64_t{all.size()}});
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  return ExitCode::ok;
}

// Those that the chain leads through; without one, the first alone.
Result<std::vector<Epoch>> epochs_of(const Options& o, const config::Genesis& genesis) {
  std::vector<Epoch> epochs{{context_of(genesis), genesis.config}};
  if (o.chain.empty()) return epochs;
  const auto wrong = [&o](const Error& e) {
    return fail(Errc::unverified, o.chain + ": " + e.message);
  };
  BFTMETA_ASSIGN(const Bytes bytes,
                 crypto::read_public_file(o.chain, "chain of epochs", verify::kMaxChainFile));
  auto anchor = verify::TrustAnchor::of(genesis);
  const auto steps = verify::decode_chain_file(anchor.cluster_id, bytes);
  if (!steps) return wrong(steps.error());
  const crypto::Ed25519Verifier verifier;
  for (const messages::EpochStep& step : *steps) {
    if (const auto led = anchor.follow(verifier, step); !led) return wrong(led.error());
    const crypto::Context context{anchor.cluster_id, anchor.config.epoch};
    epochs.push_back({{context, step.cert.body.seq}, anchor.config});
  }
  return epochs;
}

Result<ExitCode> verify(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const config::Genesis genesis, config::load_genesis(o.genesis));
  BFTMETA_ASSIGN(const std::vector<Epoch> epochs, epochs_of(o, genesis));
  BFTMETA_ASSIGN(const Bytes bytes,
                 crypto::read_public_file(o.file, "evidence file", messages::kMaxEvidenceFile));
  const crypto::Ed25519Verifier verifier;
  auto epoch = epochs.begin();
  auto evidence = messages::decode_evidence_file(epoch->context, bytes);
  while (!evidence && evidence.error().code == Errc::identity && ++epoch != epochs.end())
    evidence = messages::decode_evidence_file(epoch->context, bytes);
  // Whatever is wrong with it, it proves nothing.
  if (!evidence) return fail(Errc::unverified, o.file + ": " + evidence.error().message);
  const auto a = messages::judge(verifier, epoch->context, epoch->config, *evidence);
  if (!a) return fail(Errc::unverified, o.file + ": " + a.error().message);
  Report report{{{"verified", true},
                 {"replica", std::uint64_t{a->replica}},
                 {"offence", std::string(messages::offence_name(a->offence))},
                 {"view", a->view},
                 {"seq", a->seq},
                 {"epoch", epoch->config.epoch},
                 {"vote_key", to_hex(epoch->config.replicas[a->replica].vote_key)},
                 {"genesis_digest", to_hex(epoch->context.cluster_id)}},
                {}};
  print(globals.output, report);
  return ExitCode::ok;
}

}  // namespace

Run declare_evidence(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  const auto list_syntax = syntax.command("list", "What the replicas keep, verified");
  const auto export_syntax = syntax.command("export", "Write each as a file that proves itself");
  const auto verify_syntax = syntax.command("verify", "Verify such a file without a cluster");
  export_syntax.option("DIRECTORY", o->directory, "Where to; made if need be").required();
  verify_syntax.option("FILE", o->file, "From 'bftadm evidence export'").required();
  verify_syntax.option("--genesis", o->genesis, "The genesis.toml that you trust").required();
  verify_syntax.option("--chain", o->chain,
                       "From 'bftadm get-root --chain': for evidence of a later epoch");
  for (const auto& asks : {list_syntax, export_syntax})
    asks.option("--timeout-ms", o->timeout_ms, "How long to wait for a silent replica")
        .between(50, 60000)
        .show_default();
  return [=, &globals]() -> Result<ExitCode> {
    if (verify_syntax.chosen()) return verify(*o, globals);
    if (export_syntax.chosen()) return export_all(*o, globals);
    return list(*o, globals);
  };
}

}  // namespace bftmeta::admin
