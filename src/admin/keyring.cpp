#include "admin/keyring.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <initializer_list>
#include <system_error>

#include "config/identity.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  struct stat st {};
  if (errno == EEXIST && ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
  const int error = errno;
  return fail(errc_of_errno(error), "cannot make directory " + path + ": " +
                                        (error == EEXIST ? "a file of that name exists"
                                                         : std::generic_category().message(error)));
}

Status check_absent(const std::string& dir, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const std::string path = dir + "/" + name;
    struct stat st {};
    if (::lstat(path.c_str(), &st) == 0)
      return fail(Errc::already_exists,
                  path + " exists already; keys are never overwritten: choose another --out");
  }
  return {};
}

Status check_name(const std::string& name) {
  if (config::valid_name(name)) return {};
  return fail(Errc::invalid_argument,
              "--name '" + name + "': wrong value; allowed: " + config::kNameRule);
}

}  // namespace

Result<config::ReplicaCard> make_replica_keys(const std::string& dir, const std::string& host,
                                              std::uint16_t port, ByteView passphrase) {
  if (!config::valid_host(host))
    return fail(Errc::invalid_argument,
                "--host '" + host + "': wrong value; allowed: " + config::kHostRule);
  if (port == 0 || port > config::kMaxPort)
    return fail(Errc::invalid_argument,
                "--port " + std::to_string(port) + ": wrong value; allowed: 1 to " +
                    std::to_string(config::kMaxPort) + ", the first of a block of four");
  const std::string data = dir + "/" + kDataDir;
  BFTMETA_TRY(make_directory(dir));
  BFTMETA_TRY(check_absent(dir, {kVoteKeyFile, kLinkKeyFile, kDataDir, kCardFile}));
  BFTMETA_TRY(make_directory(data));
  config::ReplicaCard card;
  card.host = host;
  card.port = port;
  BFTMETA_ASSIGN(card.vote_key, crypto::create_sign_key(dir + "/" + kVoteKeyFile, passphrase));
  BFTMETA_ASSIGN(card.link_key, crypto::create_link_key(dir + "/" + kLinkKeyFile, passphrase));
  BFTMETA_TRY(config::create_identity(data + "/" + config::kIdentityFile, card.vote_key));
  BFTMETA_TRY(config::write_card(dir + "/" + kCardFile, card));
  return card;
}

Result<config::Client> make_client_keys(const std::string& dir, const std::string& name,
                                        const config::ClientRules& rules, ByteView passphrase) {
  BFTMETA_TRY(check_name(name));
  if (rules.uid_first > rules.uid_last)
    return fail(Errc::invalid_argument, "--uid-last " + std::to_string(rules.uid_last) +
                                            ": is below --uid-first " +
                                            std::to_string(rules.uid_first));
  BFTMETA_TRY(make_directory(dir));
  BFTMETA_TRY(check_absent(dir, {kSignKeyFile, kLinkKeyFile, kCardFile}));
  config::Client card;
  card.name = name;
  card.rules = rules;
  BFTMETA_ASSIGN(card.sign_key, crypto::create_sign_key(dir + "/" + kSignKeyFile, passphrase));
  BFTMETA_ASSIGN(card.link_key, crypto::create_link_key(dir + "/" + kLinkKeyFile, passphrase));
  BFTMETA_TRY(config::write_card(dir + "/" + kCardFile, card));
  return card;
}

Result<config::Admin> make_admin_keys(const std::string& dir, const std::string& name,
                                      ByteView passphrase) {
  BFTMETA_TRY(check_name(name));
  BFTMETA_TRY(make_directory(dir));
  BFTMETA_TRY(check_absent(dir, {kAdminKeyFile, kCardFile}));
  config::Admin card;
  card.name = name;
  BFTMETA_ASSIGN(card.key, crypto::create_sign_key(dir + "/" + kAdminKeyFile, passphrase));
  BFTMETA_TRY(config::write_card(dir + "/" + kCardFile, card));
  return card;
}

Result<config::Genesis> assemble_genesis(const std::string& name,
                                         const std::vector<config::Card>& cards,
                                         std::uint32_t admin_threshold) {
  BFTMETA_TRY(check_name(name));
  config::Genesis genesis;
  genesis.name = name;
  crypto::random_bytes(genesis.nonce);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  genesis.time_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  genesis.config.admin_threshold = admin_threshold;
  for (const config::Card& card : cards) {
    if (const auto* r = std::get_if<config::ReplicaCard>(&card))
      genesis.config.replicas.push_back(
          {genesis.config.n(), r->vote_key, r->link_key, r->host, r->port});
    else if (const auto* a = std::get_if<config::Admin>(&card))
      genesis.config.admins.push_back(*a);
    else
      genesis.clients.push_back(std::get<config::Client>(card));
  }
  BFTMETA_TRY(config::validate(genesis));
  return genesis;
}

}  // namespace bftmeta::admin
