#include "fuse/session.hpp"

#include <signal.h>

#include "fuse/request.hpp"

namespace bftmeta::fuse {

namespace {

// Each waits for the cluster while it serves a request, and bundles grow with the number that wait.
constexpr unsigned kMaxThreads = 64;

void init(void* user_data, fuse_conn_info* connection) {
  const auto want = [connection](unsigned capability) {
    if ((connection->capable & capability) != 0) connection->want |= capability;
  };
  want(FUSE_CAP_EXPORT_SUPPORT);
  want(FUSE_CAP_ATOMIC_O_TRUNC);
  want(FUSE_CAP_HANDLE_KILLPRIV);  // replicas clear setuid and setgid on write and chown
  want(FUSE_CAP_READDIRPLUS);
  want(FUSE_CAP_READDIRPLUS_AUTO);
  want(FUSE_CAP_PARALLEL_DIROPS);
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_WRITEBACK_CACHE);
  connection->max_background = kMaxThreads;
  connection->time_gran = 1;
  Mount& mount = *static_cast<Mount*>(user_data);
  if (mount.on_ready) mount.on_ready();
}

fuse_lowlevel_ops handlers() {
  fuse_lowlevel_ops ops{};
  ops.init = init;
  add_lookup_handlers(ops);
  add_attribute_handlers(ops);
  add_name_handlers(ops);
  add_directory_handlers(ops);
  add_open_handlers(ops);
  add_data_handlers(ops);
  add_xattr_handlers(ops);
  return ops;
}

class Arguments {
 public:
  explicit Arguments(const MountOptions& options) {
    add("bftfs");
    if (options.debug) add("-d");
    std::string list = "default_permissions,subtype=bftfs,fsname=" + escaped(options.client_toml);
    if (options.read_only) list += ",ro";
    if (options.allow_other) list += ",allow_other";
    for (const std::string& option : options.kernel_options) list += "," + option;
    add("-o");
    add(list);
  }
  ~Arguments() { fuse_opt_free_args(&args_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  fuse_args* get() { return &args_; }

 private:
  void add(const std::string& argument) { fuse_opt_add_arg(&args_, argument.c_str()); }
  // Commas and backslashes would end the option.
  static std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
      if (c == ',' || c == '\\') out += '\\';
      out += c;
    }
    return out;
  }
  fuse_args args_ = FUSE_ARGS_INIT(0, nullptr);
};

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

void serve(fuse_session* session) {
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 0);
  fuse_loop_cfg_set_max_threads(config, kMaxThreads);
  fuse_loop_cfg_set_idle_threads(config, kMaxThreads / 4);
  fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
}

}  // namespace

void block_ending_signals() {
  const sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Status run(Mount& mount) {
  const fuse_lowlevel_ops ops = handlers();
  Arguments arguments(mount.options);
  fuse_session* session = fuse_session_new(arguments.get(), &ops, sizeof ops, &mount);
  if (session == nullptr) return fail(Errc::io, "the FUSE library refused the mount options");
  mount.session = session;
  if (fuse_set_signal_handlers(session) != 0) {
    fuse_session_destroy(session);
    return fail(Errc::io, "signal handlers cannot be installed");
  }
  if (fuse_session_mount(session, mount.options.mountpoint.c_str()) != 0) {
    const int error = errno;
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return fail(error == EPERM || error == EACCES ? Errc::permission : Errc::io,
                "cannot mount on " + mount.options.mountpoint + ": " +
                    std::generic_category().message(error) +
                    " (is /dev/fuse there, and fusermount3 for users other than root?)");
  }
  const sigset_t set = ending_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  serve(session);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const Outcome<void> flushed = mount.flush_all();
  fuse_session_unmount(session);
  fuse_remove_signal_handlers(session);
  fuse_session_destroy(session);
  mount.session = nullptr;
  if (!flushed) return fail(Errc::io, "written data was lost at unmount; the log names the files");
  return {};
}

}  // namespace bftmeta::fuse
