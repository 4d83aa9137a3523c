// The files of one key owner, as `bftadm keygen` and `bftadm dev` make them. Each function makes
// `dir` (mode 0700) if it is missing, refuses before writing anything when one of its files exists,
// writes the private files, and the card last. Errors: already_exists, permission, disk_full, io,
// invalid_argument (name, host, port). Thread-safety: no state.
#pragma once

#include <string>

#include "config/cards.hpp"

namespace bftmeta::admin {

// File names inside `dir`.
constexpr const char* kVoteKeyFile = "vote.key";    // replica
constexpr const char* kSignKeyFile = "sign.key";    // client
constexpr const char* kLinkKeyFile = "link.key";    // replica and client
constexpr const char* kAdminKeyFile = "admin.key";  // admin
constexpr const char* kCardFile = "card.toml";
constexpr const char* kDataDir = "data";  // replica: data directory with the store identity

// An empty passphrase leaves the private keys unencrypted (unattended start).
Result<config::ReplicaCard> make_replica_keys(const std::string& dir, const std::string& host,
                                              std::uint16_t port, ByteView passphrase);
Result<config::Client> make_client_keys(const std::string& dir, const std::string& name,
                                        const config::ClientRules& rules, ByteView passphrase);
Result<config::Admin> make_admin_keys(const std::string& dir, const std::string& name,
                                      ByteView passphrase);

// A new genesis from cards, replica ids in the order of the cards, with a random nonce. Validated.
Result<config::Genesis> assemble_genesis(const std::string& name,
                                         const std::vector<config::Card>& cards,
                                         std::uint32_t admin_threshold);

}  // namespace bftmeta::admin
