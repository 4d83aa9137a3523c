#include <stdlib.h>

#include <array>

#include "admin/command.hpp"

namespace bftmeta::admin {

Run declare_genesis(CLI::App& app, const Globals& globals);
Run declare_keygen(CLI::App& app, const Globals& globals);

namespace {

constexpr std::array kCommands = {
    Command{"keygen", "Make private keys here, and the public card to hand out", declare_keygen},
    Command{"genesis", "Assemble cards into the genesis of a cluster, or show one",
            declare_genesis},
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
