// What admins sign: statements about clients and about the configuration, with the keys that
// --admin-key or the client configuration names. Thread-safety: functions without state.
#pragma once

#include "admin/cluster.hpp"

namespace bftmeta::admin {

// Declares --admin-key of a command that changes something.
void admin_key_option(config::Syntax syntax, std::vector<std::string>& paths);

// The keys of `paths`, or of the client configuration. Errc::invalid_argument: there is none.
Result<std::vector<std::string>> admin_keys(const std::vector<std::string>& paths,
                                            const Globals& globals);

// Until when a statement is valid that is made now, in agreed time.
Result<std::uint64_t> statement_end(client::Client& client);

// `body` (encoded) under `tag` by every one of these keys. Errc::permission: one is no admin's of
// the configuration in force, or they are fewer than its threshold.
Result<std::vector<schema::AdminSignature>> sign_statement(const std::vector<std::string>& keys,
                                                           client::Client& client,
                                                           const tags::Tag& tag, const Bytes& body);

// What Code::exists of a statement means that was sent once: whoever saw it on its way had it
// executed first. `list`: the command that shows what has become of it.
Error carried_before(const std::string& what, const std::string& list);

// Says until when `body` is valid, has it signed (as above) and executed.
template <class Body>
Result<schema::OpResult> execute_statement(client::Client& client, const Globals& globals,
                                           const std::vector<std::string>& key_paths,
                                           const tags::Tag& tag, Body body) {
  BFTMETA_ASSIGN(const auto keys, admin_keys(key_paths, globals));
  BFTMETA_ASSIGN(body.valid_until_us, statement_end(client));
  schema::AdminStatement<Body> op{std::move(body), {}};
  BFTMETA_ASSIGN(op.signatures, sign_statement(keys, client, tag, encode(op.body)));
  return client.execute({current_caller(), std::move(op)});
}

}  // namespace bftmeta::admin
