#include "admin/statement.hpp"

#include <algorithm>
#include <chrono>

#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {
constexpr std::chrono::minutes kStatementValid{10};
}

void admin_key_option(config::Syntax syntax, std::vector<std::string>& paths) {
  syntax.option("--admin-key", paths,
                "Key of an admin; repeat it where several must sign (default: that of the "
                "client configuration)");
}

Result<std::vector<std::string>> admin_keys(const std::vector<std::string>& paths,
                                            const Globals& globals) {
  if (!paths.empty()) return paths;
  BFTMETA_ASSIGN(const std::string path, client_config_path(globals));
  BFTMETA_ASSIGN(const config::ClientSettings settings, config::load_client(path));
  if (settings.admin_key.empty())
    return fail(Errc::invalid_argument,
                path + ": names no admin_key; say which with --admin-key FILE");
  return std::vector{settings.admin_key};
}

Result<std::uint64_t> statement_end(client::Client& client) {
  BFTMETA_ASSIGN(const messages::RootCert root, client.root());
  const auto wall = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto valid = std::chrono::microseconds(kStatementValid);
  return std::max(static_cast<std::uint64_t>(wall.count()), root.body.time_us) +
         static_cast<std::uint64_t>(valid.count());
}

Result<std::vector<schema::AdminSignature>> sign_statement(const std::vector<std::string>& keys,
                                                           client::Client& client,
                                                           const tags::Tag& tag,
                                                           const Bytes& body) {
  const config::Genesis& genesis = client.genesis();
  const config::Config config = members_of(client);
  auto passphrase = crypto::PassphraseSource::terminal();
  std::vector<schema::AdminSignature> signatures;
  for (const std::string& path : keys) {
    BFTMETA_ASSIGN(const auto signer, crypto::load_sign_key(path, passphrase));
    const auto& admins = config.admins;
    const auto admin = std::ranges::find(admins, signer->public_key(), &config::Admin::key);
    if (admin == admins.end())
      return fail(Errc::permission, "admin key " + path + ": belongs to no admin of cluster '" +
                                        genesis.name + "'; give the right one with --admin-key");
    signatures.push_back({static_cast<std::uint32_t>(admin - admins.begin()),
                          signer->sign(tag, {genesis.cluster_id(), 0}, body)});
  }
  if (signatures.size() < config.admin_threshold)
    return fail(Errc::permission, "cluster '" + genesis.name + "' wants the signatures of " +
                                      std::to_string(config.admin_threshold) +
                                      " admins: repeat --admin-key");
  return signatures;
}

Error carried_before(const std::string& what, const std::string& list) {
  return {Errc::already_exists, what +
                                    ": this statement was executed already, carried by somebody "
                                    "else who saw it; see '" +
                                    list + "'"};
}

}  // namespace bftmeta::admin
