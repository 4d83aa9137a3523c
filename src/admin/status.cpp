#include "admin/cluster.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  bool exit_code = false;
  std::uint32_t timeout_ms = 2000;
};

Result<ExitCode> run(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  const ClusterStatus status = ask_status(*client, std::chrono::milliseconds(o.timeout_ms));
  if (status.answered == 0) {
    // The links know whether it is the key.
    const Status ready = client->wait_ready(std::chrono::milliseconds(0));
    if (!ready && ready.error().code == Errc::permission) return tl::make_unexpected(ready.error());
    return fail(Errc::unreachable, "cluster '" + client->genesis().name +
                                       "': no replica answers; are they running, and is this "
                                       "client's key registered?");
  }
  print(globals.output, status_report(status));
  return o.exit_code ? status_exit_code(status.health) : ExitCode::ok;
}

}  // namespace

Run declare_status(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  syntax.flag("--exit-code", o->exit_code,
              "Exit with 5 when degraded, 3 when fewer than 2f+1 replicas answer");
  syntax.option("--timeout-ms", o->timeout_ms, "How long to wait for a silent replica")
      .between(50, 60000)
      .show_default();
  return [=, &globals] { return run(*o, globals); };
}

}  // namespace bftmeta::admin
