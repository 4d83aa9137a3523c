#include "fuse/mount_options.hpp"

#include <doctest/doctest.h>

#include "support/temp_dir.hpp"

using namespace bftmeta;
using fuse::parse_mount_options;

TEST_CASE("options of bftfs and of mount.bftfs") {
  const auto plain =
      parse_mount_options({"bftfs", "-o", "ro,attr_timeout=0.5,max_dirty=8M", "c.toml", "/mnt",
                           "-otimeout=3,read_mode=linearizable,noatime"});
  REQUIRE(plain);
  CHECK(plain->read_only);
  CHECK(plain->attr_timeout_s == 0.5);
  CHECK(plain->max_dirty == 8U << 20);
  CHECK(plain->timeout == std::chrono::seconds(3));
  CHECK(plain->read_mode == config::ReadMode::linearizable);
  CHECK(plain->kernel_options == std::vector<std::string>{"noatime"});
  CHECK(plain->mountpoint == "/mnt");
  CHECK(plain->client_toml.starts_with("/"));

  const auto helper = parse_mount_options({"/sbin/mount.bftfs", "/etc/c.toml", "/mnt", "-n", "-o",
                                           "rw,_netdev,nofail,x-systemd.automount,allow_other"});
  REQUIRE(helper);
  CHECK(helper->allow_other);
  CHECK_FALSE(helper->foreground);
  CHECK(parse_mount_options({"mount.bftfs", "-f", "a", "b"})->fake);
  CHECK(parse_mount_options({"bftfs", "-f", "a", "b"})->foreground);
}

TEST_CASE("what is wrong is said in one line and is a usage error") {
  const std::vector<std::vector<std::string>> wrong = {
      {"bftfs"},
      {"bftfs", "c.toml"},
      {"bftfs", "c.toml", "/mnt", "/more"},
      {"bftfs", "-x", "c.toml", "/mnt"},
      {"bftfs", "c.toml", "/mnt", "-o"},
      {"bftfs", "-o", "colour=red", "c.toml", "/mnt"},
      {"bftfs", "-o", "colour", "c.toml", "/mnt"},
      {"bftfs", "-o", "attr_timeout=-1", "c.toml", "/mnt"},
      {"bftfs", "-o", "attr_timeout=nan", "c.toml", "/mnt"},
      {"bftfs", "-o", "timeout=0", "c.toml", "/mnt"},
      {"bftfs", "-o", "timeout=5x", "c.toml", "/mnt"},
      {"bftfs", "-o", "max_dirty=1K", "c.toml", "/mnt"},
      {"bftfs", "-o", "max_dirty=99999999999999999999", "c.toml", "/mnt"},
      {"bftfs", "-o", "read_mode=fast", "c.toml", "/mnt"},
  };
  for (const auto& argv : wrong) {
    const auto options = parse_mount_options(argv);
    REQUIRE_FALSE(options);
    CHECK(exit_code_of(options.error().code) == ExitCode::usage);
    CHECK(options.error().message.find('\n') == std::string::npos);
  }
  CHECK(parse_mount_options({"bftfs", "-o", "colour", "a", "b"}).error().message.find("'colour'") !=
        std::string::npos);
}

TEST_CASE("mount points that are none") {
  test::TempDir temp;
  test::write_text(temp / "client.toml", "x");
  fuse::MountOptions options;
  options.client_toml = temp / "client.toml";
  options.mountpoint = temp / "missing";
  CHECK(check_mount_paths(options).error().code == Errc::invalid_argument);
  options.mountpoint = temp / "client.toml";
  CHECK(check_mount_paths(options).error().message.find("not a directory") != std::string::npos);
  options.mountpoint = temp.path();
  CHECK(check_mount_paths(options));
  options.client_toml = temp / "missing.toml";
  CHECK_FALSE(check_mount_paths(options));
}
