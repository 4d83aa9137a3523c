// Key files: one private key each, PKCS#8 in PEM (RFC 5208, RFC 8410), mode 0600, plain or
// encrypted with a passphrase. Two kinds, never converted into each other: sign keys (Ed25519:
// votes, requests, admin operations) and link keys (X25519, as CURVE uses them). Files are created
// by keygen only and never overwritten. Thread-safety: functions without state; PassphraseSource is
// used on the calling thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "crypto/link_key.hpp"
#include "crypto/passphrase.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::crypto {

// Makes a new random key and writes it to `path`; returns its public half. Encrypted when
// `passphrase` is not empty. Errors: as write_new_file.
Result<PublicKey> create_sign_key(const std::string& path, ByteView passphrase);
Result<PublicKey> create_link_key(const std::string& path, ByteView passphrase);

// Errors: not_found, io, permission (readable by others, wrong passphrase), corrupt (not a private
// key in PEM), identity (a key of the other kind).
Result<std::unique_ptr<Ed25519Signer>> load_sign_key(const std::string& path,
                                                     PassphraseSource& passphrase);
Result<LinkKey> load_link_key(const std::string& path, PassphraseSource& passphrase);

// H(key_fingerprint || public key): what people compare.
Hash fingerprint(const PublicKey& key);

}  // namespace bftmeta::crypto
