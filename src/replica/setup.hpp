// What bftmetad is started with. Thread-safety: plain values.
#pragma once

#include <functional>

#include "config/cards.hpp"
#include "config/settings.hpp"
#include "consensus/interceptor.hpp"
#include "crypto/link_key.hpp"
#include "refill/refill.hpp"

namespace bftmeta::replica {

struct Setup {
  config::ReplicaSettings settings;
  config::Genesis genesis;
  std::unique_ptr<crypto::Ed25519Signer> signer;  // the vote key
  crypto::LinkKey link_key;
  std::optional<config::ReplicaCard> card;  // of who may be no member yet: where it listens
  std::unique_ptr<consensus::Interceptor> interceptor;  // nullptr: a correct replica
  // Of the blocks that its block port serves; empty: a correct replica. On the port's thread.
  std::function<void(Bytes& content)> bend_block;
  // By the life of this process in the last epoch: its blocks, with the state of its last batch.
  std::optional<refill::Rest> block_rest;
};

}  // namespace bftmeta::replica
