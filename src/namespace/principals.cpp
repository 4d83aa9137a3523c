// Registration of client keys by statements of admins.
#include "namespace/statements.hpp"

namespace bftmeta::ns {

using schema::Code;

namespace {

Code check_client(const schema::RegisterClient::Body& body) {
  if (body.remove) return Code::ok;
  const config::ClientRules& rules = body.client.rules;
  if (body.client.name.empty() || rules.uid_first > rules.uid_last) return Code::invalid;
  return crypto::valid_public_key(body.client.sign_key) ? Code::ok : Code::invalid;
}

}  // namespace

Code register_client(Transaction& t, const schema::RegisterClient& op) {
  const Statement statement(t, tags::kAdmin, op);
  BFTMETA_CHECK(check_client(op.body));
  BFTMETA_CHECK(statement.check(t));
  const Key key = schema::keys::principal(op.body.client.sign_key);
  schema::Principal principal;
  const tree::Found found = t.record(key, principal);
  if (found == tree::Found::unknown) return Code::io_error;
  if (op.body.remove) {
    if (found == tree::Found::absent) return Code::no_entry;
    t.overlay().erase(key);
    return statement.remember(t);
  }
  principal.name = op.body.client.name;
  principal.link_key = op.body.client.link_key;
  principal.rules = op.body.client.rules;
  t.put(key, principal);
  return statement.remember(t);
}

}  // namespace bftmeta::ns
