#include "config/identity.hpp"

#include "crypto/files.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::config {

namespace {

constexpr const char* kWhat = "store identity";
constexpr std::size_t kMaxFile = 4096;

}  // namespace

Status create_identity(const std::string& path, const PublicKey& vote_key) {
  StoreIdentity identity;
  crypto::random_bytes(identity.uuid);
  crypto::random_bytes(identity.log_secret);
  identity.vote_fingerprint = crypto::fingerprint(vote_key);
  return crypto::write_new_file(path, encode(identity), crypto::FileMode::private_file);
}

Result<StoreIdentity> load_identity(const std::string& path) {
  auto content = crypto::read_private_file(path, kWhat, kMaxFile);
  if (!content) {
    if (content.error().code != Errc::not_found)
      return tl::make_unexpected(std::move(content.error()));
    return fail(Errc::not_found,
                std::string(kWhat) + " " + path +
                    ": missing; a data directory is made by 'bftadm keygen replica' together with "
                    "its keys, and a lost one needs new keys");
  }
  auto identity = decode<StoreIdentity>(content->view(), kWhat);
  if (!identity || identity->format != 1)
    return fail(Errc::corrupt,
                std::string(kWhat) + " " + path + ": damaged or of an unknown format" +
                    (identity ? std::string() : " (" + identity.error().message + ")") +
                    "; this replica needs new keys");
  return identity;
}

Status replace_identity(const std::string& path, const StoreIdentity& identity) {
  return crypto::replace_file(path, encode(identity), crypto::FileMode::private_file);
}

Status check_identity(const std::string& path, const StoreIdentity& identity,
                      const PublicKey& vote_key, const Hash& cluster_id, std::uint32_t replica_id) {
  const auto foreign = [&](const std::string& why) {
    return fail(Errc::identity, std::string(kWhat) + " " + path + ": " + why);
  };
  if (identity.vote_fingerprint != crypto::fingerprint(vote_key))
    return foreign("this data directory belongs to another vote key (fingerprint " +
                   short_hex(identity.vote_fingerprint) + ", the key file has " +
                   short_hex(crypto::fingerprint(vote_key)) +
                   "); check data_dir and vote_key of replica.toml");
  if (identity.cluster_id == Hash{}) return {};
  if (identity.cluster_id != cluster_id)
    return foreign("this data directory belongs to cluster " + short_hex(identity.cluster_id) +
                   ", the genesis is of cluster " + short_hex(cluster_id) +
                   "; check genesis and data_dir of replica.toml");
  if (identity.replica_id != replica_id)
    return foreign("this data directory belongs to replica " + std::to_string(identity.replica_id) +
                   ", not " + std::to_string(replica_id) +
                   "; check id and data_dir of replica.toml");
  return {};
}

}  // namespace bftmeta::config
