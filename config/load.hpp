// TOML files in and out. Loading is strict: an unknown key, a missing one, a wrong type or value is
// Errc::config with "FILE:LINE: key 'x': what is wrong; allowed: ...", one line, first defect only.
// A relative path in a file is relative to that file. Writing never overwrites
// (crypto::write_new_file); what is written loads to the same value. Thread-safety: no state.
#pragma once

#include "config/cards.hpp"
#include "config/genesis.hpp"
#include "config/settings.hpp"

namespace bftmeta::config {

// The file carries the digest (cluster id) of its own content, so that a cut or edited genesis is
// noticed by every reader. Validated.
Result<Genesis> load_genesis(const std::string& path);
Result<ReplicaSettings> load_replica(const std::string& path);
Result<ClientSettings> load_client(const std::string& path);
Result<Card> load_card(const std::string& path);

Status write_genesis(const std::string& path, const Genesis& genesis);
Status write_replica(const std::string& path, const ReplicaSettings& settings);
Status write_client(const std::string& path, const ClientSettings& settings);
Status write_card(const std::string& path, const Card& card);

// What may stand in the files and on bftadm's command line.
bool valid_name(const std::string& name);  // 1..64 of A-Z a-z 0-9 . _ @ -
bool valid_host(const std::string& host);  // DNS name or address literal, at most kMaxHost
constexpr const char* kNameRule = "1 to 64 characters of A-Z a-z 0-9 . _ @ -";
constexpr const char* kHostRule = "a DNS name, an IPv4 or an IPv6 address";
constexpr std::uint16_t kMaxPort = 65532;  // of the first of a block of four

}  // namespace bftmeta::config
