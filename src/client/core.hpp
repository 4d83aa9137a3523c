// What the parts of the engine share: whom to send to, what is certified, what is to be called when
// the turn is over. The engine has no clock, thread or socket; its driver (io_thread.hpp, or a
// test) brings time and messages and runs `ready` after each turn, so that no callback runs in the
// middle of a change. Thread-safety: one thread.
#pragma once

#include <bftmeta/client.hpp>

#include "client/replica_table.hpp"
#include "messages/frame.hpp"
#include "verify/reply.hpp"

namespace bftmeta::client {

// `mono` never jumps and counts while the machine sleeps; `wall` is for valid_until alone.
struct Now {
  Micros mono = 0;
  std::uint64_t wall = 0;
};

constexpr Micros kNever = ~Micros{0};

class Port {
 public:
  virtual ~Port() = default;
  // May be lost; never blocks.
  virtual void send(ReplicaId to, ByteView message) = 0;
  virtual ReplicaSet connected() const = 0;
  // Those that do not know this client's link key, as far as is known.
  virtual ReplicaSet refused() const { return 0; }
  // From here on replica r is member r of `config`. Never called while messages are handed over.
  virtual void follow(const config::Config& config) = 0;
};

// "Tell me a sequence number that covers all that completed before now": what a linearizable read
// waits for.
struct Barrier {
  std::function<void(Result<messages::Seq>, const Now&)> done;
  Micros deadline = 0;
};

// Why nobody answers, when it is that more than f of the n = 3f + 1 replicas refuse the link key.
std::optional<std::string> turned_away(std::uint32_t n, ReplicaSet refused);

// On whose behalf the library itself asks: somebody whom this client may speak for.
schema::Caller own_caller(const Options& options);

struct Core {
  Core(const Options& o, const crypto::Verifier& verifier, Port& p, std::uint64_t seed)
      : options(o),
        certificates(verifier, verify::TrustAnchor::of(o.genesis)),
        replicas(certificates.anchor().config, seed),
        port(p),
        context{certificates.anchor().cluster_id, certificates.anchor().config.epoch},
        timeout(static_cast<Micros>(o.timeout.count()) * 1000),
        first_request(seed) {}

  void send(ReplicaId to, const messages::ClientMessage& message) {
    port.send(to, messages::encode_frame(context, message));
  }
  void send_all(ByteView frame) {
    for (ReplicaId r = 0; r < replicas.n(); ++r) port.send(r, frame);
  }
  // A verified defect: this replica, or the path to it, is faulty. Never asked again for a while.
  void blame(ReplicaId replica, messages::Seq seq, const Error& why, ByteView evidence, Micros now);
  // The certificates went on to another epoch than `before`: so do context, table and port.
  Renumbering follow(const config::Config& before);
  // The message of a frame of the epoch `before`, as a frame of this one.
  Bytes reframed(std::uint64_t before, ByteView frame) const;
  // Of an epoch that is over, and not known from then: it proves nothing to this client, though its
  // sender may be merely late.
  bool outdated(const messages::RootCert& cert) const {
    return cert.body.epoch < context.epoch && certificates.find(cert.body.seq) == nullptr;
  }
  // Agreed time is what replicas judge valid_until by; the newest certificate bounds it from below.
  std::uint64_t agreed_time(const Now& now) const;

  const Options& options;
  verify::Certificates certificates;
  ReplicaTable replicas;
  Port& port;
  crypto::Context context;  // of the epoch that this client has been led to
  const Micros timeout;
  // Ids of requests begin at a random number: what a replica still answers to the last client with
  // this link key may come to this one, and must not be taken for a lie.
  const std::uint64_t first_request;
  Latency bundles;  // submit to verified reply, without retransmission
  std::vector<std::function<void()>> ready;
};

}  // namespace bftmeta::client
