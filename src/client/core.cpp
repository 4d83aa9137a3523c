#include "client/core.hpp"

#include <bit>

#include "base/assert.hpp"

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

std::optional<std::string> turned_away(std::uint32_t n, ReplicaSet refused) {
  const auto count = static_cast<std::uint32_t>(std::popcount(refused));
  if (count <= (n - 1) / 3) return std::nullopt;
  return std::to_string(count) + " of " + std::to_string(n) +
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

Renumbering Core::follow(const config::Config& before) {
  const config::Config& config = certificates.anchor().config;
  Renumbering moved(before, config);
  context.epoch = config.epoch;
  replicas.follow(moved);
  port.follow(config);
  return moved;
}

Bytes Core::reframed(std::uint64_t before, ByteView frame) const {
  const auto message = messages::decode_client_frame({context.cluster_id, before}, frame);
  BFTMETA_ASSERT(message.has_value());  // it was encoded here
  return messages::encode_frame(context, *message);
}

std::uint64_t Core::agreed_time(const Now& now) const {
  const messages::RootCert* newest = certificates.newest();
  return newest == nullptr ? now.wall : std::max(now.wall, newest->body.time_us);
}

}  // namespace bftmeta::client
