#include "client/core.hpp"

#include <bit>

namespace bftmeta::client {

schema::Caller own_caller(const Options& options) {
  schema::Caller caller;
  for (const config::Client& c : options.genesis.clients) {
    if (c.sign_key != options.signer->public_key()) continue;
    caller.uid = c.rules.uid_first;
    caller.gid = c.rules.gid;
  }
  return caller;
}

std::optional<std::string> turned_away(const config::Config& config, ReplicaSet refused) {
  const auto count = static_cast<std::uint32_t>(std::popcount(refused));
  if (count < config.weak_quorum()) return std::nullopt;
  return std::to_string(count) + " of " + std::to_string(config.n()) +
         " replicas refuse the link key of this client; is the client registered there, or are "
         "its keys those of another cluster?";
}

void Core::blame(ReplicaId replica, messages::Seq seq, const Error& why, ByteView evidence,
                 Micros now) {
  replicas.blacklist(replica, now);
  if (!options.on_fault) return;
  ready.emplace_back([this, fault = Fault{replica, seq, why.message, to_bytes(evidence)}] {
    options.on_fault(fault);
  });
}

std::uint64_t Core::agreed_time(const Now& now) const {
  const messages::RootCert* newest = certificates.newest();
  return newest == nullptr ? now.wall : std::max(now.wall, newest->body.time_us);
}

}  // namespace bftmeta::client
