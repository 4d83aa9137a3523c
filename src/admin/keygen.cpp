#include <CLI/CLI.hpp>

#include "admin/command.hpp"
#include "admin/keyring.hpp"
#include "admin/report.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::string out;
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  config::ClientRules rules;
  bool no_root_squash = false;
  std::uint32_t uid = 0;
  bool ask_passphrase = false;
  int passphrase_fd = -1;
  CLI::Option* uid_option = nullptr;
  CLI::Option* uid_last_option = nullptr;
};

// Calls `make` with the new passphrase, empty when none is wanted.
template <class Make>
auto with_passphrase(const Options& options, Make make) -> decltype(make(ByteView())) {
  if (!options.ask_passphrase && options.passphrase_fd < 0) return make(ByteView());
  auto source = options.passphrase_fd < 0
                    ? crypto::PassphraseSource::terminal()
                    : crypto::PassphraseSource::descriptor(options.passphrase_fd);
  BFTMETA_ASSIGN(const ByteView passphrase, source.get_new("keys in " + options.out));
  return make(passphrase);
}

Field fingerprint_field(const char* name, const PublicKey& key) {
  return {name, to_hex(crypto::fingerprint(key))};
}

Result<Report> make_replica(const Options& o) {
  BFTMETA_ASSIGN(const config::ReplicaCard card, with_passphrase(o, [&](ByteView passphrase) {
                   return make_replica_keys(o.out, o.host, o.port, passphrase);
                 }));
  return Report{{{"card", o.out + "/" + kCardFile},
                 {"data_dir", o.out + "/" + kDataDir},
                 fingerprint_field("vote_key_fingerprint", card.vote_key),
                 fingerprint_field("link_key_fingerprint", card.link_key)},
                {}};
}

Result<Report> make_client(Options o) {
  if (!o.rules.gateway && *o.uid_last_option)
    return fail(Errc::invalid_argument, "--uid-first and --uid-last need --gateway; say --uid");
  if (o.rules.gateway && *o.uid_option)
    return fail(Errc::invalid_argument,
                "--uid is for a single user; a --gateway has --uid-first and --uid-last");
  o.rules.root_squash = !o.no_root_squash;
  if (!o.rules.gateway) o.rules.uid_first = o.rules.uid_last = o.uid;
  BFTMETA_ASSIGN(const config::Client card, with_passphrase(o, [&](ByteView passphrase) {
                   return make_client_keys(o.out, o.name, o.rules, passphrase);
                 }));
  return Report{{{"card", o.out + "/" + kCardFile},
                 fingerprint_field("sign_key_fingerprint", card.sign_key),
                 fingerprint_field("link_key_fingerprint", card.link_key)},
                {}};
}

Result<Report> make_admin(const Options& o) {
  BFTMETA_ASSIGN(const config::Admin card, with_passphrase(o, [&](ByteView passphrase) {
                   return make_admin_keys(o.out, o.name, passphrase);
                 }));
  return Report{{{"card", o.out + "/" + kCardFile}, fingerprint_field("key_fingerprint", card.key)},
                {}};
}

void add_common(CLI::App& app, Options& o) {
  app.add_option("--out", o.out, "Directory for the keys and the card; made if missing")
      ->required();
  auto* ask = app.add_flag("--passphrase", o.ask_passphrase,
                           "Encrypt the private keys; asks on the terminal");
  app.add_option("--passphrase-fd", o.passphrase_fd,
                 "Encrypt the private keys with the first line of this descriptor")
      ->check(CLI::Range(0, 1 << 20))
      ->excludes(ask);
}

void add_client_options(CLI::App& app, Options& o) {
  app.add_option("--name", o.name, std::string("Name of the client: ") + config::kNameRule)
      ->required();
  app.add_flag("--gateway", o.rules.gateway,
               "It acts for many users: uid and groups come with each request");
  app.add_option("--uid-first", o.rules.uid_first, "First uid that a gateway may act for");
  o.uid_last_option =
      app.add_option("--uid-last", o.rules.uid_last, "Last uid that a gateway may act for");
  app.get_option("--uid-first")->needs(o.uid_last_option);
  o.uid_last_option->needs(app.get_option("--uid-first"));
  o.uid_option = app.add_option("--uid", o.uid, "The one uid of a client that is no gateway");
  app.add_option("--gid", o.rules.gid, "Its group");
  app.add_option("--groups", o.rules.groups, "Its supplementary groups, separated by commas")
      ->delimiter(',');
  app.add_flag("--no-root-squash", o.no_root_squash, "Let uid 0 stay uid 0 (default: 65534)");
  app.add_flag("--strict", o.rules.strict, "Every path must start at the root directory");
}

}  // namespace

Run declare_keygen(CLI::App& app, const Globals& globals) {
  app.require_subcommand(1);
  auto o = std::make_shared<Options>();

  CLI::App* replica = app.add_subcommand("replica", "Keys and store identity of a replica");
  add_common(*replica, *o);
  replica->add_option("--host", o->host, "Address at which the others reach it")->required();
  replica->add_option("--port", o->port, "First of four ports: peers, clients, blocks, metrics")
      ->required();

  CLI::App* client = app.add_subcommand("client", "Keys of a client");
  add_common(*client, *o);
  add_client_options(*client, *o);

  CLI::App* admin = app.add_subcommand("admin", "Key of an administrator");
  add_common(*admin, *o);
  admin->add_option("--name", o->name, std::string("Name: ") + config::kNameRule)->required();

  return [=, &globals]() -> Result<ExitCode> {
    if (o->rules.groups.size() > limits::kMaxGroups)
      return fail(Errc::invalid_argument,
                  "--groups: at most " + std::to_string(limits::kMaxGroups) + " are allowed");
    BFTMETA_ASSIGN(const Report report, replica->parsed()  ? make_replica(*o)
                                        : client->parsed() ? make_client(*o)
                                                           : make_admin(*o));
    print(globals.output, report);
    return ExitCode::ok;
  };
}

}  // namespace bftmeta::admin
