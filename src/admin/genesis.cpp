#include "admin/command.hpp"
#include "admin/keyring.hpp"
#include "admin/report.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::vector<std::string> cards;
  std::string out;
  std::string show;
  std::string canonical;
  std::string name = "bftmeta";
  std::uint32_t admin_threshold = 1;
};

Report describe(const config::Genesis& g) {
  Report report;
  report.fields = {{"digest", to_hex(g.cluster_id())},
                   {"name", g.name},
                   {"replicas", std::uint64_t{g.config.n()}},
                   {"tolerates", std::uint64_t{g.config.f()}}};
  Table members{"members", {"kind", "name", "endpoint", "key_fingerprint"}, {}};
  const auto print_of = [](const PublicKey& key) { return short_hex(crypto::fingerprint(key)); };
  for (const config::Replica& r : g.config.replicas)
    members.rows.push_back({"replica", std::to_string(r.id), r.host + ":" + std::to_string(r.port),
                            print_of(r.vote_key)});
  for (const config::Admin& a : g.config.admins)
    members.rows.push_back({"admin", a.name, "", print_of(a.key)});
  for (const config::Client& c : g.clients)
    members.rows.push_back({"client", c.name, "", print_of(c.sign_key)});
  report.tables.push_back(std::move(members));
  return report;
}

Result<config::Genesis> assemble(const Options& o) {
  std::vector<config::Card> cards;
  for (const std::string& path : o.cards) {
    BFTMETA_ASSIGN(config::Card card, config::load_card(path));
    cards.push_back(std::move(card));
  }
  BFTMETA_ASSIGN(const config::Genesis genesis, assemble_genesis(o.name, cards, o.admin_threshold));
  BFTMETA_TRY(config::write_genesis(o.out, genesis));
  return genesis;
}

Result<ExitCode> run(const Options& o, const Globals& globals) {
  if (o.show.empty() == o.cards.empty())
    return fail(Errc::invalid_argument,
                "give either cards and --out FILE, or --show FILE; see 'bftadm genesis --help'");
  if (o.show.empty() == o.out.empty())
    return fail(Errc::invalid_argument, o.out.empty()
                                            ? "--out FILE is missing: where to write the genesis"
                                            : "--out makes no sense with --show");
  BFTMETA_ASSIGN(const config::Genesis genesis,
                 o.show.empty() ? assemble(o) : config::load_genesis(o.show));
  if (!o.canonical.empty())
    BFTMETA_TRY(
        crypto::write_new_file(o.canonical, encode(genesis), crypto::FileMode::public_file));
  print(globals.output, describe(genesis));
  return ExitCode::ok;
}

}  // namespace

Run declare_genesis(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  syntax.option("CARD", o->cards,
                "Cards of replicas (ids in this order), of admins and of clients");
  syntax.option("--out", o->out, "File to write, the same for every host");
  syntax.option("--show", o->show, "Show an existing genesis instead");
  syntax.option("--canonical", o->canonical,
                "Also write the canonical bytes, as the C verifier takes them");
  syntax.option("--name", o->name, "Name of the cluster").show_default();
  syntax
      .option("--admin-threshold", o->admin_threshold,
              "Admins that must sign a change of the configuration")
      .show_default();
  return [=, &globals] { return run(*o, globals); };
}

}  // namespace bftmeta::admin
