#include "namespace/statements.hpp"

namespace bftmeta::ns {

using schema::Code;

Code check_validity(const Context& context, std::uint64_t valid_until_us) {
  const bool valid = valid_until_us >= context.exec_time_us &&
                     valid_until_us - context.exec_time_us <= kStatementValidityUs;
  return valid ? Code::ok : Code::invalid;
}

Code check_signatures(const Context& context, const tags::Tag& tag, const Bytes& body,
                      const std::vector<schema::AdminSignature>& signatures) {
  const crypto::Context binding{context.cluster_id, 0};
  std::vector<bool> counted(context.config->admins.size(), false);
  std::uint32_t valid = 0;
  for (const schema::AdminSignature& s : signatures) {
    if (s.admin >= counted.size() || counted[s.admin]) continue;
    const PublicKey& key = context.config->admins[s.admin].key;
    if (!context.verifier->verify(key, tag, binding, body, s.signature)) continue;
    counted[s.admin] = true;
    ++valid;
  }
  return valid >= context.config->admin_threshold ? Code::ok : Code::not_permitted;
}

}  // namespace bftmeta::ns
