// S7: the naive models of test/model run beside the first executor, batch by batch: equal results,
// equal state root. What the models say is computed from the batches alone. Thread-safety: one
// thread.
#pragma once

#include "model/execution.hpp"

namespace bftmeta::sim {

class Reference {
 public:
  explicit Reference(const config::Genesis& genesis, const crypto::Verifier& verifier);

  // The next batch in order. A sentence that says what differs; empty: nothing.
  std::string compare(const messages::ParsedBatch& batch, const messages::BatchHeader& header);
  std::uint64_t batches() const { return batches_; }

 private:
  test::ExecutionModel model_;
  std::uint64_t batches_ = 0;
};

}  // namespace bftmeta::sim
