// Programs run as a user runs them, and a cluster as `bftadm dev` starts it. Thread-safety: one
// thread.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/result.hpp"
#include "support/run.hpp"
#include "support/temp_dir.hpp"

namespace bftmeta::test {

inline RunResult run_program(const std::string& program, std::vector<std::string> args,
                             const std::string& input = "") {
  args.insert(args.begin(), std::string(BINDIR) + "/" + program);
  return run(args, input, std::chrono::seconds(60));
}

// The contract of every failure: this exit code, one line on stderr, nothing on stdout.
inline void check_refused(const RunResult& r, const std::string& program, ExitCode code,
                          const std::string& part) {
  CAPTURE(r.err);
  CHECK(r.exit_code == static_cast<int>(code));
  CHECK(r.out.empty());
  CHECK(r.err.starts_with(program + ": "));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  CHECK(r.err.ends_with('\n'));
  CHECK(r.err.find(part) != std::string::npos);
}

// A cluster in a directory of its own, stopped at the end whatever happened.
class Dev {
 public:
  ~Dev() { raw({"dev", "down"}); }

  RunResult raw(std::vector<std::string> args) const {
    args.insert(args.begin(), {"--dir", path("")});
    return run_program("bftadm", args);
  }
  nlohmann::json ok(std::vector<std::string> args) const {
    args.insert(args.begin(), {"-o", "json"});
    const RunResult r = raw(args);
    INFO(args[2], " ", r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(r.err.empty());
    return nlohmann::json::parse(r.out);
  }
  void refused(std::vector<std::string> args, ExitCode code, const std::string& part) const {
    check_refused(raw(args), "bftadm", code, part);
  }
  std::string path(const std::string& name) const {
    return dir_ / ("cluster" + (name.empty() ? "" : "/" + name));
  }
  std::string scratch(const std::string& name) const { return dir_ / name; }

  // A genesis of the same replicas under another nonce: another cluster.
  void assemble_other(const std::string& out) const {
    std::vector<std::string> args = {"genesis", "--out", out};
    for (const char* owner :
         {"replica-0", "replica-1", "replica-2", "replica-3", "admin", "client"})
      args.push_back(path(std::string(owner) + "/card.toml"));
    ok(args);
  }

 private:
  TempDir dir_;
};

}  // namespace bftmeta::test
