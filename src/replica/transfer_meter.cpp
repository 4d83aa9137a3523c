#include "replica/transfer_meter.hpp"

namespace bftmeta::replica {

void TransferMeter::begin(std::uint64_t leaves, std::uint64_t now_us) {
  began_us_ = now_us;
  first_leaves_ = leaves;
}

// How long it goes on is known only to a replica that began with little: of a stale tree nobody can
// tell how much of it is the target's before that is compared.
messages::TransferProgress TransferMeter::progress(const transfer::Receiver& receiver,
                                                   std::uint64_t now_us) const {
  messages::TransferProgress p;
  p.running = true;
  if (const auto& target = receiver.target()) p.target = target->cert.body.seq;
  p.leaves = receiver.leaves();
  p.target_leaves = receiver.target_leaves();
  p.received_bytes = receiver.received_bytes();
  if (now_us <= began_us_) return p;
  const auto elapsed = static_cast<double>(now_us - began_us_);
  p.bytes_per_second =
      static_cast<std::uint64_t>(static_cast<double>(p.received_bytes) * 1e6 / elapsed);
  const bool began_empty = first_leaves_ < p.target_leaves / 8;
  if (began_empty && p.leaves > first_leaves_ && p.leaves <= p.target_leaves)
    p.left_us =
        static_cast<std::uint64_t>(elapsed * static_cast<double>(p.target_leaves - p.leaves) /
                                   static_cast<double>(p.leaves - first_leaves_));
  return p;
}

std::string to_string(const messages::TransferProgress& p) {
  std::string line = "fetches the state";
  if (p.target != 0) line += " of sequence number " + std::to_string(p.target);
  line += ": " + std::to_string(p.received_bytes) + " bytes, " +
          std::to_string(p.bytes_per_second) + " a second";
  if (p.target_leaves != 0)
    line += "; has " + std::to_string(p.leaves) + " leaves, that state has " +
            std::to_string(p.target_leaves);
  if (p.left_us != messages::kUnknownUs)
    line += "; about " + std::to_string(p.left_us / 1'000'000) + " s left";
  return line;
}

}  // namespace bftmeta::replica
