#include "crypto/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace bftmeta::crypto {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

tl::unexpected<Error> os_error(const std::string& what, int error) {
  return fail(errc_of_errno(error), what + ": " + std::generic_category().message(error));
}

Status write_all(int fd, ByteView content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("cannot write " + path, errno);
    content = content.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Status sync_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string directory = slash == std::string::npos ? "." : path.substr(0, slash);
  if (directory.empty()) directory = "/";
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return os_error("cannot open directory " + directory, errno);
  if (::fsync(fd.get()) != 0) return os_error("cannot sync directory " + directory, errno);
  return {};
}

Status check_regular(const struct stat& st, const std::string& path, const std::string& what,
                     std::size_t max_bytes) {
  if (!S_ISREG(st.st_mode)) return fail(Errc::io, what + " " + path + ": not a regular file");
  if (static_cast<std::uint64_t>(st.st_size) > max_bytes)
    return fail(Errc::limit, what + " " + path + ": " + std::to_string(st.st_size) +
                                 " bytes long, at most " + std::to_string(max_bytes) +
                                 " are expected; is it the right file?");
  return {};
}

Result<std::size_t> read_up_to(int fd, std::span<std::uint8_t> out, const std::string& path) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::read(fd, out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("cannot read " + path, errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

}  // namespace

Status write_new_file(const std::string& path, ByteView content, FileMode mode) {
  const auto bits = static_cast<mode_t>(mode);
  const Descriptor fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, bits));
  if (!fd.ok()) {
    if (errno == EEXIST)
      return fail(Errc::already_exists,
                  path + " exists already and is never overwritten; nothing was changed");
    return os_error("cannot create " + path, errno);
  }
  const auto fill = [&]() -> Status {
    if (::fchmod(fd.get(), bits) != 0) return os_error("cannot set the mode of " + path, errno);
    BFTMETA_TRY(write_all(fd.get(), content, path));
    if (::fsync(fd.get()) != 0) return os_error("cannot sync " + path, errno);
    return sync_directory_of(path);
  };
  Status filled = fill();
  if (!filled) ::unlink(path.c_str());
  return filled;
}

Status replace_file(const std::string& path, ByteView content, FileMode mode) {
  const std::string temporary = path + ".new";
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT)
    return os_error("cannot remove " + temporary, errno);
  BFTMETA_TRY(write_new_file(temporary, content, mode));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return os_error("cannot rename " + temporary + " to " + path, errno);
  return sync_directory_of(path);
}

Result<Bytes> read_public_file(const std::string& path, const std::string& what,
                               std::size_t max_bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return os_error(what + " " + path + ": cannot open", errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return os_error("cannot examine " + path, errno);
  BFTMETA_TRY(check_regular(st, path, what, max_bytes));
  Bytes content(static_cast<std::size_t>(st.st_size));
  BFTMETA_ASSIGN(const std::size_t size, read_up_to(fd.get(), content, path));
  content.resize(size);
  return content;
}

Result<SecretBytes> read_private_file(const std::string& path, const std::string& what,
                                      std::size_t max_bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return os_error(what + " " + path + ": cannot open", errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return os_error("cannot examine " + path, errno);
  BFTMETA_TRY(check_regular(st, path, what, max_bytes));
  if ((st.st_mode & 077) != 0)
    return fail(Errc::permission, what + " " + path +
                                      ": readable or writable by group or others; if nobody has "
                                      "copied it, run: chmod 600 " +
                                      path);
  SecretBytes content(static_cast<std::size_t>(st.st_size));
  BFTMETA_ASSIGN(const std::size_t size,
                 read_up_to(fd.get(), {content.data(), content.size()}, path));
  content.shrink(size);
  return content;
}

}  // namespace bftmeta::crypto
