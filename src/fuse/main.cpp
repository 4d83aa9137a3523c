// bftfs, also installed as mount.bftfs.
#include <cstdio>

#include "fuse/daemon.hpp"
#include "fuse/session.hpp"

namespace {

using namespace bftmeta;

int report(const Error& error) {
  std::fprintf(stderr, "bftfs: %s\n", error.message.c_str());
  return static_cast<int>(exit_code_of(error.code));
}

int mount_and_serve(const fuse::MountOptions& options) {
  auto daemon = fuse::Daemon::before_threads(options.foreground);
  if (!daemon) return report(daemon.error());
  fuse::block_ending_signals();
  auto mount = fuse::Mount::connect(options);
  if (!mount) return daemon->failed(mount.error());
  (*mount)->on_ready = [&daemon] { daemon->ready(); };
  const Status served = fuse::run(**mount);
  return served ? 0 : daemon->failed(served.error());
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = fuse::parse_mount_options({argv, argv + argc});
  if (!options) return report(options.error());
  if (options->help) return std::fputs(fuse::mount_usage(), stdout) < 0 ? 1 : 0;
  if (options->version) return std::puts("bftfs " BFTMETA_VERSION) < 0 ? 1 : 0;
  if (const Status paths = fuse::check_mount_paths(*options); !paths) return report(paths.error());
  if (options->fake) return 0;
  return mount_and_serve(*options);
}
