// replica list, replace, add, remove: who the members are, changed by statements that admins sign
// (protocol §9.2).
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "admin/change_progress.hpp"
#include "admin/statement.hpp"
#include "config/change.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStatusTimeout{2};
constexpr milliseconds kAnswerTimeout{500};
constexpr seconds kFirstTimeout{30};
constexpr seconds kTellEvery{10};

struct Options {
  std::uint32_t id = 0;            // replace
  std::vector<std::string> cards;  // replace, add
  std::vector<std::uint32_t> ids;  // remove
  std::vector<std::string> admin_keys;
  std::uint32_t timeout_s = 600;
  bool no_wait = false;
};

Result<config::Replica> load_replica_card(const std::string& path, std::uint32_t id) {
  BFTMETA_ASSIGN(const config::Card card, config::load_card(path));
  const auto* r = std::get_if<config::ReplicaCard>(&card);
  if (r == nullptr) return fail(Errc::config, path + ": is not the card of a replica");
  return config::Replica{id, r->vote_key, r->link_key, r->host, r->port};
}

Result<ns::MembershipAnswer> ask_membership(client::Client& client, std::uint64_t epoch) {
  BFTMETA_ASSIGN(const client::ReadResult read,
                 client.read({{current_caller(), schema::GetMembership{epoch}}}));
  const ns::QueryResult& result = read.answers.front();
  if (const auto* found = std::get_if<ns::MembershipAnswer>(&result.answer)) return *found;
  return tl::make_unexpected(operation_error("membership", result.code));
}

// Nobody of those who answer says that anything is certified.
bool has_no_batch(client::Client& client) {
  bool answered = false;
  for (std::uint32_t r = 0; r < members_of(client).n(); ++r) {
    const auto status = client.status(r, kAnswerTimeout);
    if (status && status->certified_seq != 0) return false;
    answered = answered || status;
  }
  return answered;
}

// A cluster that has executed nothing has no root to read at: a session is its first batch.
Result<messages::RootCert> newest_root(client::Client& client, client::ReadMode mode) {
  if (has_no_batch(client)) BFTMETA_TRY(client.wait_ready(kFirstTimeout));
  return client.root(mode);
}

// ---- the next configuration

Result<config::Config> with_replaced(const Options& o, config::Config c) {
  if (o.id >= c.n()) return tl::make_unexpected(no_such(c, o.id).error());
  BFTMETA_ASSIGN(c.replicas[o.id], load_replica_card(o.cards.front(), o.id));
  return c;
}

Result<config::Config> with_added(const Options& o, config::Config c) {
  for (const std::string& card : o.cards) {
    BFTMETA_ASSIGN(auto replica, load_replica_card(card, c.n()));
    c.replicas.push_back(std::move(replica));
  }
  return c;
}

// Who stays keeps its number where there still is one; the others take what becomes free.
Result<config::Config> with_removed(const Options& o, config::Config c) {
  const config::Config before = c;
  for (const std::uint32_t id : o.ids)
    if (id >= before.n()) return tl::make_unexpected(no_such(before, id).error());
  std::vector<std::optional<config::Replica>> slots(before.replicas.begin(), before.replicas.end());
  for (const std::uint32_t id : o.ids) slots[id].reset();
  const auto left = static_cast<std::size_t>(
      std::ranges::count_if(slots, [](const auto& s) { return s.has_value(); }));
  c.replicas.clear();
  for (std::size_t i = 0; i < left; ++i) {
    while (!slots.back()) slots.pop_back();
    if (!slots[i]) {
      slots[i] = std::move(slots.back());
      slots.pop_back();
    }
    c.replicas.push_back(*slots[i]);
    c.replicas.back().id = static_cast<std::uint32_t>(i);
  }
  return c;
}

// ---- waiting

// On a terminal it says now and then what it waits for.
Status wait_for(client::Client& client, const config::Config& now, const config::Config& next,
                std::uint32_t timeout_s) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + seconds(timeout_s);
  auto tells = Clock::now() + kTellEvery;
  std::optional<ns::MembershipAnswer> heard;
  const auto progress = [&] {
    return change_progress(now, next, heard, ask_status(client, kStatusTimeout));
  };
  while (Clock::now() < end) {
    // A read finds out by itself when the epoch is over.
    if (auto found = ask_membership(client, now.epoch)) {
      if (!found->pending && !found->next)
        return fail(Errc::stale, "change of the configuration: it was taken back or dropped");
      heard = std::move(*found);
    }
    if (members_of(client).epoch > now.epoch) return {};
    if (::isatty(STDERR_FILENO) == 1 && Clock::now() >= tells) {
      std::fprintf(stderr, "bftadm: waits: %s\n", progress().c_str());
      tells = Clock::now() + kTellEvery;
    }
    std::this_thread::sleep_for(milliseconds(200));
  }
  return fail(Errc::unreachable,
              "change of the configuration: not in force after " + std::to_string(timeout_s) +
                  " s, and still under way: " + progress() + "; see 'bftadm replica list'");
}

// Of a change that was refused since there is one: what that one waits for.
Error already_under_way(client::Client& client, const config::Config& now,
                        const config::Config& next) {
  const auto found = ask_membership(client, now.epoch);
  if (found && !found->pending)
    return carried_before("change of the configuration", "bftadm replica list");
  const bool same = found && found->pending->next == next;
  std::string what = same ? "this one is under way already" : "another one is under way";
  if (found)
    what += ": " +
            change_progress(now, found->pending->next, *found, ask_status(client, kStatusTimeout));
  return {Errc::already_exists, "change of the configuration: " + what +
                                    "; see 'bftadm replica list', or take it back with 'bftadm "
                                    "replica cancel'"};
}

// ---- the commands

Result<schema::OpResult> execute_change(const Options& o, const Globals& globals,
                                        client::Client& client, const config::Config& now,
                                        const config::Config& next) {
  return execute_statement(client, globals, o.admin_keys, tags::kConfig,
                           schema::ConfigStatement{now.hash(), next});
}

Result<ExitCode> propose(const Options& o, const Globals& globals, client::Client& client,
                         const config::Config& now, config::Config next) {
  next.epoch = now.epoch + 1;
  BFTMETA_TRY(config::check_step(now, next));
  BFTMETA_ASSIGN(const schema::OpResult result, execute_change(o, globals, client, now, next));
  if (result.code == schema::Code::exists)
    return tl::make_unexpected(already_under_way(client, now, next));
  if (result.code == schema::Code::invalid)  // the step itself was checked above
    return fail(Errc::identity,
                "change of the configuration: a vote key in it was that of a member that has left, "
                "and never comes back; make new keys with 'bftadm keygen replica'");
  if (result.code != schema::Code::ok)
    return tl::make_unexpected(operation_error("change of the configuration", result.code));
  if (!o.no_wait) BFTMETA_TRY(wait_for(client, now, next, o.timeout_s));
  print(globals.output, {{{"epoch", next.epoch},
                          {"in_force", !o.no_wait},
                          {"replicas", std::uint64_t{next.n()}},
                          {"quorum_before", quorum_text(now)},
                          {"quorum_after", quorum_text(next)}},
                         {}});
  BFTMETA_TRY(client.close());
  return ExitCode::ok;
}

using MakeNext = Result<config::Config> (*)(const Options&, config::Config);

// The client has to know the newest epoch before it proposes the one behind it.
Result<ExitCode> change(const Options& o, const Globals& globals, MakeNext make) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const messages::RootCert root,
                 newest_root(*client, client::ReadMode::linearizable));
  const config::Config now = members_of(*client);
  if (root.body.epoch > now.epoch)
    return fail(Errc::stale, "membership: epoch " + std::to_string(root.body.epoch) +
                                 " has begun meanwhile; try again");
  BFTMETA_ASSIGN(config::Config next, make(o, now));
  return propose(o, globals, *client, now, std::move(next));
}

// An unchanged configuration takes back what is pending.
Result<ExitCode> take_back(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const auto root, newest_root(*client, client::ReadMode::verified));
  const config::Config now = members_of(*client);
  BFTMETA_ASSIGN(const schema::OpResult result, execute_change(o, globals, *client, now, now));
  if (result.code == schema::Code::exists)
    return tl::make_unexpected(
        carried_before("change of the configuration", "bftadm replica list"));
  if (result.code == schema::Code::no_entry)
    return fail(Errc::not_found,
                "change of the configuration: none is under way that could still "
                "be taken back");
  if (result.code != schema::Code::ok)
    return tl::make_unexpected(operation_error("change of the configuration", result.code));
  print(globals.output, {{{"epoch", now.epoch}, {"taken_back", true}}, {}});
  BFTMETA_TRY(client->close());
  return ExitCode::ok;
}

void add_rows(Table& table, const config::Config& c, const std::string& of,
              const schema::PendingChange* pending) {
  for (const config::Replica& r : c.replicas) {
    const bool ready = pending != nullptr && (pending->ready >> r.id & 1) != 0;
    table.rows.push_back({of, std::uint64_t{r.id}, short_hex(crypto::fingerprint(r.vote_key)),
                          r.host, std::uint64_t{r.port},
                          std::string(pending == nullptr ? "-"
                                      : ready            ? "ready"
                                                         : "not ready")});
  }
}

Result<ExitCode> list(const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const auto root, newest_root(*client, client::ReadMode::verified));
  const config::Config now = members_of(*client);
  BFTMETA_ASSIGN(const ns::MembershipAnswer found, ask_membership(*client, now.epoch));
  Table table{"members", {"of", "id", "vote_key_fingerprint", "host", "port", "ready"}, {}};
  add_rows(table, now, "epoch " + std::to_string(now.epoch), nullptr);
  Report report{{{"epoch", now.epoch}, {"quorum", quorum_text(now)}, {"seq", root.body.seq}}, {}};
  if (found.pending) {
    add_rows(table, found.pending->next, "next", &*found.pending);
    report.fields.push_back({"pending_quorum", quorum_text(found.pending->next)});
    report.fields.push_back({"pending_until", utc_time(found.pending->deadline_us)});
    report.fields.push_back({"epoch_end_seq", found.pending->epoch_end_seq});
  }
  report.tables.push_back(std::move(table));
  print(globals.output, report);
  BFTMETA_TRY(client->close());
  return ExitCode::ok;
}

}  // namespace

Run declare_replica(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  syntax.command("list", "The members, and a change that is under way, verified");
  const auto replace = syntax.command("replace", "Put another replica in the place of one");
  const auto add = syntax.command("add", "Three replicas more: 4 -> 7 -> 10");
  const auto remove = syntax.command("remove", "Three replicas fewer: 10 -> 7 -> 4");
  const auto cancel = syntax.command("cancel", "Take back a change that is not scheduled yet");
  replace.option("ID", o->id, "Who is replaced").required();
  replace.option("CARD", o->cards, "The new one's card, from 'bftadm keygen replica'").required();
  add.option("CARDS", o->cards, "Their cards, from 'bftadm keygen replica'").required();
  remove.option("IDS", o->ids, "Who leaves").required();
  for (const auto& change : {replace, add, remove}) {
    change.option("--timeout", o->timeout_s, "Wait this many seconds for it to be in force");
    change.flag("--no-wait", o->no_wait, "Only propose it");
  }
  for (const auto& change : {replace, add, remove, cancel}) admin_key_option(change, o->admin_keys);
  return [=, &globals]() -> Result<ExitCode> {
    if (replace.chosen()) return change(*o, globals, with_replaced);
    if (add.chosen()) return change(*o, globals, with_added);
    if (remove.chosen()) return change(*o, globals, with_removed);
    if (cancel.chosen()) return take_back(*o, globals);
    return list(globals);
  };
}

}  // namespace bftmeta::admin
