#include "client/state_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "crypto/files.hpp"
#include "verify/epoch_chain.hpp"

namespace bftmeta::client {

namespace {

// The chain of epochs, and a certificate: of 31 replicas 2 KiB.
constexpr std::size_t kMaxState = verify::kMaxChainFile + 16 * 1024;

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
  const std::string next = path + ".next";
  const int fd = open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed(next, "cannot be written");
  const bool written =
      write(fd, state.data(), state.size()) == static_cast<ssize_t>(state.size()) &&
      fdatasync(fd) == 0;
  Status status = written ? Status{} : failed(next, "cannot be written");
  close(fd);
  if (status && std::rename(next.c_str(), path.c_str()) != 0)
    status = failed(path, "cannot be replaced");
  return status;
}

}  // namespace bftmeta::client
