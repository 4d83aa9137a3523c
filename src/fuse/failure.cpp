#include "fuse/failure.hpp"

namespace bftmeta::fuse {

namespace {
int errno_of(Errc code) {
  switch (code) {
    case Errc::disk_full: return ENOSPC;
    case Errc::permission: return EACCES;
    case Errc::invalid_argument: return EINVAL;
    default: return EIO;
  }
}
}  // namespace

Failure::Failure(const Error& cause) : error(errno_of(cause.code)), reason(cause.message) {}

}  // namespace bftmeta::fuse
