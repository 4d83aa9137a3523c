#include "config/command_line.hpp"

#include <CLI/CLI.hpp>

namespace bftmeta::config {

// ---- Option

Option Option::required() const {
  option_->required();
  return *this;
}

Option Option::show_default() const {
  option_->capture_default_str();
  return *this;
}

Option Option::one_of(const std::vector<std::string>& values) const {
  option_->check(CLI::IsMember(values));
  return *this;
}

Option Option::between(int lowest, int highest) const {
  option_->check(CLI::Range(lowest, highest));
  return *this;
}

Option Option::between(double lowest, double highest) const {
  option_->check(CLI::Range(lowest, highest));
  return *this;
}

Option Option::separated_by(char c) const {
  option_->delimiter(c);
  return *this;
}

Option Option::needs(Option other) const {
  option_->needs(other.option_);
  return *this;
}

Option Option::excludes(Option other) const {
  option_->excludes(other.option_);
  return *this;
}

// ---- Syntax

template <OptionValue T>
Option Syntax::option(const std::string& name, T& value, const std::string& help) const {
  // Converted as the number itself: CLI11 would take an empty word for "not given".
  if constexpr (std::same_as<T, std::optional<std::uint32_t>>)
    return Option(*app_->add_option<T, std::uint32_t>(name, value, help));
  else
    return Option(*app_->add_option(name, value, help));
}

template Option Syntax::option(const std::string&, std::string&, const std::string&) const;
template Option Syntax::option(const std::string&, std::vector<std::string>&,
                               const std::string&) const;
template Option Syntax::option(const std::string&, std::uint16_t&, const std::string&) const;
template Option Syntax::option(const std::string&, std::uint32_t&, const std::string&) const;
template Option Syntax::option(const std::string&, std::optional<std::uint32_t>&,
                               const std::string&) const;
template Option Syntax::option(const std::string&, std::vector<std::uint32_t>&,
                               const std::string&) const;
template Option Syntax::option(const std::string&, std::uint64_t&, const std::string&) const;
template Option Syntax::option(const std::string&, int&, const std::string&) const;
template Option Syntax::option(const std::string&, double&, const std::string&) const;

Option Syntax::flag(const std::string& name, bool& value, const std::string& help) const {
  return Option(*app_->add_flag(name, value, help));
}

void Syntax::heading(const std::string& heading) const { app_->option_defaults()->group(heading); }

Syntax Syntax::command(const std::string& name, const std::string& help) const {
  CLI::App* command = app_->add_subcommand(name, help);
  command->option_defaults()->group("Options");  // not the heading of the program's
  command->fallthrough();
  return Syntax(*command);
}

void Syntax::require_command() const { app_->require_subcommand(1); }

bool Syntax::chosen() const { return app_->parsed(); }

// ---- CommandLine

CommandLine::CommandLine(const std::string& name, const std::string& description)
    : CommandLine(std::make_unique<CLI::App>(description, name)) {}

CommandLine::CommandLine(std::unique_ptr<CLI::App> app) : Syntax(*app), owned_(std::move(app)) {}

CommandLine::~CommandLine() = default;

void CommandLine::version(const std::string& text) const {
  app_->set_version_flag("--version", text);
}

Result<Parsed> CommandLine::parse(int argc, const char* const* argv) const {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::Success& answer) {
    app_->exit(answer);
    return Parsed::answered;
  } catch (const CLI::ParseError& error) {
    // CLI11 would complain that a command is missing, rather than of the word in its place.
    const std::vector<std::string> rest = app_->remaining();
    const bool has_commands = !app_->get_subcommands({}).empty();
    if (has_commands && app_->get_subcommands().empty() && !rest.empty() && rest[0][0] != '-')
      return fail(Errc::invalid_argument, "unknown command '" + rest[0] + "'");
    return fail(Errc::invalid_argument, error.what());
  }
  return Parsed::run;
}

}  // namespace bftmeta::config
