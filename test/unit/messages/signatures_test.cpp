// Signatures of one message are worth nothing for another (T1.5), and votes are counted once
// (T1.2).
#include <doctest/doctest.h>

#include <bit>
#include <functional>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

struct SignedType {
  const char* name;
  Signature signature;
  std::function<bool(const Signature&)> verify;
};

// All signed by replica 1's key, so that only the preimage can tell them apart. Replica 1 is the
// primary of views 1 and 5 and a backup in view 0.
std::vector<SignedType> signed_types(const Cluster& c) {
  const crypto::Signer& key = *c.replicas[1];
  const config::Config& config = c.config();
  const crypto::Verifier& v = c.verifier;
  const crypto::Context context = c.context;
  const Proposal led{1, 6, pattern(1)};
  const Proposal followed{0, 6, pattern(1)};
  const CertBody body = sample_body(c, 6);
  const ViewChange vc = sample_view_change(c);
  const NewView nv = sample_new_view(c);
  const Bundle bundle = sample_bundle(c);
  const SessionOpen open = sample_open(c);
  const Item request = sign_bundle(key, context.cluster_id, bundle);
  const Item opening = sign_session_open(key, context.cluster_id, open);
  const Item readiness = sign_ready(key, context.cluster_id, sample_ready(c));
  const Bytes statement = to_bytes("admin statement");
  const crypto::Context admin_context{context.cluster_id, 0};

  std::vector<SignedType> types;
  types.push_back({"PRE-PREPARE", sign_pre_prepare(key, context, led), [&, led](const auto& s) {
                     return verify_pre_prepare(v, c.context, config, led, s);
                   }});
  types.push_back(
      {"PREPARE", sign_prepare(key, context, followed, 1).signature, [&, followed](const auto& s) {
         return verify_prepare(v, c.context, config, {followed, 1, s});
       }});
  types.push_back({"ROOT-SHARE", sign_share(key, body, 1).signature, [&, body](const auto& s) {
                     return verify_share(v, config, {body, 1, s});
                   }});
  types.push_back({"VIEW-CHANGE", vc.signature, [&, vc](const auto& s) {
                     ViewChange x = vc;
                     x.signature = s;
                     return verify_view_change(v, c.context, config, x).has_value();
                   }});
  types.push_back({"NEW-VIEW", nv.signature, [&, nv](const auto& s) {
                     NewView x = nv;
                     x.signature = s;
                     return verify_new_view(v, c.context, config, x).has_value();
                   }});
  const auto item = [&](const Item& i) {
    return [&, i](const auto& s) {
      Item x = i;
      x.signature = s;
      return verify_item(v, c.context.cluster_id, x, key.public_key());
    };
  };
  types.push_back({"REQUEST", request.signature, item(request)});
  types.push_back({"SESSION-OPEN", opening.signature, item(opening)});
  types.push_back({"CONFIG-READY", readiness.signature, item(readiness)});
  types.push_back({"ADMIN", key.sign(tags::kAdmin, admin_context, statement),
                   [&, statement, admin_context](const auto& s) {
                     return v.verify(key.public_key(), tags::kAdmin, admin_context, statement, s);
                   }});
  return types;
}

}  // namespace

TEST_CASE("T1.5 no signed type's signature passes for another type") {
  const Cluster c(4);
  const auto types = signed_types(c);
  for (const SignedType& from : types)
    for (const SignedType& to : types) {
      CAPTURE(from.name);
      CAPTURE(to.name);
      CHECK(to.verify(from.signature) == (&from == &to));
    }
}

TEST_CASE("T1.5 the same body under every pair of tags and contexts") {
  const Cluster c(4);
  const crypto::Signer& key = *c.replicas[1];
  const Bytes body = encode(Proposal{1, 6, pattern(1)});
  for (const tags::Tag& from : tags::kAll) {
    const Signature s = key.sign(from, c.context, body);
    for (const tags::Tag& to : tags::kAll)
      CHECK(c.verifier.verify(key.public_key(), to, c.context, body, s) == (from == to));
    CHECK_FALSE(c.verifier.verify(key.public_key(), from, {pattern(7), 0}, body, s));
    CHECK_FALSE(c.verifier.verify(key.public_key(), from, {c.context.cluster_id, 1}, body, s));
  }
}

TEST_CASE("a PREPARE signature is bound to its sender, and no primary prepares") {
  const Cluster c(4);
  const Proposal p{0, 6, pattern(1)};
  const Prepare good = sign_prepare(*c.replicas[2], c.context, p, 2);
  CHECK(verify_prepare(c.verifier, c.context, c.config(), good));
  for (ReplicaId r : {0U, 1U, 3U, 4U, 64U}) {
    Prepare x = good;
    x.replica = r;
    CHECK_FALSE(verify_prepare(c.verifier, c.context, c.config(), x));
  }
  const Prepare own = sign_prepare(*c.replicas[0], c.context, p, 0);
  CHECK_FALSE(verify_prepare(c.verifier, c.context, c.config(), own));
}

TEST_CASE("T1.2 prepared: every subset of votes against the definition") {
  for (const std::uint32_t n : {4U, 7U}) {
    const Cluster c(n);
    const std::uint32_t f = c.config().f();
    for (const View view : {0ULL, 1ULL, 5ULL}) {
      const std::uint32_t primary = c.config().primary(view);
      for (std::uint32_t bits = 0; bits < (1U << n); ++bits) {
        const bool expected =
            std::popcount(bits) == static_cast<int>(2 * f) && (bits >> primary & 1) == 0;
        const PreparedCert p = c.prepared({view, 9, pattern(4)}, bits);
        if (verify_prepared(c.verifier, c.context, c.config(), p) != expected)
          FAIL("n=", n, " view=", view, " votes=", bits);
      }
    }
  }
}

TEST_CASE("T1.2 prepared: a vote that is missing, doubled, foreign, moved or broken") {
  for (const std::uint32_t n : {4U, 7U}) {
    const Cluster c(n);
    const PreparedCert good = c.prepared({0, 9, pattern(4)}, c.backups_bitmap(0));
    const auto holds = [&](const PreparedCert& p) {
      return verify_prepared(c.verifier, c.context, c.config(), p);
    };
    REQUIRE(holds(good));
    PreparedCert x = good;
    x.signatures.pop_back();
    CHECK_FALSE(holds(x));
    x = good;
    x.signatures.push_back(x.signatures[0]);
    CHECK_FALSE(holds(x));
    x = good;
    x.signatures[1] = x.signatures[0];
    CHECK_FALSE(holds(x));
    x = good;
    std::swap(x.signatures[0], x.signatures[1]);
    CHECK_FALSE(holds(x));
    x = good;
    x.backups = (x.backups & (x.backups - 1)) | 1U << n;  // a replica that is no member
    CHECK_FALSE(holds(x));
    x = good;
    x.primary_signature = x.signatures[0];
    CHECK_FALSE(holds(x));
    for (std::size_t i = 0; i < good.signatures.size(); ++i) {
      x = good;
      x.signatures[i][5] ^= 1;
      CHECK_FALSE(holds(x));
    }
    x = good;
    x.proposal.digest[0] ^= 1;
    CHECK_FALSE(holds(x));
    x = good;
    x.proposal.seq += 1;
    CHECK_FALSE(holds(x));
    x = good;
    x.proposal.view += n;  // the same primary, another view
    CHECK_FALSE(holds(x));
  }
}

TEST_CASE("T1.8 a client's signature does not name the epoch") {
  const Cluster now(4);
  const Item item = sign_bundle(*now.clients[0], now.context.cluster_id, sample_bundle(now));
  // The same cluster in a later epoch: same id, another context for replicas.
  const crypto::Context later{now.context.cluster_id, 7};
  Batch batch;
  batch.seq = 3;
  batch.time_us = 1;
  batch.items = {item};
  CHECK(parse_batch(later, batch).has_value());
  CHECK(verify_item(now.verifier, later.cluster_id, item, now.clients[0]->public_key()));
  CHECK(batch_digest(later, batch) != batch_digest(now.context, batch));
}
