#include "crypto/keys.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/files.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using crypto::PassphraseSource;
using test::read_text;
using test::TempDir;
using test::write_text;

namespace {

// A pipe with `text` in it: how a passphrase arrives on a descriptor.
class Pipe {
 public:
  explicit Pipe(const std::string& text) {
    REQUIRE(::pipe2(fds_, O_CLOEXEC) == 0);
    REQUIRE(::write(fds_[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(fds_[1]);
  }
  ~Pipe() { ::close(fds_[0]); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int fd() const { return fds_[0]; }

 private:
  int fds_[2] = {-1, -1};
};

mode_t mode_of(const std::string& path) {
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

Error load_error(const std::string& path, const std::string& passphrase = "unused") {
  const Pipe pipe(passphrase);
  PassphraseSource source = PassphraseSource::descriptor(pipe.fd());
  const auto loaded = crypto::load_sign_key(path, source);
  REQUIRE_FALSE(loaded.has_value());
  CHECK(loaded.error().message.find(path) != std::string::npos);
  CHECK(loaded.error().message.find('\n') == std::string::npos);
  return loaded.error();
}

bool says(const Error& e, const std::string& part) {
  INFO(e.message);
  return e.message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a key file: created with mode 0600 whatever the umask, loads to the same key") {
  const TempDir dir;
  const mode_t before = ::umask(0);
  const auto created = crypto::create_sign_key(dir / "sign.key", {});
  ::umask(before);
  REQUIRE(created.has_value());
  CHECK(mode_of(dir / "sign.key") == 0600);
  CHECK(read_text(dir / "sign.key").starts_with("-----BEGIN PRIVATE KEY-----\n"));

  PassphraseSource none = PassphraseSource::descriptor(-2);  // must not be read
  const auto signer = crypto::load_sign_key(dir / "sign.key", none);
  REQUIRE(signer.has_value());
  CHECK((*signer)->public_key() == *created);
  CHECK(crypto::valid_public_key(*created));
  const Bytes message = {1, 2, 3};
  CHECK(crypto::Ed25519Verifier().verify(*created, message, (*signer)->sign(message)));
}

TEST_CASE("a link key file holds the pair that CURVE expects") {
  const TempDir dir;
  const auto created = crypto::create_link_key(dir / "link.key", {});
  REQUIRE(created.has_value());
  PassphraseSource none = PassphraseSource::descriptor(-2);
  const auto link = crypto::load_link_key(dir / "link.key", none);
  REQUIRE(link.has_value());
  CHECK(link->public_key == *created);
  PublicKey derived{};
  REQUIRE(crypto_scalarmult_base(derived.data(), link->secret.data()) == 0);
  CHECK(derived == *created);
}

TEST_CASE("a key file of RFC 8410 made elsewhere is read") {
  const TempDir dir;
  const std::string path = dir / "rfc8410.key";
  write_text(path,
             "-----BEGIN PRIVATE KEY-----\n"
             "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
             "-----END PRIVATE KEY-----\n");
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  PassphraseSource none = PassphraseSource::descriptor(-2);
  const auto signer = crypto::load_sign_key(path, none);
  REQUIRE(signer.has_value());
  CHECK(to_hex((*signer)->public_key()) ==
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
}

TEST_CASE("an existing key file is never overwritten") {
  const TempDir dir;
  REQUIRE(crypto::create_sign_key(dir / "sign.key", {}).has_value());
  const std::string before = read_text(dir / "sign.key");
  const auto again = crypto::create_sign_key(dir / "sign.key", {});
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == Errc::already_exists);
  CHECK(read_text(dir / "sign.key") == before);

  REQUIRE(::symlink((dir / "elsewhere").c_str(), (dir / "link").c_str()) == 0);
  CHECK_FALSE(crypto::create_sign_key(dir / "link", {}).has_value());
  CHECK_FALSE(std::filesystem::exists(dir / "elsewhere"));
}

TEST_CASE("a key file that others could have read is refused, with what to do") {
  const TempDir dir;
  const std::string path = dir / "sign.key";
  REQUIRE(crypto::create_sign_key(path, {}).has_value());
  for (const mode_t mode : {0640U, 0620U, 0604U, 0602U, 0610U, 0601U, 0644U}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    const Error e = load_error(path);
    CHECK(e.code == Errc::permission);
    CHECK(says(e, "chmod 600 " + path));
  }
  REQUIRE(::chmod(path.c_str(), 0400) == 0);
  PassphraseSource none = PassphraseSource::descriptor(-2);
  CHECK(crypto::load_sign_key(path, none).has_value());
}

TEST_CASE("missing, irregular, oversize and garbled key files") {
  const TempDir dir;
  CHECK(load_error(dir / "absent.key").code == Errc::not_found);
  CHECK(load_error(dir.path()).code == Errc::io);

  const std::string path = dir / "bad.key";
  const auto put = [&](const std::string& content) {
    write_text(path, content);
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
  };
  put(std::string(20000, 'x'));
  CHECK(load_error(path).code == Errc::limit);
  put("");
  CHECK(load_error(path).code == Errc::corrupt);
  put("not a key\n");
  CHECK(load_error(path).code == Errc::corrupt);
  put("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  CHECK(says(load_error(path), "CERTIFICATE"));
  put("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  CHECK(load_error(path).code == Errc::corrupt);
}

TEST_CASE("a key file cut off anywhere before its end line is refused") {
  const TempDir dir;
  REQUIRE(crypto::create_sign_key(dir / "sign.key", {}).has_value());
  const std::string whole = read_text(dir / "sign.key");
  const std::string path = dir / "cut.key";
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
    write_text(path, whole.substr(0, size));
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    CAPTURE(size);
    CHECK(load_error(path).code == Errc::corrupt);
  }
}

TEST_CASE("a key of the other kind is refused by name") {
  const TempDir dir;
  REQUIRE(crypto::create_link_key(dir / "link.key", {}).has_value());
  REQUIRE(crypto::create_sign_key(dir / "sign.key", {}).has_value());
  const Error e = load_error(dir / "link.key");
  CHECK(e.code == Errc::identity);
  CHECK(says(e, "not an Ed25519 key"));
  PassphraseSource none = PassphraseSource::descriptor(-2);
  const auto link = crypto::load_link_key(dir / "sign.key", none);
  REQUIRE_FALSE(link.has_value());
  CHECK(link.error().code == Errc::identity);
}

TEST_CASE("an encrypted key file opens with its passphrase only") {
  const TempDir dir;
  const std::string path = dir / "sign.key";
  const auto created = crypto::create_sign_key(path, view("correct horse"));
  REQUIRE(created.has_value());
  CHECK(read_text(path).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));

  const Pipe right("correct horse\nrest");
  PassphraseSource source = PassphraseSource::descriptor(right.fd());
  const auto signer = crypto::load_sign_key(path, source);
  REQUIRE(signer.has_value());
  CHECK((*signer)->public_key() == *created);
  CHECK(crypto::load_sign_key(path, source).has_value());  // kept, not read again
  char next = 0;
  CHECK(::read(right.fd(), &next, 1) == 1);
  CHECK(next == 'r');  // nothing behind the line was taken

  const Error wrong = load_error(path, "incorrect horse\n");
  CHECK(wrong.code == Errc::permission);
  CHECK(says(wrong, "wrong passphrase"));
}

TEST_CASE("passphrases: empty, oversize and from a bad descriptor") {
  const Pipe empty("\n");
  PassphraseSource source = PassphraseSource::descriptor(empty.fd());
  CHECK(source.get("x").error().code == Errc::permission);
  const Pipe large(std::string(PassphraseSource::kMaxPassphrase + 1, 'p') + "\n");
  PassphraseSource too_long = PassphraseSource::descriptor(large.fd());
  CHECK(too_long.get("x").error().code == Errc::permission);
  PassphraseSource bad = PassphraseSource::descriptor(99999);
  CHECK(bad.get("x").error().code == Errc::io);
}

TEST_CASE("secrets are wiped when they are moved from or shortened") {
  crypto::Secret32 a;
  a.bytes().fill(7);
  const crypto::Secret32 b = std::move(a);
  CHECK(b.bytes()[31] == 7);
  CHECK(a.bytes() == std::array<std::uint8_t, 32>{});  // NOLINT(bugprone-use-after-move)
  crypto::SecretBytes s(4);
  std::fill_n(s.data(), 4, std::uint8_t{9});
  s.shrink(2);
  CHECK(s.size() == 2);
  CHECK(s.view().size() == 2);
}

TEST_CASE("files: not into a missing directory, none left behind by a failure") {
  const TempDir dir;
  const auto missing =
      crypto::write_new_file(dir / "no/such/file", view("x"), crypto::FileMode::public_file);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Errc::not_found);
  REQUIRE(crypto::write_new_file(dir / "card", view("x"), crypto::FileMode::public_file));
  CHECK(mode_of(dir / "card") == 0644);
  CHECK(crypto::read_public_file(dir / "card", "card", 1) == to_bytes(view("x")));
  CHECK(crypto::read_public_file(dir / "card", "card", 0).error().code == Errc::limit);
}

TEST_CASE("fingerprints: domain-separated and different for different keys") {
  PublicKey key{};
  const Hash first = crypto::fingerprint(key);
  key[0] = 1;
  CHECK(crypto::fingerprint(key) != first);
}
