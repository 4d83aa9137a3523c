// Registration of client keys by statements of admins.
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;

namespace {

// Distinct admins whose signatures hold.
std::uint32_t valid_signatures(const Context& context, const schema::RegisterClient& op) {
  const Bytes body = encode(op.body);
  const crypto::Context binding{context.cluster_id, 0};
  std::vector<bool> counted(context.config->admins.size(), false);
  std::uint32_t valid = 0;
  for (const schema::AdminSignature& s : op.signatures) {
    if (s.admin >= counted.size() || counted[s.admin]) continue;
    const PublicKey& key = context.config->admins[s.admin].key;
    if (!context.verifier->verify(key, tags::kAdmin, binding, body, s.signature)) continue;
    counted[s.admin] = true;
    ++valid;
  }
  return valid;
}

Code check_statement(const Context& context, const schema::RegisterClient::Body& body) {
  constexpr std::uint64_t kHour = 3'600'000'000;
  if (body.valid_until_us < context.exec_time_us) return Code::invalid;
  if (body.valid_until_us - context.exec_time_us > kHour) return Code::invalid;
  if (body.remove) return Code::ok;
  const config::ClientRules& rules = body.client.rules;
  if (body.client.name.empty() || rules.uid_first > rules.uid_last) return Code::invalid;
  return crypto::valid_public_key(body.client.sign_key) ? Code::ok : Code::invalid;
}

}  // namespace

Code register_client(Transaction& t, const schema::RegisterClient& op) {
  BFTMETA_CHECK(check_statement(t.context(), op.body));
  if (valid_signatures(t.context(), op) < t.context().config->admin_threshold)
    return Code::not_permitted;
  const Key key = schema::keys::principal(op.body.client.sign_key);
  schema::Principal principal;
  const tree::Found found = t.record(key, principal);
  if (found == tree::Found::unknown) return Code::io_error;
  if (op.body.remove) {
    if (found == tree::Found::absent) return Code::no_entry;
    t.overlay().erase(key);
    return Code::ok;
  }
  principal.name = op.body.client.name;
  principal.link_key = op.body.client.link_key;
  principal.rules = op.body.client.rules;
  t.put(key, principal);
  return Code::ok;
}

}  // namespace bftmeta::ns
