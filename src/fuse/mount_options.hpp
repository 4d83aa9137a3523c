// What `bftfs` and `mount.bftfs` were asked to do. Thread-safety: plain values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"

namespace bftmeta::fuse {

struct MountOptions {
  std::string client_toml;  // absolute
  std::string mountpoint;   // absolute
  bool help = false;
  bool version = false;
  bool fake = false;        // mount -f: check, but do not mount
  bool foreground = false;  // stay in the terminal, log to standard error
  bool debug = false;       // print every request; implies foreground
  bool read_only = false;
  bool allow_other = false;
  double attr_timeout_s = 1.0;
  double entry_timeout_s = 1.0;
  config::ReadMode read_mode = config::ReadMode::verified;
  std::chrono::milliseconds timeout{10'000};
  std::size_t max_dirty = 64U << 20;        // bytes
  std::size_t block_cache = 64U << 20;      // bytes
  std::vector<std::string> kernel_options;  // nosuid, noatime, ...: handed to the mount call
};

// Errc::invalid_argument, one line. `argv[0]` named mount.* selects the conventions of mount(8).
Result<MountOptions> parse_mount_options(const std::vector<std::string>& argv);
// The mount point exists, is a directory, and the source is a readable file.
Status check_mount_paths(const MountOptions& options);

const char* mount_usage();

}  // namespace bftmeta::fuse
