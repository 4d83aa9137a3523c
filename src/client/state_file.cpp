#include "client/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "crypto/files.hpp"
#include "verify/epoch_chain.hpp"
#include "verify/trust.hpp"

namespace bftmeta::client {

namespace {

// The chain of epochs, and a certificate: of 31 replicas 2 KiB.
constexpr std::size_t kMaxState = verify::kMaxChainFile + 16 * 1024;

struct Descriptor {
  const int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

Status failed(const std::string& path, const char* what) {
  const int error = errno;
  const Errc code = error == ENOSPC                     ? Errc::disk_full
                    : error == EACCES || error == EPERM ? Errc::permission
                                                        : Errc::io;
  return fail(code, "state file '" + path + "': " + what + ": " + std::strerror(error));
}

}  // namespace

Result<Bytes> load_state(const std::string& path) {
  auto bytes = crypto::read_public_file(path, "state file", kMaxState);
  if (!bytes && bytes.error().code == Errc::not_found) return Bytes{};
  return bytes;
}

Status store_state(const std::string& path, ByteView state) {
  const std::string lock_path = path + ".lock";
  const Descriptor lock{open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (lock.fd < 0 || flock(lock.fd, LOCK_EX) != 0) return failed(lock_path, "cannot be locked");
  // What cannot be read is replaced.
  if (const auto there = load_state(path); there && verify::Certificates::newer(*there, state))
    return {};
  const std::string next = path + ".next";
  const Descriptor file{open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  const bool written =
      file.fd >= 0 &&
      write(file.fd, state.data(), state.size()) == static_cast<ssize_t>(state.size()) &&
      fdatasync(file.fd) == 0;
  if (!written) return failed(next, "cannot be written");
  if (std::rename(next.c_str(), path.c_str()) != 0) return failed(path, "cannot be replaced");
  return {};
}

}  // namespace bftmeta::client
