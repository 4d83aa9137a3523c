#include <stdlib.h>

#include <array>

#include "admin/command.hpp"

namespace bftmeta::admin {

Run declare_bench(config::Syntax syntax, const Globals& globals);
Run declare_client(config::Syntax syntax, const Globals& globals);
Run declare_dev(config::Syntax syntax, const Globals& globals);
Run declare_evidence(config::Syntax syntax, const Globals& globals);
Run declare_genesis(config::Syntax syntax, const Globals& globals);
Run declare_get_root(config::Syntax syntax, const Globals& globals);
Run declare_keygen(config::Syntax syntax, const Globals& globals);
Run declare_replica(config::Syntax syntax, const Globals& globals);
Run declare_scrub(config::Syntax syntax, const Globals& globals);
Run declare_stat(config::Syntax syntax, const Globals& globals);
Run declare_status(config::Syntax syntax, const Globals& globals);
Run declare_verify(config::Syntax syntax, const Globals& globals);

namespace {

constexpr std::array kCommands = {
    Command{"keygen", "Make private keys here, and the public card to hand out", declare_keygen},
    Command{"genesis", "Assemble cards into the genesis of a cluster, or show one",
            declare_genesis},
    Command{"dev", "A cluster on this machine: up, down, status", declare_dev},
    Command{"status", "Health of the cluster, replica by replica", declare_status},
    Command{"scrub", "Reading and checking of the replicas' state stores", declare_scrub},
    Command{"evidence", "Proofs that a replica signed what no correct one signs", declare_evidence},
    Command{"replica", "The members: list, replace, add, remove", declare_replica},
    Command{"client", "Registered clients: add, remove, list", declare_client},
    Command{"get-root", "The newest verified root certificate", declare_get_root},
    Command{"stat", "Verified attributes of a path, and a proof of them", declare_stat},
    Command{"verify", "Verify a proof file without a cluster", declare_verify},
    Command{"bench", "Metadata load: operations per second and latencies", declare_bench},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

Result<std::string> dev_directory(const Globals& globals) {
  if (!globals.dir.empty()) return globals.dir;
  const char* home = ::getenv("HOME");
  if (home == nullptr || *home == '\0')
    return fail(Errc::invalid_argument,
                "HOME is not set, so there is no default directory; say which with --dir");
  return std::string(home) + "/.local/share/bftmeta/dev";
}

Result<std::string> client_config_path(const Globals& globals) {
  if (!globals.config.empty()) return globals.config;
  BFTMETA_ASSIGN(const std::string dir, dev_directory(globals));
  return dir + "/client.toml";
}

}  // namespace bftmeta::admin
