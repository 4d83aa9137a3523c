#include "namespace/statements.hpp"

#include "base/mutant.hpp"

namespace bftmeta::ns {

using schema::Code;
namespace keys = schema::keys;

Code Statement::check(const Transaction& t) const {
  BFTMETA_CHECK(check_validity(t.context()));
  BFTMETA_CHECK(check_signatures(t.context()));
  return check_unused(t);
}

Code Statement::check_validity(const Context& context) const {
  const bool valid = valid_until_us_ >= context.exec_time_us &&
                     valid_until_us_ - context.exec_time_us <= kStatementValidityUs;
  return valid ? Code::ok : Code::invalid;
}

Code Statement::check_signatures(const Context& context) const {
  std::vector<bool> counted(context.config->admins.size(), false);
  std::uint32_t valid = 0;
  for (const schema::AdminSignature& s : signatures_) {
    if (s.admin >= counted.size() || counted[s.admin]) continue;
    const PublicKey& key = context.config->admins[s.admin].key;
    if (!context.verifier->verify(key, signed_bytes_, s.signature)) continue;
    counted[s.admin] = true;
    ++valid;
  }
  return valid >= context.config->admin_threshold ? Code::ok : Code::not_permitted;
}

Code Statement::check_unused(const Transaction& t) const {
  schema::Marker marker;
  const tree::Found found = t.record(used_key(), marker);
  if (found == tree::Found::unknown) return Code::io_error;
  const bool used = found == tree::Found::value && !mutant(Mutant::statement_not_remembered);
  return used ? Code::exists : Code::ok;
}

Code Statement::remember(Transaction& t) const {
  // Valid up to and including its end.
  const Key still_valid = keys::used_statement(t.context().exec_time_us, Hash{});
  std::vector<Key> over;
  if (!t.first_keys(keys::used_statements(), still_valid, limits::kForgottenPerStatement, over))
    return Code::io_error;
  for (const Key& key : over) t.overlay().erase(key);
  t.put(used_key(), schema::Marker{});
  return Code::ok;
}

Key Statement::used_key() const {
  return keys::used_statement(valid_until_us_, schema::statement_digest(signed_bytes_));
}

}  // namespace bftmeta::ns
