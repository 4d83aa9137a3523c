#include "sim/scenario_commands.hpp"

#include "sim/forged.hpp"

namespace bftmeta::sim::scenario {

namespace {

using messages::ReplicaId;
using Options = std::map<std::string, std::string>;

// How many replicas and clients the names in a line may mean.
struct Sizes {
  std::uint32_t n = 0;
  std::uint32_t clients = 0;
};

Run always(std::function<void(Cluster&)> action) {
  return [action = std::move(action)](Cluster& cluster) -> Status {
    action(cluster);
    return {};
  };
}

schema::Operation create(const std::string& name) {
  schema::MakeNode make;
  make.name.bytes = to_bytes(name);
  make.mode = 0644;
  schema::Operation op;
  op.body = make;
  return op;
}

// ---- time and expectations

Result<Run> run(const Words& w, const Sizes&) {
  BFTMETA_TRY(options(w, 2, {}));
  BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w[1]));
  return always([us](Cluster& c) { c.run_for(us); });
}

Result<Run> tick_to(const Words& w, const Sizes&) {
  BFTMETA_TRY(options(w, 2, {}));
  BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w[1]));
  return Run([us](Cluster& c) -> Status {
    if (c.age_us() > us) return fail(Errc::malformed, "that time is past");
    c.run_for(us - c.age_us());
    return {};
  });
}

Result<Run> expect(const Words& w, const Sizes& sizes) {
  BFTMETA_ASSIGN(const Condition holds,
                 condition({w.begin() + 1, w.end()}, sizes.n, sizes.clients));
  return Run([holds](Cluster& c) -> Status {
    if (const auto otherwise = holds(c)) return fail(Errc::internal, *otherwise);
    return {};
  });
}

Result<Run> until(const Words& w, const Sizes& sizes) {
  if (w.size() < 4 || w[w.size() - 2] != "within")
    return fail(Errc::malformed, "expected 'until CONDITION within DURATION'");
  BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w.back()));
  BFTMETA_ASSIGN(const Condition holds,
                 condition({w.begin() + 1, w.end() - 2}, sizes.n, sizes.clients));
  return Run([holds, us](Cluster& c) -> Status {
    if (c.run_until([&] { return !holds(c).has_value(); }, us)) return {};
    return fail(Errc::internal, "not within the time: " + *holds(c));
  });
}

// ---- links

Result<Run> link_change(const Words& w, const Sizes& sizes) {
  const bool pair = w.size() == 3;  // both ways between two sets
  if (!pair) BFTMETA_TRY(options(w, 2, {}));
  Links which;
  if (pair) {
    BFTMETA_ASSIGN(which.from, endpoints(w[1], sizes.n, sizes.clients));
    BFTMETA_ASSIGN(which.to, endpoints(w[2], sizes.n, sizes.clients));
  } else {
    BFTMETA_ASSIGN(which, links(w[1], sizes.n, sizes.clients));
  }
  using Change = void (Network::*)(Endpoint, Endpoint);
  const Change change = w[0] == "cut"     ? &Network::cut
                        : w[0] == "mend"  ? &Network::mend
                        : w[0] == "stall" ? &Network::stall
                                          : &Network::flow;
  return always([which, change, pair](Cluster& c) {
    for (const Endpoint a : which.from)
      for (const Endpoint b : which.to) {
        if (a == b) continue;
        (c.network().*change)(a, b);
        if (pair) (c.network().*change)(b, a);
      }
  });
}

Result<Run> rule(const Words& w, const Sizes& sizes) {
  const bool delays = w[0] == "delay";
  const std::size_t fixed = delays ? 4 : 3;
  BFTMETA_ASSIGN(const Options more, options(w, fixed, {"count"}));
  BFTMETA_ASSIGN(const Links which, links(w[1], sizes.n, sizes.clients));
  LinkRule made;
  made.from = {which.from.begin(), which.from.end()};
  made.to = {which.to.begin(), which.to.end()};
  BFTMETA_ASSIGN(made.type, message_type(w[2]));
  if (delays) {
    BFTMETA_ASSIGN(made.delay_us, duration_us(w[3]));
  }
  if (more.contains("count")) {
    BFTMETA_ASSIGN(made.remaining, number(more.at("count")));
  }
  return always([made](Cluster& c) { c.network().add_rule(made); });
}

Result<Run> network(const Words& w, const Sizes&) {
  BFTMETA_ASSIGN(const Options more,
                 options(w, 1, {"loss", "duplicate", "slow", "delay", "bytes_per_s"}));
  NetworkFaults faults;
  const auto rate = [&](const char* key, std::uint32_t& value) -> Status {
    if (!more.contains(key)) return {};
    BFTMETA_ASSIGN(const std::uint64_t given, number(more.at(key)));
    value = static_cast<std::uint32_t>(given);
    return {};
  };
  BFTMETA_TRY(rate("loss", faults.loss));
  BFTMETA_TRY(rate("duplicate", faults.duplicate));
  BFTMETA_TRY(rate("slow", faults.slow));
  if (more.contains("delay")) {
    BFTMETA_ASSIGN(faults.delay_max_us, duration_us(more.at("delay")));
  }
  if (more.contains("bytes_per_s")) {
    BFTMETA_ASSIGN(faults.bytes_per_s, number(more.at("bytes_per_s")));
  }
  return always([faults](Cluster& c) {
    c.network().faults() = faults;
    c.network().set_faults(true);
  });
}

// ---- replicas

Result<Run> crash(const Words& w, const Sizes& sizes) {
  const bool everybody = w[0] == "crash_all";
  BFTMETA_ASSIGN(const Options more, options(w, everybody ? 1 : 2, {"keep"}));
  BFTMETA_ASSIGN(const Ids ids, replicas(everybody ? "all" : w[1], sizes.n));
  Survival survival = Survival::some;
  if (more.contains("keep")) {
    const std::string& keep = more.at("keep");
    if (keep != "none" && keep != "all" && keep != "some")
      return fail(Errc::malformed, "keep: none, all or some, not '" + keep + "'");
    survival = keep == "none" ? Survival::none : keep == "all" ? Survival::all : Survival::some;
  }
  return always([ids, survival](Cluster& c) {
    for (const Endpoint id : ids) c.host(id).crash(survival);
  });
}

Result<Run> life(const Words& w, const Sizes& sizes) {
  const bool everybody = w[0] == "start_all";
  BFTMETA_TRY(options(w, everybody ? 1 : 2, {}));
  BFTMETA_ASSIGN(const Ids ids, replicas(everybody ? "all" : w[1], sizes.n));
  const bool kill = w[0] == "kill";
  return always([ids, kill](Cluster& c) {
    for (const Endpoint id : ids) kill ? c.host(id).kill() : c.start(id);
  });
}

// Each of them restarts twice, and flushes what client 0 does in between: with `retain 0` their
// logs let go of everything before.
Result<Run> forget(const Words& w, const Sizes& sizes) {
  BFTMETA_TRY(options(w, 2, {}));
  BFTMETA_ASSIGN(const Ids ids, replicas(w[1], sizes.n));
  return Run([ids](Cluster& c) -> Status {
    constexpr int kRounds = 2;  // the second start lets go of what the first one has closed
    constexpr std::uint64_t kPatienceUs = 60'000'000;
    constexpr std::uint64_t kFlushUs = 1'000'000;
    for (int round = 0; round < kRounds; ++round)
      for (const Endpoint id : ids) {
        c.host(id).kill();
        c.start(id);
        c.client(0).add_bundles(10);
        if (!c.run_until([&] { return c.clients_done(); }, kPatienceUs))
          return fail(Errc::internal,
                      "clients wait after a restart of replica " + std::to_string(id));
        c.run_for(kFlushUs);
      }
    return {};
  });
}

Result<Run> clock(const Words& w, const Sizes& sizes) {
  BFTMETA_TRY(options(w, 3, {}));
  BFTMETA_ASSIGN(const Ids ids, replicas(w[1], sizes.n));
  const bool back = w[2].starts_with('-');
  if (!back && !w[2].starts_with('+'))
    return fail(Errc::malformed, "expected +DURATION or -DURATION, not '" + w[2] + "'");
  BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w[2].substr(1)));
  const auto by = static_cast<std::int64_t>(us);
  return always([ids, by, back](Cluster& c) {
    for (const Endpoint id : ids) c.host(id).clock().jump(back ? -by : by);
  });
}

Result<Run> disk(const Words& w, const Sizes& sizes) {
  BFTMETA_TRY(options(w, 3, {}));
  BFTMETA_ASSIGN(const Ids ids, replicas(w[1], sizes.n));
  const std::map<std::string, DiskFault> faults = {{"full", DiskFault::full},
                                                   {"space", DiskFault::space_again},
                                                   {"sync_error", DiskFault::sync_error},
                                                   {"rot", DiskFault::rot},
                                                   {"misdirect", DiskFault::misdirect}};
  if (w[2] == "wipe")
    return Run([ids](Cluster& c) -> Status {
      for (const Endpoint id : ids) {
        if (c.host(id).up() || c.host(id).correct())
          return fail(Errc::malformed,
                      "replica " + std::to_string(id) + " must be down, and not a correct one");
        c.wipe(id);
      }
      return {};
    });
  if (const auto fault = faults.find(w[2]); fault != faults.end())
    return always([ids, what = fault->second](Cluster& c) {
      for (const Endpoint id : ids) c.host(id).log().inject(what);
    });
  BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w[2]));  // how much longer a sync takes
  return always([ids, us](Cluster& c) {
    constexpr std::uint64_t kForEver = ~std::uint64_t{0};
    for (const Endpoint id : ids) c.host(id).slow_disk(us, kForEver);
  });
}

Result<Run> replica_mode(const Words& w, const Sizes& sizes) {
  BFTMETA_TRY(options(w, 3, {}));
  BFTMETA_ASSIGN(const Ids ids, replicas(w[1], sizes.n));
  if (w[0] == "diverge") {
    if (w[2] != "once" && w[2] != "always")
      return fail(Errc::malformed, "diverge SET once|always, not '" + w[2] + "'");
    const auto how = w[2] == "once" ? Host::Diverges::once : Host::Diverges::always;
    return always([ids, how](Cluster& c) {
      for (const Endpoint id : ids) {
        c.host(id).diverge(how);
        c.oracles().known().erring |= 1U << id;
      }
    });
  }
  if (w[0] == "execution") {
    BFTMETA_ASSIGN(const std::uint64_t us, duration_us(w[2]));
    return always([ids, us](Cluster& c) {
      for (const Endpoint id : ids) c.host(id).slow_execution(us);
    });
  }
  if (w[2] == "lost")
    return Run([ids](Cluster& c) -> Status {
      for (const Endpoint id : ids) {
        if (c.host(id).up())
          return fail(Errc::malformed, "replica " + std::to_string(id) + " must be down");
        c.host(id).lose_state();
      }
      return {};
    });
  if (w[2] != "on" && w[2] != "off") return fail(Errc::malformed, "flush: on, off or lost");
  return always([ids, on = w[2] == "on"](Cluster& c) {
    for (const Endpoint id : ids) c.host(id).flush(on);
  });
}

// ---- clients

Result<std::vector<ReplicaId>> receivers(const Options& more, const Sizes& sizes) {
  if (!more.contains("to")) return std::vector<ReplicaId>{};
  BFTMETA_ASSIGN(const Ids ids, replicas(more.at("to"), sizes.n));
  return std::vector<ReplicaId>{ids.begin(), ids.end()};
}

Result<std::function<void(Client&)>> client_action(const Words& w, const Sizes& sizes) {
  using Action = std::function<void(Client&)>;
  const std::string& verb = w[2];
  if (verb == "submit" && w.size() >= 5 && w[3] == "create") {
    BFTMETA_ASSIGN(const Options more, options(w, 5, {"to"}));
    BFTMETA_ASSIGN(const auto to, receivers(more, sizes));
    return Action([to, name = w[4]](Client& c) { c.submit({create(name)}, to); });
  }
  if (verb == "resend") {
    BFTMETA_ASSIGN(const Options more, options(w, 3, {"to"}));
    BFTMETA_ASSIGN(const auto to, receivers(more, sizes));
    return Action([to](Client& c) { c.resend(to); });
  }
  if (verb == "open") {
    BFTMETA_TRY(options(w, 3, {}));
    return Action([](Client& c) { c.open_session(); });
  }
  BFTMETA_TRY(options(w, 4, {}));
  if (verb == "load") {
    BFTMETA_ASSIGN(const std::uint64_t bundles, number(w[3]));
    return Action([bundles](Client& c) { c.add_bundles(static_cast<std::uint32_t>(bundles)); });
  }
  if (verb == "retry" && (w[3] == "on" || w[3] == "off"))
    return Action([on = w[3] == "on"](Client& c) { c.set_retry(on); });
  const std::map<std::string, ReadMode> modes = {
      {"token", ReadMode::token}, {"fresh", ReadMode::fresh}, {"ordered", ReadMode::ordered}};
  if (const auto mode = modes.find(w[3]); verb == "read" && mode != modes.end()) {
    schema::Query query;
    schema::ListDirectory list;
    list.ino = schema::kRootIno;
    list.max_entries = limits::kMaxPageEntries;
    query.body = list;
    return Action([query, m = mode->second](Client& c) { c.read(query, m); });
  }
  return fail(Errc::malformed, "unknown client action '" + verb + " " + w[3] + "'");
}

Result<Run> client(const Words& w, const Sizes& sizes) {
  if (w.size() < 3) return fail(Errc::malformed, "expected 'client N ACTION'");
  BFTMETA_ASSIGN(const Ids ids,
                 endpoints(w[1] == "all" ? "clients" : "c" + w[1], sizes.n, sizes.clients));
  BFTMETA_ASSIGN(const auto action, client_action(w, sizes));
  return always([ids, action](Cluster& c) {
    for (const Endpoint id : ids) action(c.client(id - kFirstClient));
  });
}

// ---- what a Byzantine replica makes up

Result<Run> inject(const Words& w, const Sizes& sizes) {
  BFTMETA_ASSIGN(const Options more, options(w, 3, {"view", "seq", "salt", "body"}));
  BFTMETA_ASSIGN(const Links which, links(w[1], sizes.n, 0));
  BFTMETA_ASSIGN(const std::string type, message_type(w[2]));
  const auto value = [&](const char* key) -> Result<std::uint64_t> {
    if (!more.contains(key)) return 0;
    return number(more.at(key));
  };
  BFTMETA_ASSIGN(const std::uint64_t view, value("view"));
  BFTMETA_ASSIGN(const std::uint64_t seq, value("seq"));
  BFTMETA_ASSIGN(const std::uint64_t salt, value("salt"));
  BFTMETA_ASSIGN(const std::uint64_t body, value("body"));
  if (which.from.size() != 1) return fail(Errc::malformed, "one replica makes a message up");
  const ReplicaId from = which.from.front();
  if (!forgeable(type)) return fail(Errc::malformed, "inject: nobody makes up a " + type);
  return Run([=](Cluster& c) -> Status {
    if (c.oracles().known().standing.at(from) != Standing::byzantine)
      return fail(Errc::malformed, "replica " + std::to_string(from) + " is not Byzantine");
    BFTMETA_ASSIGN(const auto messages, forge(c, {type, from, view, seq, salt, body}));
    for (const messages::PeerMessage& message : messages)
      for (const Endpoint to : which.to)
        if (to != from) c.inject(from, to, message);
    return {};
  });
}

Result<Run> simple(const Words& w, const Sizes&) {
  BFTMETA_TRY(options(w, 1, {}));
  if (w[0] == "heal") return always([](Cluster& c) { c.network().heal(); });
  return always([](Cluster& c) { c.network().clear_rules(); });
}

Result<Run> reconfigure(const Words& w, const Sizes& sizes) {
  BFTMETA_TRY(options(w, 2, {}));
  if (w[1] == "back") return always([](Cluster& c) { c.take_back(); });
  if (w[1] == "replayed")
    return Run([](Cluster& c) -> Status {
      if (c.replay_statement()) return {};
      return fail(Errc::malformed, "the admins have stated nothing yet");
    });
  BFTMETA_ASSIGN(const std::uint64_t n, number(w[1]));
  if (n > sizes.n)
    return fail(Errc::malformed, "there are " + std::to_string(sizes.n) + " replicas");
  return always([n](Cluster& c) { c.reconfigure(static_cast<std::uint32_t>(n)); });
}

}  // namespace

Result<Run> parse_command(const Words& words, std::uint32_t n, std::uint32_t clients) {
  using Parse = Result<Run> (*)(const Words&, const Sizes&);
  static const std::map<std::string, Parse> kCommands = {{"run", run},
                                                         {"tick_to", tick_to},
                                                         {"expect", expect},
                                                         {"until", until},
                                                         {"cut", link_change},
                                                         {"mend", link_change},
                                                         {"stall", link_change},
                                                         {"flow", link_change},
                                                         {"drop", rule},
                                                         {"delay", rule},
                                                         {"network", network},
                                                         {"crash", crash},
                                                         {"crash_all", crash},
                                                         {"start", life},
                                                         {"start_all", life},
                                                         {"kill", life},
                                                         {"forget", forget},
                                                         {"clock", clock},
                                                         {"disk", disk},
                                                         {"flush", replica_mode},
                                                         {"execution", replica_mode},
                                                         {"diverge", replica_mode},
                                                         {"client", client},
                                                         {"inject", inject},
                                                         {"reconfigure", reconfigure},
                                                         {"heal", simple},
                                                         {"undrop", simple}};
  const auto command = kCommands.find(words.front());
  if (command == kCommands.end())
    return fail(Errc::malformed, "unknown command '" + words.front() + "'");
  return command->second(words, {n, clients});
}

std::vector<schema::Operation> simple_bundle(Random& random) {
  return {create("f" + std::to_string(random.below(100'000)))};
}

}  // namespace bftmeta::sim::scenario
