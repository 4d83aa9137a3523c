#include "fuse/mount_options.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>

namespace bftmeta::fuse {

namespace {

// Options of mount(8) that the kernel or fusermount3 understands.
constexpr std::array<std::string_view, 14> kKernelOptions = {
    "rw",    "suid", "nosuid",  "dev",   "nodev",   "exec",         "noexec",
    "async", "sync", "dirsync", "atime", "noatime", "auto_unmount", "nodiratime"};
// Options of fstab lines that mean nothing to us.
constexpr std::array<std::string_view, 9> kIgnored = {
    "defaults", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "relatime"};

constexpr const char* kKnown =
    "ro, rw, allow_other, attr_timeout=S, entry_timeout=S, read_mode=verified|linearizable, "
    "timeout=S, max_dirty=SIZE, block_cache=SIZE and those of mount(8)";

tl::unexpected<Error> usage(const std::string& what) { return fail(Errc::invalid_argument, what); }

Result<double> parse_seconds(const std::string& name, const std::string& value, double smallest) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc{} || end != value.data() + value.size() || !(seconds >= smallest) ||
      seconds > 86'400)
    return usage("option " + name + "='" + value + "': a number of seconds from " +
                 (smallest > 0 ? "0.1" : "0") + " to 86400 is allowed");
  return seconds;
}

Result<std::size_t> parse_size(const std::string& name, const std::string& value) {
  std::size_t number = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, number);
  const std::string_view unit(end, static_cast<std::size_t>(last - end));
  const int shift = unit == "K" || unit == "k"   ? 10
                    : unit == "M" || unit == "m" ? 20
                    : unit == "G" || unit == "g" ? 30
                    : unit.empty()               ? 0
                                                 : -1;
  if (error != std::errc{} || shift < 0 || number > (std::size_t{1} << 40) ||
      (number << shift) < (std::size_t{4} << 20) || (number << shift) > (std::size_t{1} << 40))
    return usage("option " + name + "='" + value + "': a size from 4M to 1024G is allowed");
  return number << shift;
}

Status apply_valued(const std::string& name, const std::string& value, MountOptions& options) {
  if (name == "attr_timeout") {
    BFTMETA_ASSIGN(options.attr_timeout_s, parse_seconds(name, value, 0));
  } else if (name == "entry_timeout") {
    BFTMETA_ASSIGN(options.entry_timeout_s, parse_seconds(name, value, 0));
  } else if (name == "timeout") {
    BFTMETA_ASSIGN(const double seconds, parse_seconds(name, value, 0.1));
    options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  } else if (name == "max_dirty") {
    BFTMETA_ASSIGN(options.max_dirty, parse_size(name, value));
  } else if (name == "block_cache") {
    BFTMETA_ASSIGN(options.block_cache, parse_size(name, value));
  } else if (name == "read_mode") {
    if (value != "verified" && value != "linearizable")
      return usage("option read_mode='" + value + "': verified or linearizable is allowed");
    options.read_mode =
        value == "verified" ? config::ReadMode::verified : config::ReadMode::linearizable;
  } else {
    return usage("unknown option '" + name + "='; allowed: " + kKnown);
  }
  return {};
}

Status apply_option(const std::string& text, MountOptions& options) {
  const std::size_t equals = text.find('=');
  if (text.starts_with("x-") || std::ranges::find(kIgnored, text) != kIgnored.end()) return {};
  if (equals != std::string::npos)
    return apply_valued(text.substr(0, equals), text.substr(equals + 1), options);
  if (text == "ro")
    options.read_only = true;
  else if (text == "allow_other")
    options.allow_other = true;
  else if (text == "default_permissions")  // always on
    return {};
  else if (std::ranges::find(kKernelOptions, text) != kKernelOptions.end())
    options.kernel_options.push_back(text);
  else
    return usage("unknown option '" + text + "'; allowed: " + kKnown);
  if (text == "rw") options.read_only = false;
  return {};
}

Status apply_list(const std::string& list, MountOptions& options) {
  std::size_t at = 0;
  while (at <= list.size()) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    if (comma > at) BFTMETA_TRY(apply_option(list.substr(at, comma - at), options));
    at = comma + 1;
  }
  return {};
}

// -f and -d as of FUSE programs, or the letters that mount(8) hands to its helpers.
Status apply_flag(const std::string& flag, bool helper, MountOptions& options) {
  if (flag == "-h" || flag == "--help")
    options.help = true;
  else if (flag == "-V" || flag == "--version")
    options.version = true;
  else if (flag == "-f")
    (helper ? options.fake : options.foreground) = true;
  else if (flag == "-d" && !helper)
    options.debug = options.foreground = true;
  else if (helper && (flag == "-n" || flag == "-s" || flag == "-v"))
    return {};
  else
    return usage("unknown flag '" + flag + "'; see --help");
  return {};
}

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& argv) {
  MountOptions options;
  const std::string program = std::filesystem::path(argv.at(0)).filename().string();
  const bool helper = program.starts_with("mount.");
  std::vector<std::string> paths;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "-o" || (helper && (word == "-t" || word == "-N"))) {
      if (++i == argv.size()) return usage("flag '" + word + "' needs a value");
      if (word == "-o") BFTMETA_TRY(apply_list(argv[i], options));
    } else if (word.starts_with("-o")) {
      BFTMETA_TRY(apply_list(word.substr(2), options));
    } else if (word.size() > 1 && word[0] == '-') {
      BFTMETA_TRY(apply_flag(word, helper, options));
    } else {
      paths.push_back(word);
    }
  }
  if (options.help || options.version) return options;
  if (paths.size() != 2)
    return usage("expected CLIENT.TOML and MOUNTPOINT, got " + std::to_string(paths.size()) +
                 " arguments; see --help");
  std::error_code ignored;
  options.client_toml = std::filesystem::absolute(paths[0], ignored).string();
  options.mountpoint = std::filesystem::absolute(paths[1], ignored).string();
  return options;
}

Status check_mount_paths(const MountOptions& options) {
  struct stat st {};
  if (::stat(options.mountpoint.c_str(), &st) != 0) {
    const int error = errno;
    std::string advice;
    if (error == ENOENT) advice = "; make the directory first";
    if (error == ENOTCONN)
      advice = "; a mount that has died is there: fusermount3 -u " + options.mountpoint;
    return usage("mount point " + options.mountpoint + ": " +
                 std::generic_category().message(error) + advice);
  }
  if (!S_ISDIR(st.st_mode))
    return usage("mount point " + options.mountpoint + " is not a directory");
  if (::access(options.client_toml.c_str(), R_OK) != 0)
    return usage("client file " + options.client_toml + ": " +
                 std::generic_category().message(errno));
  return {};
}

const char* mount_usage() {
  return "usage: bftfs [-f] [-d] [-o OPTION,...] CLIENT.TOML MOUNTPOINT\n"
         "       mount.bftfs CLIENT.TOML MOUNTPOINT [-o OPTION,...]\n"
         "\n"
         "Mounts the namespace of a bftmeta cluster. Returns when a certified root has been\n"
         "verified and the tree answers; unmount with fusermount3 -u MOUNTPOINT.\n"
         "\n"
         "  -f   stay in the foreground, log to standard error\n"
         "  -d   the same, and print every request\n"
         "\n"
         "options of -o\n"
         "  ro                       read only\n"
         "  allow_other              other users may use the mount too\n"
         "  attr_timeout=SECONDS     attributes kept by the kernel (default 1)\n"
         "  entry_timeout=SECONDS    names kept by the kernel (default 1)\n"
         "  read_mode=MODE           verified (default): any certified root not older than what\n"
         "                           this mount has seen; linearizable: one that is not older\n"
         "                           than anything that had completed anywhere\n"
         "  timeout=SECONDS          a call fails with EIO when the cluster has not answered by\n"
         "                           then (default 10)\n"
         "  max_dirty=SIZE           written data in memory before writers wait (default 64M)\n"
         "  block_cache=SIZE         file data kept for reading (default 64M)\n"
         "  and rw, nosuid, nodev, noexec, noatime, sync, dirsync, auto_unmount of mount(8)\n"
         "\n"
         "exit status: 0 mounted, 1 failed, 2 usage, 3 cluster unreachable, 4 verification "
         "failed, 6 permission\n";
}

}  // namespace bftmeta::fuse
