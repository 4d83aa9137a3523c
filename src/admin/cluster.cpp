#include "admin/cluster.hpp"

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <future>
#include <span>
#include <type_traits>

#include "crypto/keys.hpp"

namespace bftmeta::admin {

namespace {

// A reply may be lost while the link is still shaking hands, so the question is repeated.
constexpr std::chrono::milliseconds kAskAgain{200};

std::optional<messages::StatusReply> ask_one(client::Client& client, messages::ReplicaId replica,
                                             std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  do {
    auto reply = client.status(replica, std::min(kAskAgain, timeout));
    if (reply) return std::move(*reply);
    if (reply.error().code != Errc::unreachable) return std::nullopt;  // no member any more
  } while (std::chrono::steady_clock::now() < end);
  return std::nullopt;
}

std::string complaint(const ClusterStatus& s, std::size_t id) {
  const auto& r = s.replicas[id];
  const std::string name = "replica " + std::to_string(id);
  if (!r) return name + " does not answer";
  if (r->condition != "ok") return name + ": " + r->condition;
  if (!r->active) return name + " is between views";
  if (s.certified > r->executed_seq + limits::kWindow)
    return name + " is " + std::to_string(s.certified - r->executed_seq) + " batches behind";
  return "";
}

}  // namespace

Result<std::unique_ptr<client::Client>> connect(const Globals& globals) {
  BFTMETA_ASSIGN(const std::string path, client_config_path(globals));
  auto passphrase = crypto::PassphraseSource::terminal();
  BFTMETA_ASSIGN(client::Options options, client::load_options(path, passphrase));
  options.on_fault = [](const client::Fault& fault) {
    std::fprintf(stderr, "bftadm: replica %u was caught lying at sequence number %llu: %s\n",
                 fault.replica, static_cast<unsigned long long>(fault.seq), fault.why.c_str());
  };
  return client::Client::connect(std::move(options));
}

config::Config members_of(client::Client& client) {
  auto membership = client.membership();
  return membership ? std::move(membership->config) : client.genesis().config;
}

Status no_such(const config::Config& now, std::uint32_t id) {
  return fail(Errc::invalid_argument, "replica " + std::to_string(id) + ": epoch " +
                                          std::to_string(now.epoch) + " has replicas 0.." +
                                          std::to_string(now.n() - 1));
}

schema::Caller current_caller() {
  schema::Caller caller{::geteuid(), ::getegid(), {}};
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count && caller.groups.size() < limits::kMaxGroups; ++i)
    caller.groups.push_back(groups[static_cast<std::size_t>(i)]);
  return caller;
}

Error operation_error(const std::string& what, schema::Code code) {
  using schema::Code;
  const Errc errc = code == Code::not_permitted || code == Code::access_denied ? Errc::permission
                    : code == Code::no_entry                                   ? Errc::not_found
                    : code == Code::exists ? Errc::already_exists
                                           : Errc::io;
  return {errc, what + ": " + std::string(schema::code_name(code))};
}

Result<schema::Target> parse_path(const std::string& path) {
  const auto wrong = [&path](const std::string& why) {
    return fail(Errc::invalid_argument, "path '" + path + "': " + why);
  };
  if (path.empty() || path[0] != '/')
    return wrong("it must start at the root of the namespace, as in /dir/file");
  schema::Target target;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string name = path.substr(at, end - at);
    at = end + 1;
    if (name.empty()) continue;
    if (name == "." || name == "..") return wrong("'.' and '..' are not followed; write it out");
    if (name.size() > limits::kMaxName)
      return wrong("a name is longer than " + std::to_string(limits::kMaxName) + " bytes");
    target.path.push_back({to_bytes(name)});
  }
  if (target.path.size() > limits::kMaxPathComponents)
    return wrong("it has more than " + std::to_string(limits::kMaxPathComponents) + " names");
  return target;
}

const char* health_name(Health health) {
  switch (health) {
    case Health::ok: return "HEALTH_OK";
    case Health::warn: return "HEALTH_WARN";
    case Health::err: return "HEALTH_ERR";
  }
  return "HEALTH_ERR";
}

ClusterStatus judge(config::Config config,
                    std::vector<std::optional<messages::StatusReply>> replicas) {
  ClusterStatus s;
  s.config = std::move(config);
  s.replicas = std::move(replicas);
  std::vector<messages::View> views;
  for (const auto& r : s.replicas) {
    if (!r) continue;
    ++s.answered;
    views.push_back(r->view);
    s.certified = std::max(s.certified, r->certified_seq);
  }
  std::ranges::sort(views, std::greater());
  if (!views.empty())
    s.view = views[std::min<std::size_t>(s.config.weak_quorum(), views.size()) - 1];
  s.primary = s.config.primary(s.view);
  if (s.answered < s.config.quorum()) {
    s.reason = std::to_string(s.answered) + " of " + std::to_string(s.config.n()) +
               " replicas answer, " + std::to_string(s.config.quorum()) +
               " are needed: nothing can be written";
    return s;
  }
  for (std::size_t id = 0; id < s.replicas.size() && s.reason.empty(); ++id)
    s.reason = complaint(s, id);
  s.health = s.reason.empty() ? Health::ok : Health::warn;
  return s;
}

namespace {

std::vector<std::optional<messages::StatusReply>> ask_all(client::Client& client, std::uint32_t n,
                                                          std::chrono::milliseconds timeout) {
  std::vector<std::future<std::optional<messages::StatusReply>>> questions;
  for (messages::ReplicaId r = 0; r < n; ++r)
    questions.push_back(std::async(std::launch::async,
                                   [&client, r, timeout] { return ask_one(client, r, timeout); }));
  std::vector<std::optional<messages::StatusReply>> replies;
  for (auto& question : questions) replies.push_back(question.get());
  return replies;
}

// The numbers of a message in the order of its fields: read from one, or put into one.
struct ReadNumbers {
  std::vector<std::uint64_t> numbers = {};
  template <class T>
  void field(const char*, const T& v) {
    if constexpr (std::is_integral_v<T>)
      numbers.push_back(static_cast<std::uint64_t>(v));
    else
      T::fields(*this, v);
  }
};

struct PutNumbers {
  std::span<const std::uint64_t> numbers;
  template <class T>
  void field(const char*, T& v) {
    if constexpr (std::is_integral_v<T>) {
      v = static_cast<T>(numbers.front());
      numbers = numbers.subspan(1);
    } else {
      T::fields(*this, v);
    }
  }
};

messages::Learning middle_of(const std::vector<messages::Learning>& accounts) {
  std::vector<std::vector<std::uint64_t>> by_field;
  for (const messages::Learning& account : accounts) {
    ReadNumbers read;
    messages::Learning::fields(read, account);
    by_field.resize(read.numbers.size());
    for (std::size_t i = 0; i < by_field.size(); ++i) by_field[i].push_back(read.numbers[i]);
  }
  std::vector<std::uint64_t> numbers;
  for (std::vector<std::uint64_t>& said : by_field) {
    std::ranges::sort(said);
    numbers.push_back(said[said.size() / 2]);
  }
  messages::Learning middle;
  PutNumbers put{numbers};
  messages::Learning::fields(put, middle);
  return middle;
}

}  // namespace

std::map<std::uint32_t, messages::Learning> joining(const ClusterStatus& status) {
  std::map<std::uint32_t, std::vector<messages::Learning>> accounts;
  for (const auto& reply : status.replicas) {
    if (!reply) continue;
    std::map<std::uint32_t, messages::Learning> own;  // nobody has two accounts of one replica
    for (const messages::Joining& j : reply->joining) own.try_emplace(j.replica, j.learning);
    for (const auto& [id, learning] : own) accounts[id].push_back(learning);
  }
  std::map<std::uint32_t, messages::Learning> middle;
  for (const auto& [id, all] : accounts)
    if (all.size() >= status.config.quorum()) middle[id] = middle_of(all);
  return middle;
}

ClusterStatus ask_status(client::Client& client, std::chrono::milliseconds timeout) {
  for (;;) {
    config::Config asked = members_of(client);
    auto replies = ask_all(client, asked.n(), timeout);
    // The answers may be what leads the client to the members of today.
    if (members_of(client).epoch == asked.epoch) return judge(std::move(asked), std::move(replies));
  }
}

namespace {

// Microseconds in JSON as in text; what nobody knows is a word.
Value left(std::uint64_t us) {
  if (us == messages::kUnknownUs) return std::string("unknown");
  return us;
}

Value target_leaves(const messages::TransferProgress& t) {
  if (t.target_leaves == 0) return std::string("unknown");
  return t.target_leaves;
}

Table blocks_table(const ClusterStatus& s) {
  Table table{"blocks",
              {"id", "pass", "percent", "checked", "missing", "fetched", "fetched_bytes",
               "bytes_per_second", "left_us", "finished"},
              {}};
  for (std::size_t id = 0; id < s.replicas.size(); ++id) {
    if (!s.replicas[id]) continue;
    const messages::BlocksProgress& b = s.replicas[id]->blocks;
    table.rows.push_back(
        {std::uint64_t{id},
         std::string(!b.running   ? "idle"
                     : b.thorough ? "reading"
                                  : "looking"),
         b.permille / 10.0, b.checked, b.missing, b.fetched, b.fetched_bytes, b.bytes_per_second,
         b.running ? left(b.left_us) : Value(std::uint64_t{0}),
         b.finished_s == 0 ? std::string("never") : utc_time(b.finished_s * 1'000'000)});
  }
  return table;
}

// Of those that fetch the state; often none.
Table transfers_table(const ClusterStatus& s) {
  Table table{"transfers",
              {"id", "target_seq", "leaves", "target_leaves", "received_bytes", "bytes_per_second",
               "left_us"},
              {},
              true};
  for (std::size_t id = 0; id < s.replicas.size(); ++id) {
    if (!s.replicas[id] || !s.replicas[id]->transfer.running) continue;
    const messages::TransferProgress& t = s.replicas[id]->transfer;
    table.rows.push_back({std::uint64_t{id}, t.target, t.leaves, target_leaves(t), t.received_bytes,
                          t.bytes_per_second, left(t.left_us)});
  }
  return table;
}

// Of those that are to become members; often none.
Table joining_table(const ClusterStatus& s) {
  Table table{
      "joining",
      {"id", "ready", "seq", "leaves", "target_leaves", "received_bytes", "bytes_per_second",
       "left_us", "blocks_checked", "blocks_missing", "blocks_fetched_bytes", "blocks_left_us"},
      {},
      true};
  for (const auto& [id, learning] : joining(s)) {
    const messages::TransferProgress& t = learning.transfer;
    const messages::BlocksProgress& b = learning.blocks;
    table.rows.push_back({std::uint64_t{id}, std::string(learning.ready ? "yes" : "no"),
                          learning.seq, t.leaves, target_leaves(t), t.received_bytes,
                          t.bytes_per_second, t.running ? left(t.left_us) : Value(std::uint64_t{0}),
                          b.checked, b.missing, b.fetched_bytes,
                          b.running ? left(b.left_us) : Value(std::uint64_t{0})});
  }
  return table;
}

}  // namespace

Report status_report(const ClusterStatus& s) {
  Report report;
  report.fields.push_back({"health", std::string(health_name(s.health))});
  if (!s.reason.empty()) report.fields.push_back({"reason", s.reason});
  report.fields.push_back({"epoch", s.config.epoch});
  report.fields.push_back({"view", s.view});
  report.fields.push_back({"certified_seq", s.certified});
  Table table{"replicas",
              {"id", "pid", "primary", "view", "executed_seq", "certified_seq", "lag",
               "durable_seq", "uptime_us", "inodes", "scrub_permille", "repaired", "condition"},
              {}};
  for (std::size_t id = 0; id < s.replicas.size(); ++id) {
    const bool silent = !s.replicas[id].has_value();
    const messages::StatusReply r = s.replicas[id].value_or(messages::StatusReply{});
    const std::uint64_t lag = s.certified > r.executed_seq ? s.certified - r.executed_seq : 0;
    table.rows.push_back({std::uint64_t{id}, r.pid, !silent && id == s.primary, r.view,
                          r.executed_seq, r.certified_seq, lag, r.durable_seq, r.uptime_us,
                          r.inodes, std::uint64_t{r.scrub_permille}, r.damage_repaired,
                          silent                             ? "unreachable"
                          : !r.active && r.condition == "ok" ? std::string("view change")
                                                             : r.condition});
  }
  report.tables.push_back(std::move(table));
  report.tables.push_back(blocks_table(s));
  report.tables.push_back(transfers_table(s));
  report.tables.push_back(joining_table(s));
  return report;
}

ExitCode status_exit_code(Health health) {
  return health == Health::ok     ? ExitCode::ok
         : health == Health::warn ? ExitCode::degraded
                                  : ExitCode::unreachable;
}

}  // namespace bftmeta::admin
