#include "crypto/passphrase.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace bftmeta::crypto {

namespace {

// Byte by byte: what stands behind the line belongs to whoever reads the descriptor next.
Result<SecretBytes> read_line(int fd) {
  SecretBytes line(PassphraseSource::kMaxPassphrase);
  std::size_t used = 0;
  for (;;) {
    std::uint8_t c = 0;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return fail(Errc::io, "cannot read a passphrase from descriptor " + std::to_string(fd) +
                                ": " + std::generic_category().message(errno));
    if (n == 0 || c == '\n') break;
    if (used == line.size())
      return fail(Errc::permission, "the passphrase is longer than " +
                                        std::to_string(PassphraseSource::kMaxPassphrase) +
                                        " bytes");
    line.data()[used++] = c;
  }
  if (used == 0) return fail(Errc::permission, "the passphrase is empty");
  line.shrink(used);
  return line;
}

// Echo is off while one of these lives.
class QuietTerminal {
 public:
  explicit QuietTerminal(int fd) : fd_(fd), changed_(::tcgetattr(fd, &before_) == 0) {
    if (!changed_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL;
    ::tcsetattr(fd_, TCSAFLUSH, &quiet);
  }
  ~QuietTerminal() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_;
};

Result<SecretBytes> ask_terminal(const std::string& purpose) {
  const int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return fail(Errc::permission, purpose +
                                      " needs a passphrase and there is no terminal to ask on; "
                                      "give it on a descriptor with --passphrase-fd N");
  const std::string prompt = "Passphrase for " + purpose + ": ";
  Result<SecretBytes> line = [&]() -> Result<SecretBytes> {
    const QuietTerminal quiet(fd);
    if (::write(fd, prompt.data(), prompt.size()) < 0)
      return fail(Errc::io, "cannot write to the terminal");
    return read_line(fd);
  }();
  ::close(fd);
  return line;
}

}  // namespace

Result<SecretBytes> PassphraseSource::read_now(const std::string& purpose) const {
  return fd_ < 0 ? ask_terminal(purpose) : read_line(fd_);
}

Result<ByteView> PassphraseSource::get(const std::string& purpose) {
  if (kept_.empty()) {
    BFTMETA_ASSIGN(kept_, read_now(purpose));
  }
  return kept_.view();
}

Result<ByteView> PassphraseSource::get_new(const std::string& purpose) {
  if (!kept_.empty() || fd_ >= 0) return get(purpose);
  BFTMETA_ASSIGN(SecretBytes first, read_now("new " + purpose));
  BFTMETA_ASSIGN(const SecretBytes again, read_now("new " + purpose + ", again"));
  if (!equal(first.view(), again.view()))
    return fail(Errc::invalid_argument, "the two passphrases differ; nothing was written");
  kept_ = std::move(first);
  return kept_.view();
}

}  // namespace bftmeta::crypto
