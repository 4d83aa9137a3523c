// Small files that matter: keys, identities, cards, genesis. Writing never overwrites and is
// durable (file and directory synced) when it returns; reading has a cap before it allocates, and a
// private file is refused when others could have read it. Thread-safety: functions without state.
#pragma once

#include <string>

#include "base/result.hpp"
#include "crypto/secret.hpp"

namespace bftmeta::crypto {

enum class FileMode : std::uint16_t {
  private_file = 0600,
  public_file = 0644,
};

// Creates `path` with exactly this mode, whatever the umask. Errors: already_exists (nothing is
// changed), permission, disk_full, io; after an error the file does not exist, unless it did
// before.
Status write_new_file(const std::string& path, ByteView content, FileMode mode);

// Puts `content` in the place of `path`, whether it exists or not: the old or the new content is
// there after a crash, the new one once this returns. Uses `path`.new; one writer at a time.
Status replace_file(const std::string& path, ByteView content, FileMode mode);

// Whole content of a regular file. Errors: not_found, permission, limit (longer than `max_bytes`),
// io. `what` names the kind of file in messages ("key file").
Result<Bytes> read_public_file(const std::string& path, const std::string& what,
                               std::size_t max_bytes);
// The same, and Errc::permission when group or world have any right to it.
Result<SecretBytes> read_private_file(const std::string& path, const std::string& what,
                                      std::size_t max_bytes);

}  // namespace bftmeta::crypto
