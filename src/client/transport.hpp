// How the driver reaches the replicas: one link to each. A seam, so that tests put replicas that
// lie in its place. Thread-safety: wake() from any thread; everything else from the driver's
// thread.
#pragma once

#include <functional>
#include <memory>

#include "client/core.hpp"

namespace bftmeta::client {

class Transport : public Port {
 public:
  using Sink = std::function<void(ReplicaId from, ByteView message)>;

  // Until something may have arrived, wake() was called, or `timeout` is over.
  virtual void wait(Micros timeout) = 0;
  virtual void receive(const Sink& sink) = 0;
  // Hands over what was sent since the last call.
  virtual void flush() = 0;
  virtual void wake() = 0;
};

// ZeroMQ with CURVE, as the genesis and the options say. Errors: as net::ClientLink::open.
Result<std::unique_ptr<Transport>> connect_transport(const Options& options);

// Client::connect over any transport.
Result<std::unique_ptr<Client>> connect_over(Options options, std::unique_ptr<Transport> transport);

}  // namespace bftmeta::client
