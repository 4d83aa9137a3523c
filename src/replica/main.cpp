#include "replica/main.hpp"

#include <csignal>
#include <cstdio>

#include "config/command_line.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"
#include "replica/log.hpp"

namespace bftmeta::replica {

namespace {

std::atomic<Replica*> running{nullptr};
std::atomic<bool> stop_asked{false};  // perhaps before there is a replica to stop

void on_signal(int) {
  stop_asked = true;
  if (Replica* replica = running.load()) replica->stop();
}

void install_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int complain(const Error& error) {
  std::fprintf(stderr, "bftmetad: %s\n", error.message.c_str());
  return static_cast<int>(exit_code_of(error.code));
}

Result<Setup> load(const std::string& path, int passphrase_fd) {
  Setup setup;
  BFTMETA_ASSIGN(setup.settings, config::load_replica(path));
  BFTMETA_ASSIGN(setup.genesis, config::load_genesis(setup.settings.genesis));
  auto passphrase = passphrase_fd >= 0 ? crypto::PassphraseSource::descriptor(passphrase_fd)
                                       : crypto::PassphraseSource::terminal();
  BFTMETA_ASSIGN(setup.signer, crypto::load_sign_key(setup.settings.vote_key, passphrase));
  BFTMETA_ASSIGN(setup.link_key, crypto::load_link_key(setup.settings.link_key, passphrase));
  return setup;
}

// Until it is told to stop, or must. Without its state store if that cannot be read any more.
int serve(const std::shared_ptr<Setup>& setup) {
  const std::string name = "replica " + std::to_string(setup->settings.id);
  while (true) {
    auto replica = Replica::open(setup);
    if (!replica) return complain(replica.error());
    running = replica->get();
    if (stop_asked) (*replica)->stop();
    std::printf("bftmetad: %s serves; genesis digest %s\n", name.c_str(),
                to_hex(setup->genesis.cluster_id()).c_str());
    std::fflush(stdout);
    const Status status = (*replica)->run();
    running = nullptr;
    if (status) {
      log_line(LogLevel::info,
               name + " stops at sequence number " + std::to_string((*replica)->executed_seq()));
      return 0;
    }
    if (!(*replica)->reopens()) return complain(status.error());
    log_line(LogLevel::error, status.error().message);
  }
}

}  // namespace

int run_main(int argc, char** argv, const MakeInterceptor& make) {
  config::CommandLine line("",
                           "bftmetad: a replica of a Byzantine-fault-tolerant metadata service");
  std::string config;
  std::string strategy;
  int passphrase_fd = -1;
  line.option("--config", config, "replica.toml").required();
  line.option("--passphrase-fd", passphrase_fd, "read the key files' passphrase from here");
  if (make) line.option("--strategy", strategy, "how to misbehave");
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed)
    return complain({parsed.error().code, parsed.error().message + "; see bftmetad --help"});
  if (*parsed == config::Parsed::answered) return 0;

  auto setup = load(config, passphrase_fd);
  if (!setup) return complain(setup.error());
  open_log(setup->settings.log_level);
  if (make) {
    auto interceptor = make(strategy, *setup);
    if (!interceptor) return complain(interceptor.error());
    setup->interceptor = std::move(*interceptor);
  }
  install_signals();
  return serve(std::make_shared<Setup>(std::move(*setup)));
}

}  // namespace bftmeta::replica
