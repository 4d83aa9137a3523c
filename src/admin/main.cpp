#include <algorithm>
#include <cstdio>
#include <vector>

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

int parse_and_run(int argc, char** argv) {
  config::CommandLine line(
      "bftadm", "Bootstrap, status, verification and administration of a bftmeta cluster.");
  line.version("bftadm " BFTMETA_VERSION);
  line.require_command();
  line.heading("Options of every command");

  Globals globals;
  line.option("--config", globals.config, "A client.toml (default: that of the dev cluster)");
  line.option("--dir", globals.dir, "A dev cluster (default: ~/.local/share/bftmeta/dev)");
  std::string format;
  line.option("-o,--output", format, "table (default) or json").one_of({"table", "json"});

  std::vector<std::pair<config::Syntax, Run>> declared;
  for (const Command& command : commands()) {
    const config::Syntax syntax = line.command(command.name, command.help);
    declared.emplace_back(syntax, command.declare(syntax, globals));
  }

  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed)
    return report_error(parsed.error().message + "; see 'bftadm --help'", ExitCode::usage);
  if (*parsed == config::Parsed::answered) return static_cast<int>(ExitCode::ok);
  if (format == "json") globals.output = OutputFormat::json;
  const auto chosen =
      std::ranges::find_if(declared, [](const auto& d) { return d.first.chosen(); });
  const Result<ExitCode> code = chosen->second();
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
