// How far a state transfer is, how fast it goes, and when it may end. Thread-safety: one thread.
#pragma once

#include "messages/client.hpp"
#include "transfer/receiver.hpp"

namespace bftmeta::replica {

class TransferMeter {
 public:
  // A transfer begins, from a tree of so many leaves.
  void begin(std::uint64_t leaves, std::uint64_t now_us);
  messages::TransferProgress progress(const transfer::Receiver& receiver,
                                      std::uint64_t now_us) const;

 private:
  std::uint64_t began_us_ = 0;
  std::uint64_t first_leaves_ = 0;
};

// One line for the operator.
std::string to_string(const messages::TransferProgress& progress);

}  // namespace bftmeta::replica
