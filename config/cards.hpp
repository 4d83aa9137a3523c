// Public cards: what `bftadm keygen` hands out and `bftadm genesis` assembles. A card holds public
// keys only; whoever assembles compares fingerprints with the owner. Thread-safety: plain values.
#pragma once

#include <variant>

#include "config/genesis.hpp"

namespace bftmeta::config {

struct ReplicaCard {  // the id is given by the order of the cards in the genesis
  PublicKey vote_key{};
  PublicKey link_key{};
  std::string host;
  std::uint16_t port = 0;  // first of a block of four

  friend bool operator==(const ReplicaCard&, const ReplicaCard&) = default;
};

using Card = std::variant<ReplicaCard, Admin, Client>;

}  // namespace bftmeta::config
