// bftadm scrub: what the replicas say of the state and the blocks that they store, and a check of
// all of it now.
#include "admin/cluster.hpp"
#include "admin/command.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::optional<std::uint32_t> replica;
  std::uint32_t rate = 4U << 20;
  std::uint32_t timeout_ms = 2000;
};

// Of the pass over the blocks that is under way, or of the last one.
std::string pass_of(const messages::BlocksProgress& blocks) {
  if (!blocks.running && blocks.finished_s == 0) return "none yet";
  return std::string(blocks.running ? "reading" : "has read") +
         (blocks.thorough ? " all" : " names");
}

// What each replica answers; a rate that is not 0 starts a scrub, of all or of the one named.
Result<ExitCode> ask(const Options& o, std::uint64_t rate, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  Report report;
  Table table{
      "replicas",
      {"id", "bytes_per_s", "permille", "cycles", "damage_found", "damage_repaired", "blocks_pass",
       "blocks_permille", "blocks_checked", "blocks_restored", "blocks_missing", "condition"},
      {}};
  std::uint64_t answered = 0;
  std::uint64_t started = 0;
  const std::chrono::milliseconds timeout(o.timeout_ms);
  messages::ReplicaId r = 0;
  for (; r < members_of(*client).n(); ++r) {  // which their answers may change
    const bool starts = rate != 0 && o.replica.value_or(r) == r;
    const auto reply = client->status(r, timeout, starts ? rate : 0);
    const messages::StatusReply s = reply ? *reply : messages::StatusReply{};
    answered += reply ? 1 : 0;
    started += reply && starts ? 1 : 0;
    table.rows.push_back({std::uint64_t{r}, s.scrub_bytes_per_s, std::uint64_t{s.scrub_permille},
                          s.scrub_cycles, s.damage_found, s.damage_repaired, pass_of(s.blocks),
                          std::uint64_t{s.blocks.permille}, s.blocks.checked, s.blocks.fetched,
                          s.blocks.missing, reply ? s.condition : "unreachable"});
  }
  if (o.replica && *o.replica >= r)
    return tl::make_unexpected(no_such(members_of(*client), *o.replica).error());
  const auto& [what, count] =
      rate != 0 ? std::pair("started", started) : std::pair("answered", answered);
  report.fields.push_back({what, count});
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  return count != 0 ? ExitCode::ok : ExitCode::unreachable;
}

}  // namespace

Run declare_scrub(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  const auto start_syntax = syntax.command("start", "All that is stored, now");
  const auto status_syntax = syntax.command("status", "How far they are, and what they found");
  start_syntax.option("--replica", o->replica, "Of this one only");
  start_syntax.option("--rate", o->rate, "Bytes per second")
      .between(16'384, 64 << 20)
      .show_default();
  for (const auto& asks : {start_syntax, status_syntax})
    asks.option("--timeout-ms", o->timeout_ms, "How long to wait for a silent replica")
        .between(50, 60000)
        .show_default();
  return [=, &globals] { return ask(*o, start_syntax.chosen() ? o->rate : 0, globals); };
}

}  // namespace bftmeta::admin
