#include "sim/reference.hpp"

namespace bftmeta::sim {

Reference::Reference(const config::Genesis& genesis, const crypto::Verifier& verifier)
    : model_(genesis, verifier) {}

std::string Reference::compare(const messages::ParsedBatch& batch,
                               const messages::BatchHeader& header) {
  ++batches_;
  const messages::BatchHeader expected = model_.step(batch).header;
  if (expected == header) return {};
  const char* field = expected.time_us != header.time_us         ? "agreed time"
                      : expected.reply_root != header.reply_root ? "reply root"
                      : expected.state_root != header.state_root ? "state root"
                                                                 : "header";
  return "sequence number " + std::to_string(header.seq) + ": the " + field +
         " is not that of the naive model; the model has " + print(expected) + ", production " +
         print(header);
}

}  // namespace bftmeta::sim
