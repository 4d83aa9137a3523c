// What a command of bftadm is: one file with one declare function, and one line in commands.cpp.
// Declaring says what the command understands and returns what runs after parsing; the values of
// its options live in what that function captures. Thread-safety: one thread.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "config/command_line.hpp"

namespace bftmeta::admin {

enum class OutputFormat { table, json };

// Options that every command understands, wherever they stand on the line.
struct Globals {
  std::string config;  // --config: a client.toml, or empty
  std::string dir;     // --dir: a dev cluster, or empty
  OutputFormat output = OutputFormat::table;
};

// The exit code of a command that did what it was asked (ok, or a verdict such as
// verification_failed); an error is printed as one line and gives exit_code_of(its code).
using Run = std::function<Result<ExitCode>()>;
// `globals` outlives the command and is filled before Run is called.
using Declare = Run (*)(config::Syntax syntax, const Globals& globals);

struct Command {
  const char* name;
  const char* help;
  Declare declare;
};

std::span<const Command> commands();

// --dir, or ~/.local/share/bftmeta/dev. Errc::invalid_argument when there is no home directory.
Result<std::string> dev_directory(const Globals& globals);
// --config, or client.toml of the dev cluster.
Result<std::string> client_config_path(const Globals& globals);

}  // namespace bftmeta::admin
