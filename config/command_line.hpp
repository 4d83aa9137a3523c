// The command line of a program: options, positional arguments and commands, each declared together
// with the variable that it fills. CLI11 does the work; it takes ten seconds to compile, so
// command_line.cpp alone includes it.
//
//   CommandLine line("bftadm", "Administers a cluster");
//   const Syntax stat = line.command("stat", "Attributes of a path");
//   stat.option("PATH", path, "Path from the root").required();
//   BFTMETA_ASSIGN(const Parsed parsed, line.parse(argc, argv));
//   if (stat.chosen()) ...
//
// A variable must outlive parse(); it keeps its value when its option is not given. Syntax and
// Option are handles, valid as long as their CommandLine. Declaring a name twice throws: a defect
// of the program. Thread-safety: one thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace bftmeta::config {

// A list takes every value that follows and may be given repeatedly; an optional stays empty unless
// the option is given.
template <class T>
concept OptionValue = std::same_as<T, std::string> || std::same_as<T, std::vector<std::string>> ||
    std::same_as<T, std::uint16_t> || std::same_as<T, std::uint32_t> ||
    std::same_as<T, std::optional<std::uint32_t>> || std::same_as<T, std::vector<std::uint32_t>> ||
    std::same_as<T, std::uint64_t> || std::same_as<T, int> || std::same_as<T, double>;

class Option {
 public:
  Option required() const;
  Option show_default() const;  // --help tells the value that the variable has now
  Option one_of(const std::vector<std::string>& values) const;
  Option between(int lowest, int highest) const;  // both included
  Option between(double lowest, double highest) const;
  Option separated_by(char c) const;  // a list may also be given in one word
  Option needs(Option other) const;   // given only together with it
  Option excludes(Option other) const;

 private:
  friend class Syntax;
  explicit Option(CLI::Option& option) : option_(&option) {}

  CLI::Option* option_;
};

// What a program, or one of its commands, understands.
class Syntax {
 public:
  // `name` is "--long", "-s,--long", or "WORD" for a positional argument.
  template <OptionValue T>
  Option option(const std::string& name, T& value, const std::string& help) const;
  Option flag(const std::string& name, bool& value, const std::string& help) const;
  // Options declared from here on stand under this heading in --help.
  void heading(const std::string& heading) const;

  // Options of the program are also understood behind the name of a command.
  Syntax command(const std::string& name, const std::string& help) const;
  void require_command() const;
  bool chosen() const;  // after parse(): was this command given?

 protected:
  explicit Syntax(CLI::App& app) : app_(&app) {}

  CLI::App* app_;
};

enum class Parsed {
  run,       // the variables are filled
  answered,  // --help or --version was asked for and printed: nothing is left to do
};

class CommandLine : public Syntax {
 public:
  // Without a name, --help shows the one by which the program was started.
  CommandLine(const std::string& name, const std::string& description);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  void version(const std::string& text) const;  // adds --version
  // Errc::invalid_argument: what is wrong with which argument.
  Result<Parsed> parse(int argc, const char* const* argv) const;

 private:
  explicit CommandLine(std::unique_ptr<CLI::App> app);

  std::unique_ptr<CLI::App> owned_;
};

}  // namespace bftmeta::config
