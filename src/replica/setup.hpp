// What bftmetad is started with. Thread-safety: plain values.
#pragma once

#include <functional>

#include "config/cards.hpp"
#include "config/settings.hpp"
#include "consensus/interceptor.hpp"
#include "crypto/link_key.hpp"

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
};

}  // namespace bftmeta::replica
