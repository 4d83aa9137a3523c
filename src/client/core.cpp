#include "client/core.hpp"

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
