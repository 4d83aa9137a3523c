#include "base/result.hpp"

#include <cerrno>

namespace bftmeta {

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::invalid_argument: return "invalid-argument";
    case Errc::config: return "config";
    case Errc::malformed: return "malformed";
    case Errc::not_found: return "not-found";
    case Errc::already_exists: return "already-exists";
    case Errc::permission: return "permission";
    case Errc::io: return "io";
    case Errc::disk_full: return "disk-full";
    case Errc::corrupt: return "corrupt";
    case Errc::unverified: return "unverified";
    case Errc::identity: return "identity";
    case Errc::unreachable: return "unreachable";
    case Errc::busy: return "busy";
    case Errc::stale: return "stale";
    case Errc::limit: return "limit";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

Errc errc_of_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return Errc::not_found;
    case EEXIST: return Errc::already_exists;
    case EACCES:
    case EPERM:
    case EROFS: return Errc::permission;
    case ENOSPC:
    case EDQUOT: return Errc::disk_full;
    case EWOULDBLOCK: return Errc::busy;
    default: return Errc::io;
  }
}

ExitCode exit_code_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::config: return ExitCode::usage;
    case Errc::permission: return ExitCode::permission;
    case Errc::unverified:
    case Errc::malformed: return ExitCode::verification_failed;
    case Errc::unreachable:
    case Errc::busy:
    case Errc::stale: return ExitCode::unreachable;
    default: return ExitCode::failed;
  }
}

}  // namespace bftmeta
