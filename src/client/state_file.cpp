#include "client/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "crypto/files.hpp"
#include "verify/epoch_chain.hpp"
#include "verify/trust.hpp"

namespace bftmeta::client {

namespace {

// The chain of epochs, and a certificate: of 31 replicas 2 KiB.
constexpr std::size_t kMaxState = verify::kMaxChainFile + 16 * 1024;

// Released when it goes.
struct Lock {
  const int fd;
  ~Lock() {
    if (fd >= 0) close(fd);
  }
};

// Whoever has it may have been stopped: nobody waits without end. 0, or errno.
int take(const Lock& lock, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kTick(10);
  if (lock.fd < 0) return errno;
  for (auto left = patience;; left -= kTick) {
    if (flock(lock.fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if ((errno != EWOULDBLOCK && errno != EINTR) || left < kTick) return errno;
    std::this_thread::sleep_for(kTick);
  }
}

}  // namespace

Result<Bytes> load_state(const std::string& path) {
  auto bytes = crypto::read_public_file(path, "state file", kMaxState);
  if (!bytes && bytes.error().code == Errc::not_found) return Bytes{};
  return bytes;
}

Status store_state(const std::string& path, ByteView state, std::chrono::milliseconds patience) {
  const std::string what = "state file '" + path + "'";
  const Lock lock{open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (const int error = take(lock, patience); error != 0)
    return fail(errc_of_errno(error), what + ": " + path + ".lock: " +
                                          (error == EWOULDBLOCK ? "another process has locked it"
                                                                : std::strerror(error)));
  // What cannot be read is replaced.
  if (const auto there = load_state(path); there && verify::Certificates::newer(*there, state))
    return {};
  if (const Status stored = crypto::replace_file(path, state, crypto::FileMode::private_file);
      !stored)
    return fail(what, stored.error());
  return {};
}

}  // namespace bftmeta::client
