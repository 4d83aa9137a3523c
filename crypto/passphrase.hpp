// Where the passphrase of an encrypted key file comes from: the terminal, or a file descriptor
// (never the command line or the environment, which others can see). It is asked for when the first
// encrypted file needs it and kept for the others of the same process. Thread-safety: one thread.
#pragma once

#include "base/result.hpp"
#include "crypto/secret.hpp"

namespace bftmeta::crypto {

class PassphraseSource {
 public:
  // Asks on the controlling terminal, without echo.
  static PassphraseSource terminal() { return PassphraseSource(-1); }
  // Reads the first line of an open descriptor, which stays open.
  static PassphraseSource descriptor(int fd) { return PassphraseSource(fd); }

  // 1..kMaxPassphrase bytes. `purpose` is shown by a terminal. Errors: permission (no terminal,
  // empty, too long), io.
  Result<ByteView> get(const std::string& purpose);
  // The same for a new key: a terminal asks twice, and Errc::invalid_argument if they differ.
  Result<ByteView> get_new(const std::string& purpose);

  static constexpr std::size_t kMaxPassphrase = 1024;

 private:
  explicit PassphraseSource(int fd) : fd_(fd) {}
  Result<SecretBytes> read_now(const std::string& purpose) const;

  int fd_;
  SecretBytes kept_;
};

}  // namespace bftmeta::crypto
