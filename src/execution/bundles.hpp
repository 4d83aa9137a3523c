// What becomes of one bundle (protocol §8.2): the checks in their order, then its operations, one
// by one or all or nothing. Thread-safety: one thread.
#pragma once

#include "execution/sessions.hpp"
#include "namespace/context.hpp"

namespace bftmeta::execution {

struct Answer {
  Bytes result;             // encoded schema::BundleResult
  bool first_time = false;  // decided now, as opposed to stored or not decided
};

class Bundles {
 public:
  // `context` is that of the batch: without session and rules, which each bundle brings.
  Bundles(State& state, Sessions& sessions, const BatchClock& clock, const ns::Context& context)
      : state_(state), sessions_(sessions), clock_(clock), context_(context) {}

  Answer run(const messages::Bundle& bundle, const Hash& request_digest);

 private:
  Answer stored_answer(const messages::Bundle& bundle, const schema::Session& session,
                       const Hash& request_digest);
  // What operations do to sessions; it takes place after the bundle.
  struct Effects {
    bool close = false;
    std::vector<PublicKey> removed;  // principals
  };
  schema::BundleResult run_operations(const messages::Bundle& bundle,
                                      const config::ClientRules& rules, Effects& effects);

  State& state_;
  Sessions& sessions_;
  const BatchClock& clock_;
  const ns::Context& context_;
};

}  // namespace bftmeta::execution
