#include "crypto/keys.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/assert.hpp"
#include "crypto/files.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::crypto {

namespace {

constexpr std::size_t kMaxKeyFile = 16 * 1024;  // an encrypted key takes about 400 bytes
// PBKDF2-HMAC-SHA256 rounds: about a quarter of a second, paid once per start.
constexpr int kPassphraseRounds = 600'000;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Pkey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Pkcs8 = std::unique_ptr<PKCS8_PRIV_KEY_INFO, Deleter<PKCS8_PRIV_KEY_INFO_free>>;
using EncryptedPkcs8 = std::unique_ptr<X509_SIG, Deleter<X509_SIG_free>>;

// One PEM block; `data` may hold a private key, so it is cleansed.
struct PemBlock {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;

  PemBlock() = default;
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;
  ~PemBlock() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
};

const char* kind_name(int type) { return type == EVP_PKEY_ED25519 ? "Ed25519" : "X25519"; }

tl::unexpected<Error> key_error(Errc code, const std::string& path, const std::string& why) {
  ERR_clear_error();
  return fail(code, "key file " + path + ": " + why);
}

Result<SecretBytes> to_pem(const EVP_PKEY* key, ByteView passphrase) {
  const Bio out(BIO_new(BIO_s_secmem()));
  const Pkcs8 plain(EVP_PKEY2PKCS8(key));
  if (!out || !plain) return fail(Errc::internal, "OpenSSL cannot encode a private key");
  bool written = false;
  if (passphrase.empty()) {
    written = PEM_write_bio_PKCS8_PRIV_KEY_INFO(out.get(), plain.get()) == 1;
  } else {
    const EncryptedPkcs8 encrypted(PKCS8_encrypt(
        -1, EVP_aes_256_cbc(), reinterpret_cast<const char*>(passphrase.data()),
        static_cast<int>(passphrase.size()), nullptr, 0, kPassphraseRounds, plain.get()));
    written = encrypted && PEM_write_bio_PKCS8(out.get(), encrypted.get()) == 1;
  }
  if (!written) {
    ERR_clear_error();
    return fail(Errc::internal, "OpenSSL cannot encode a private key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  SecretBytes pem(static_cast<std::size_t>(size));
  std::copy_n(data, size, pem.data());
  return pem;
}

Result<PublicKey> create(int type, const std::string& path, ByteView passphrase) {
  Secret32 seed;
  random_bytes(seed.bytes());
  const Pkey key(EVP_PKEY_new_raw_private_key(type, nullptr, seed.bytes().data(), 32));
  BFTMETA_ASSERT(key != nullptr);
  BFTMETA_ASSIGN(const SecretBytes pem, to_pem(key.get(), passphrase));
  BFTMETA_TRY(write_new_file(path, pem.view(), FileMode::private_file));
  PublicKey out;
  std::size_t size = out.size();
  BFTMETA_ASSERT(EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size) == 1);
  return out;
}

Result<Pkcs8> decrypt(const PemBlock& block, const std::string& path,
                      PassphraseSource& passphrase) {
  const unsigned char* cursor = block.data;
  const EncryptedPkcs8 encrypted(d2i_X509_SIG(nullptr, &cursor, block.size));
  if (!encrypted || cursor != block.data + block.size)
    return key_error(Errc::corrupt, path, "damaged encrypted key; restore it from a copy");
  BFTMETA_ASSIGN(const ByteView secret, passphrase.get("key file " + path));
  Pkcs8 plain(PKCS8_decrypt(encrypted.get(), reinterpret_cast<const char*>(secret.data()),
                            static_cast<int>(secret.size())));
  if (!plain) return key_error(Errc::permission, path, "wrong passphrase, or a damaged file");
  return plain;
}

Result<Pkcs8> parse_pem(ByteView pem, const std::string& path, PassphraseSource& passphrase) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  PemBlock block;
  if (!in || PEM_read_bio(in.get(), &block.name, &block.header, &block.data, &block.size) != 1)
    return key_error(Errc::corrupt, path,
                     "no complete PEM block in it; it is damaged or not a key file");
  const std::string name = block.name;
  if (name == PEM_STRING_PKCS8) return decrypt(block, path, passphrase);
  if (name != PEM_STRING_PKCS8INF)
    return key_error(Errc::corrupt, path, "holds no PKCS#8 private key but '" + name + "'");
  const unsigned char* cursor = block.data;
  Pkcs8 plain(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &cursor, block.size));
  if (!plain || cursor != block.data + block.size)
    return key_error(Errc::corrupt, path, "damaged private key; restore it from a copy");
  return plain;
}

struct RawKey {
  PublicKey public_key{};
  Secret32 secret;
};

Result<RawKey> load(int type, const std::string& path, PassphraseSource& passphrase) {
  BFTMETA_ASSIGN(const SecretBytes pem, read_private_file(path, "key file", kMaxKeyFile));
  BFTMETA_ASSIGN(const Pkcs8 plain, parse_pem(pem.view(), path, passphrase));
  const Pkey key(EVP_PKCS82PKEY(plain.get()));
  if (!key) return key_error(Errc::corrupt, path, "damaged or unknown kind of private key");
  if (EVP_PKEY_get_id(key.get()) != type)
    return key_error(Errc::identity, path,
                     std::string("not an ") + kind_name(type) + " key; was the " +
                         (type == EVP_PKEY_ED25519 ? "sign" : "link") +
                         " key swapped with another file?");
  RawKey out;
  std::size_t public_size = out.public_key.size();
  std::size_t secret_size = 32;
  if (EVP_PKEY_get_raw_public_key(key.get(), out.public_key.data(), &public_size) != 1 ||
      EVP_PKEY_get_raw_private_key(key.get(), out.secret.bytes().data(), &secret_size) != 1)
    return key_error(Errc::corrupt, path, "damaged private key; restore it from a copy");
  return out;
}

}  // namespace

Result<PublicKey> create_sign_key(const std::string& path, ByteView passphrase) {
  return create(EVP_PKEY_ED25519, path, passphrase);
}

Result<PublicKey> create_link_key(const std::string& path, ByteView passphrase) {
  return create(EVP_PKEY_X25519, path, passphrase);
}

Result<std::unique_ptr<Ed25519Signer>> load_sign_key(const std::string& path,
                                                     PassphraseSource& passphrase) {
  BFTMETA_ASSIGN(const RawKey raw, load(EVP_PKEY_ED25519, path, passphrase));
  return std::make_unique<Ed25519Signer>(raw.secret.bytes());
}

Result<LinkKey> load_link_key(const std::string& path, PassphraseSource& passphrase) {
  BFTMETA_ASSIGN(const RawKey raw, load(EVP_PKEY_X25519, path, passphrase));
  return LinkKey{raw.public_key, raw.secret.bytes()};
}

Hash fingerprint(const PublicKey& key) {
  return Hasher(tags::Domain::key_fingerprint).update(key).finish();
}

}  // namespace bftmeta::crypto
