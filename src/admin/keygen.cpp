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
  config::ClientRules rules;  // without the uids
  bool no_root_squash = false;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> uid_first;
  std::optional<std::uint32_t> uid_last;
  bool ask_passphrase = false;
  int passphrase_fd = -1;
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
  if (!o.rules.gateway && o.uid_last)
    return fail(Errc::invalid_argument, "--uid-first and --uid-last need --gateway; say --uid");
  if (o.rules.gateway && o.uid)
    return fail(Errc::invalid_argument,
                "--uid is for a single user; a --gateway has --uid-first and --uid-last");
  o.rules.root_squash = !o.no_root_squash;
  // A single user is a range of one.
  o.rules.uid_first = (o.rules.gateway ? o.uid_first : o.uid).value_or(0);
  o.rules.uid_last = (o.rules.gateway ? o.uid_last : o.uid).value_or(0);
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

void add_common(config::Syntax syntax, Options& o) {
  syntax.option("--out", o.out, "Directory for the keys and the card; made if missing").required();
  const auto ask = syntax.flag("--passphrase", o.ask_passphrase,
                               "Encrypt the private keys; asks on the terminal");
  syntax
      .option("--passphrase-fd", o.passphrase_fd,
              "Encrypt the private keys with the first line of this descriptor")
      .between(0, 1 << 20)
      .excludes(ask);
}

void add_client_options(config::Syntax syntax, Options& o) {
  syntax.option("--name", o.name, std::string("Name of the client: ") + config::kNameRule)
      .required();
  syntax.flag("--gateway", o.rules.gateway,
              "It acts for many users: uid and groups come with each request");
  const auto first =
      syntax.option("--uid-first", o.uid_first, "First uid that a gateway may act for");
  const auto last = syntax.option("--uid-last", o.uid_last, "Last uid that a gateway may act for");
  first.needs(last);
  last.needs(first);
  syntax.option("--uid", o.uid, "The one uid of a client that is no gateway");
  syntax.option("--gid", o.rules.gid, "Its group");
  syntax.option("--groups", o.rules.groups, "Its supplementary groups, separated by commas")
      .separated_by(',');
  syntax.flag("--no-root-squash", o.no_root_squash, "Let uid 0 stay uid 0 (default: 65534)");
  syntax.flag("--strict", o.rules.strict, "Every path must start at the root directory");
}

}  // namespace

Run declare_keygen(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();

  const auto replica = syntax.command("replica", "Keys and store identity of a replica");
  add_common(replica, *o);
  replica.option("--host", o->host, "Address at which the others reach it").required();
  replica.option("--port", o->port, "First of four ports: peers, clients, blocks, metrics")
      .required();

  const auto client = syntax.command("client", "Keys of a client");
  add_common(client, *o);
  add_client_options(client, *o);

  const auto admin = syntax.command("admin", "Key of an administrator");
  add_common(admin, *o);
  admin.option("--name", o->name, std::string("Name: ") + config::kNameRule).required();

  return [=, &globals]() -> Result<ExitCode> {
    if (o->rules.groups.size() > limits::kMaxGroups)
      return fail(Errc::invalid_argument,
                  "--groups: at most " + std::to_string(limits::kMaxGroups) + " are allowed");
    BFTMETA_ASSIGN(const Report report, replica.chosen()  ? make_replica(*o)
                                        : client.chosen() ? make_client(*o)
                                                          : make_admin(*o));
    print(globals.output, report);
    return ExitCode::ok;
  };
}

}  // namespace bftmeta::admin
