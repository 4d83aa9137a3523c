// A command's way to the cluster: the client of --config or --dir, on whose behalf it asks, and
// what replicas say of themselves, judged. Thread-safety: functions without state.
#pragma once

#include <bftmeta/client.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "admin/command.hpp"
#include "admin/report.hpp"

namespace bftmeta::admin {

// Connected in the background; nothing is known of the replicas yet. A refused lie goes to stderr
// as one line. Errors: those of the files that the configuration names.
Result<std::unique_ptr<client::Client>> connect(const Globals& globals);

// Who runs the cluster, as far as the client has been led. Of a closed client: the genesis.
config::Config members_of(client::Client& client);

// The error of whoever names a replica that is none of them.
Status no_such(const config::Config& now, std::uint32_t id);

// Whoever runs the command: its effective uid, gid and supplementary groups (at most kMaxGroups).
schema::Caller current_caller();

// One sentence for an outcome that is not ok: "WHAT: why", with the code that decides the exit.
Error operation_error(const std::string& what, schema::Code code);

// "/a/b" from the root directory. Errc::invalid_argument: not absolute, "." or "..", too long.
Result<schema::Target> parse_path(const std::string& path);

enum class Health { ok, warn, err };
const char* health_name(Health health);  // HEALTH_OK, HEALTH_WARN, HEALTH_ERR

struct ClusterStatus {
  config::Config config;                                       // who was asked
  std::vector<std::optional<messages::StatusReply>> replicas;  // by id; nullopt: no answer
  messages::View view = 0;      // the highest that f+1 of those who answered have reached
  std::uint32_t primary = 0;    // of that view
  messages::Seq certified = 0;  // newest that anybody claims
  std::uint32_t answered = 0;
  Health health = Health::err;
  std::string reason;  // why it is not ok; empty when it is
};

// Errors: fewer than 2f+1 answer. Warnings: a replica is silent, behind by more than the window,
// between views, or says itself that something is wrong.
ClusterStatus judge(config::Config config,
                    std::vector<std::optional<messages::StatusReply>> replicas);
// Who is on the way to become a member, by its position in the next configuration: those of whom a
// quorum of members has heard. Each number is the one in the middle of what they say, so that f of
// them who lie cannot move it out of what correct ones say.
std::map<std::uint32_t, messages::Learning> joining(const ClusterStatus& status);
// Asks all replicas of today at once; a silent one costs `timeout`.
ClusterStatus ask_status(client::Client& client, std::chrono::milliseconds timeout);
// The health line first, then one row per replica; then the pass over the blocks of each that
// answers, the state transfers under way, and replicas that are to become members.
Report status_report(const ClusterStatus& status);
// What `--exit-code` makes of it.
ExitCode status_exit_code(Health health);

}  // namespace bftmeta::admin
