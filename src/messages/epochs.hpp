// EPOCHS: what a replica answers to a frame of an epoch that is over, to peers and clients alike,
// under the epoch that the frame was of. It proves itself (protocol §9.3). Thread-safety: plain
// values.
#pragma once

#include "messages/certificate.hpp"

namespace bftmeta::messages {

struct Epochs {
  // One step at least; the first ends the epoch of the frame that is answered.
  std::vector<EpochStep> steps;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("steps", s.steps, Cap{limits::kMaxEpochSteps});
  }
  friend bool operator==(const Epochs&, const Epochs&) = default;
};

}  // namespace bftmeta::messages
