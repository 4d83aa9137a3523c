#include "replica/main.hpp"

#include <csignal>
#include <cstdio>

#include "config/command_line.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"
#include "net/descriptors.hpp"
#include "replica/learner.hpp"
#include "replica/log.hpp"
#include "replica/replica.hpp"

namespace bftmeta::replica {

namespace {

std::atomic<Replica*> running{nullptr};
std::atomic<Learner*> learning{nullptr};
std::atomic<bool> stop_asked{false};  // perhaps before there is anything to stop

void on_signal(int) {
  stop_asked = true;
  if (Replica* replica = running.load()) replica->stop();
  if (Learner* learner = learning.load()) learner->stop();
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
  if (!setup.settings.card.empty()) {
    BFTMETA_ASSIGN(const config::Card card, config::load_card(setup.settings.card));
    const auto* replica = std::get_if<config::ReplicaCard>(&card);
    if (replica == nullptr)
      return fail(Errc::config, setup.settings.card + ": it is not the card of a replica");
    setup.card = *replica;
  }
  return setup;
}

// Who has the wrong key, or the wrong genesis, must not wait for ever to become a member.
Status check_identity(const Setup& setup, const Membership& membership) {
  const std::uint32_t id = setup.settings.id;
  const std::string key = "vote key " + setup.settings.vote_key + ": ";
  if (membership.position() && (membership.epoch() > 0 || *membership.position() == id)) return {};
  if (setup.card && !membership.position()) return {};
  if (id >= membership.config().n())
    return fail(Errc::config, "replica id " + std::to_string(id) + ": epoch " +
                                  std::to_string(membership.epoch()) + " has replicas 0.." +
                                  std::to_string(membership.config().n() - 1));
  return fail(Errc::identity, key + "the genesis gives replica " + std::to_string(id) +
                                  " another key; is this the key, or the genesis, of another "
                                  "replica or cluster? A replica that is to join has its 'card' "
                                  "in replica.toml");
}

// One life in one epoch. False: stopped.
Result<bool> live_as_member(Setup& setup, const storage::DataDirectory& directory,
                            Membership& membership) {
  BFTMETA_ASSIGN(const auto replica, Replica::open(setup, directory, membership));
  running = replica.get();
  if (stop_asked) replica->stop();
  std::printf("bftmetad: replica %u serves; genesis digest %s\n", setup.settings.id,
              to_hex(setup.genesis.cluster_id()).c_str());
  std::fflush(stdout);
  const auto ended = replica->run();
  running = nullptr;
  if (!ended && !replica->reopens()) return tl::make_unexpected(ended.error());
  if (!ended) {  // without its state store, which cannot be read any more
    log_line(LogLevel::error, ended.error().message);
    return true;
  }
  if (*ended == Replica::Ended::next_epoch) return true;
  log_line(LogLevel::info, "replica " + std::to_string(setup.settings.id) +
                               " stops at sequence number " +
                               std::to_string(replica->executed_seq()));
  return false;
}

Result<bool> live_as_learner(const Setup& setup, const storage::DataDirectory& directory,
                             Membership& membership) {
  BFTMETA_ASSIGN(const auto learner, Learner::open(setup, directory, membership));
  learning = learner.get();
  if (stop_asked) learner->stop();
  std::printf("bftmetad: replica %u learns, it is no member of epoch %llu; genesis digest %s\n",
              setup.settings.id, static_cast<unsigned long long>(membership.epoch()),
              to_hex(setup.genesis.cluster_id()).c_str());
  std::fflush(stdout);
  auto ended = learner->run();
  learning = nullptr;
  return ended;
}

// Before anything listens.
void note_descriptors() {
  constexpr std::uint64_t kEnough = 8192;
  const std::uint64_t limit = net::raise_descriptor_limit();
  if (limit < kEnough)
    log_line(LogLevel::warn, "open files are limited to " + std::to_string(limit) +
                                 ": each of the three ports takes " +
                                 std::to_string(net::connections_per_port()) +
                                 " connections at most; raise it (ulimit -Hn, LimitNOFILE) to " +
                                 std::to_string(kEnough) + " or more");
}

// The data directory stays locked from the first epoch to the last.
Status live(Setup& setup) {
  const crypto::Ed25519Verifier verifier;
  BFTMETA_ASSIGN(
      Membership membership,
      Membership::load(storage::posix_file_system(), storage::epochs_path(setup.settings.data_dir),
                       setup.genesis, verifier, setup.signer->public_key()));
  BFTMETA_TRY(check_identity(setup, membership));
  BFTMETA_ASSIGN(const auto directory,
                 storage::DataDirectory::open(setup.settings.data_dir, setup.signer->public_key(),
                                              setup.genesis.cluster_id(), setup.settings.id));
  if (!membership.damage().empty()) {
    log_line(LogLevel::warn, membership.damage() + "; the other one holds, both are written anew");
    BFTMETA_TRY(membership.mend(storage::posix_file_system()));
  }
  for (bool again = true; again && !stop_asked;) {
    BFTMETA_ASSIGN(again, membership.position() ? live_as_member(setup, directory, membership)
                                                : live_as_learner(setup, directory, membership));
  }
  return {};
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
  note_descriptors();
  install_signals();
  const Status status = live(*setup);
  return status ? 0 : complain(status.error());
}

}  // namespace bftmeta::replica
