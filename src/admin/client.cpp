// client add, remove, list: registered client keys, changed by statements that admins sign.
#include <algorithm>

#include "admin/statement.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::string who;  // a card, or the name of a registered client
  std::vector<std::string> admin_keys;
};

Result<std::vector<ns::PrincipalEntry>> registered(client::Client& client) {
  BFTMETA_ASSIGN(const client::ReadResult read,
                 client.read({{current_caller(), schema::ListPrincipals{}}}));
  const ns::QueryResult& result = read.answers.front();
  if (const auto* list = std::get_if<ns::PrincipalList>(&result.answer)) return list->principals;
  return tl::make_unexpected(operation_error("list of clients", result.code));
}

Result<config::Client> load_client_card(const std::string& path) {
  BFTMETA_ASSIGN(const config::Card card, config::load_card(path));
  if (const auto* c = std::get_if<config::Client>(&card)) return *c;
  return fail(Errc::config, path + ": is not the card of a client");
}

Result<ExitCode> change(const Options& o, const Globals& globals, client::Client& client,
                        const config::Client& who, bool remove) {
  BFTMETA_ASSIGN(const schema::OpResult result,
                 execute_statement(client, globals, o.admin_keys, tags::kAdmin,
                                   schema::ClientStatement{who, remove}));
  const std::string what = "client '" + who.name + "'";
  if (result.code == schema::Code::exists)
    return tl::make_unexpected(carried_before(what, "bftadm client list"));
  if (result.code != schema::Code::ok)
    return tl::make_unexpected(operation_error(what, result.code));
  print(globals.output, {{{"client", who.name},
                          {"registered", !remove},
                          {"key_fingerprint", short_hex(crypto::fingerprint(who.sign_key))}},
                         {}});
  BFTMETA_TRY(client.close());
  return ExitCode::ok;
}

Result<ExitCode> add(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const config::Client card, load_client_card(o.who));
  BFTMETA_ASSIGN(const auto client, connect(globals));
  return change(o, globals, *client, card, false);
}

Result<ExitCode> remove(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  if (o.who.find('/') != std::string::npos || o.who.ends_with(".toml")) {
    BFTMETA_ASSIGN(const config::Client card, load_client_card(o.who));
    return change(o, globals, *client, card, true);
  }
  BFTMETA_ASSIGN(const auto all, registered(*client));
  std::vector<ns::PrincipalEntry> named;
  std::ranges::copy_if(all, std::back_inserter(named),
                       [&](const auto& p) { return p.principal.name == o.who; });
  if (named.size() != 1)
    return fail(named.empty() ? Errc::not_found : Errc::invalid_argument,
                "client '" + o.who + "': " +
                    (named.empty() ? "no registered client has this name; see 'bftadm client list'"
                                   : "several have this name; give the card instead"));
  const ns::PrincipalEntry& p = named.front();
  return change(o, globals, *client,
                {p.principal.name, p.sign_key, p.principal.link_key, p.principal.rules}, true);
}

Result<ExitCode> list(const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const auto all, registered(*client));
  Table table{"clients",
              {"name", "key_fingerprint", "gateway", "root_squash", "strict", "uid_first",
               "uid_last", "gid", "sessions"},
              {}};
  for (const ns::PrincipalEntry& p : all) {
    const config::ClientRules& r = p.principal.rules;
    table.rows.push_back({p.principal.name, short_hex(crypto::fingerprint(p.sign_key)), r.gateway,
                          r.root_squash, r.strict, std::uint64_t{r.uid_first},
                          std::uint64_t{r.uid_last}, std::uint64_t{r.gid},
                          std::uint64_t{p.principal.sessions}});
  }
  print(globals.output, {{}, {std::move(table)}});
  return ExitCode::ok;
}

}  // namespace

Run declare_client(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  const auto add_syntax = syntax.command("add", "Register a client, or replace its rules");
  const auto remove_syntax = syntax.command("remove", "Take a client's registration away");
  syntax.command("list", "Registered clients, verified");
  add_syntax.option("CARD", o->who, "Its card, from 'bftadm keygen client'").required();
  remove_syntax.option("CLIENT", o->who, "Its card, or its name").required();
  for (const auto& change : {add_syntax, remove_syntax}) admin_key_option(change, o->admin_keys);
  return [=, &globals]() -> Result<ExitCode> {
    if (add_syntax.chosen()) return add(*o, globals);
    if (remove_syntax.chosen()) return remove(*o, globals);
    return list(globals);
  };
}

}  // namespace bftmeta::admin
