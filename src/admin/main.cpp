#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "admin/command.hpp"

namespace {

using namespace bftmeta;
using namespace bftmeta::admin;

int report_error(const std::string& message, ExitCode code) {
  std::string line = "bftadm: " + message;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  std::fprintf(stderr, "%s\n", line.c_str());
  return static_cast<int>(code);
}

// Global options are understood behind the command, too.
void fall_through(CLI::App& app) {
  app.fallthrough();
  for (CLI::App* sub : app.get_subcommands({})) fall_through(*sub);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Bootstrap, status, verification and administration of a bftmeta cluster.",
               "bftadm");
  app.set_version_flag("--version", "bftadm " BFTMETA_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->group("Options of every command");

  Globals globals;
  app.add_option("--config", globals.config, "A client.toml (default: that of the dev cluster)");
  app.add_option("--dir", globals.dir, "A dev cluster (default: ~/.local/share/bftmeta/dev)");
  std::string format;
  app.add_option("-o,--output", format, "table (default) or json")
      ->check(CLI::IsMember({"table", "json"}));

  std::map<const CLI::App*, Run> runs;
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.help);
    sub->option_defaults()->group("Options");
    runs[sub] = command.declare(*sub, globals);
    fall_through(*sub);
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const std::vector<std::string> rest = app.remaining();
    const bool unknown = app.get_subcommands().empty() && !rest.empty() && rest[0][0] != '-';
    return report_error((unknown ? "unknown command '" + rest[0] + "'" : std::string(e.what())) +
                            "; see 'bftadm --help'",
                        ExitCode::usage);
  }
  if (format == "json") globals.output = OutputFormat::json;
  const Result<ExitCode> code = runs.at(app.get_subcommands().front())();
  if (!code) return report_error(code.error().message, exit_code_of(code.error().code));
  return static_cast<int>(*code);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& e) {
    return report_error(std::string("internal error: ") + e.what(), ExitCode::failed);
  }
}
