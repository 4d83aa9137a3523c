#include "config/identity.hpp"

#include "crypto/files.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::config {

namespace {

constexpr const char* kWhat = "store identity";
constexpr std::size_t kMaxFile = 4096;

Bytes contents_of(const StoreIdentity& identity) {
  Bytes contents = encode(identity);
  const Hash digest = crypto::sha256(contents);
  contents.insert(contents.end(), digest.begin(), digest.end());
  return contents;
}

Result<StoreIdentity> parse(ByteView contents) {
  if (contents.size() < Hash{}.size()) return fail(Errc::corrupt, "too short");
  const ByteView record = contents.first(contents.size() - Hash{}.size());
  if (!equal(crypto::sha256(record), contents.subspan(record.size())))
    return fail(Errc::corrupt, "its digest is another one");
  BFTMETA_ASSIGN(const auto identity, decode<StoreIdentity>(record, kWhat));
  if (identity.format != StoreIdentity{}.format) return fail(Errc::corrupt, "of an unknown format");
  return identity;
}

Result<StoreIdentity> load_one(const std::string& path) {
  const auto contents = crypto::read_private_file(path, kWhat, kMaxFile);
  if (!contents && contents.error().code == Errc::not_found)
    return fail(Errc::not_found,
                std::string(kWhat) + " " + path +
                    ": missing; a data directory is made by 'bftadm keygen replica' together with "
                    "its keys, and a lost one needs new keys");
  if (!contents) return tl::make_unexpected(contents.error());
  auto identity = parse(contents->view());
  if (!identity)
    return fail(Errc::corrupt, std::string(kWhat) + " " + path + ": damaged: " +
                                   identity.error().message + "; this replica needs new keys");
  return identity;
}

}  // namespace

Status create_identity(const std::string& path, const PublicKey& vote_key) {
  StoreIdentity identity;
  crypto::random_bytes(identity.uuid);
  crypto::random_bytes(identity.log_secret);
  identity.vote_fingerprint = crypto::fingerprint(vote_key);
  const Bytes contents = contents_of(identity);
  BFTMETA_TRY(crypto::write_new_file(path, contents, crypto::FileMode::private_file));
  return crypto::replace_file(path + kCopySuffix, contents, crypto::FileMode::private_file);
}

Result<StoreIdentity> load_identity(const std::string& path) {
  auto identity = load_one(path);
  if (identity || (identity.error().code != Errc::corrupt && identity.error().code != Errc::io))
    return identity;
  auto copy = load_one(path + kCopySuffix);
  return copy ? copy : identity;
}

Status replace_identity(const std::string& path, const StoreIdentity& identity) {
  const Bytes contents = contents_of(identity);
  BFTMETA_TRY(crypto::replace_file(path, contents, crypto::FileMode::private_file));
  return crypto::replace_file(path + kCopySuffix, contents, crypto::FileMode::private_file);
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
