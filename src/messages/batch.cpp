#include "messages/batch.hpp"

#include <set>

#include "base/mutant.hpp"

namespace bftmeta::messages {

namespace {

Hash body_hash(ItemKind kind, ByteView body) {
  return crypto::Hasher(tags::Domain::request_body)
      .update_u8(static_cast<std::uint8_t>(kind))
      .update(body)
      .finish();
}

Item sign_item(const crypto::Signer& signer, const Hash& cluster_id, ItemKind kind, Bytes body) {
  Item item;
  item.kind = kind;
  item.signature = signer.sign(item_preimage(cluster_id, kind, body));
  item.body = std::move(body);
  return item;
}

}  // namespace

bool valid_value(ItemKind k) { return k <= ItemKind::ready; }
bool valid_value(BatchFlags f) { return f <= BatchFlags::config; }

Hash Item::digest() const {
  return crypto::Hasher(tags::Domain::request)
      .update_u8(static_cast<std::uint8_t>(kind))
      .update(body)
      .update(signature)
      .finish();
}

Result<ParsedItem> parse_item(const Item& item) {
  ParsedItem parsed;
  parsed.digest = item.digest();
  switch (item.kind) {
    case ItemKind::bundle: {
      BFTMETA_ASSIGN(Bundle bundle, decode<Bundle>(item.body, "bundle"));
      if (bundle.operations.empty()) return fail(Errc::malformed, "bundle: no operation");
      if (bundle.bundle_no == 0) return fail(Errc::malformed, "bundle: numbers count from 1");
      if ((bundle.flags & ~bundle_flags::kKnown) != 0)
        return fail(Errc::malformed, "bundle: unknown flag");
      parsed.client = bundle.client;
      parsed.body = std::move(bundle);
      return parsed;
    }
    case ItemKind::session_open: {
      BFTMETA_ASSIGN(const SessionOpen open, decode<SessionOpen>(item.body, "session open"));
      parsed.client = open.client;
      parsed.body = open;
      return parsed;
    }
    case ItemKind::ready: {
      BFTMETA_ASSIGN(const Ready ready, decode<Ready>(item.body, "ready"));
      parsed.client = ready.vote_key;
      parsed.body = ready;
      return parsed;
    }
    case ItemKind::reserved: break;
  }
  return fail(Errc::malformed, "item: reserved kind");
}

Bytes item_preimage(const Hash& cluster_id, ItemKind kind, ByteView body) {
  const tags::Tag& tag = kind == ItemKind::session_open ? tags::kSessionOpen
                         : kind == ItemKind::ready      ? tags::kReady
                                                        : tags::kRequest;
  return crypto::preimage(tag, {cluster_id, 0}, body_hash(kind, body));
}

bool verify_item(const crypto::Verifier& verifier, const Hash& cluster_id, const Item& item,
                 const PublicKey& client) {
  return verifier.verify(client, item_preimage(cluster_id, item.kind, item.body), item.signature);
}

Item sign_bundle(const crypto::Signer& signer, const Hash& cluster_id, const Bundle& bundle) {
  return sign_item(signer, cluster_id, ItemKind::bundle, encode(bundle));
}

Item sign_session_open(const crypto::Signer& signer, const Hash& cluster_id,
                       const SessionOpen& open) {
  return sign_item(signer, cluster_id, ItemKind::session_open, encode(open));
}

Item sign_ready(const crypto::Signer& signer, const Hash& cluster_id, const Ready& ready) {
  return sign_item(signer, cluster_id, ItemKind::ready, encode(ready));
}

Hash open_digest(const SessionOpen& open) {
  return crypto::hash_of(tags::Domain::session_open, open);
}

Batch Batch::null(Seq seq) {
  Batch b;
  b.seq = seq;
  b.flags = BatchFlags::null;
  return b;
}

namespace {

Hash digest_of(const crypto::Context& context, const Batch& batch,
               const std::vector<Hash>& item_digests) {
  crypto::Hasher items(tags::Domain::batch_items);
  for (const Hash& d : item_digests) items.update(d);
  const Hash items_hash = items.finish();
  return crypto::Hasher(tags::Domain::batch)
      .update(context.cluster_id)
      .update_u64(context.epoch)
      .update_u64(batch.seq)
      .update_u64(batch.time_us)
      .update_u8(static_cast<std::uint8_t>(batch.flags))
      .update(items_hash)
      .finish();
}

}  // namespace

Hash batch_digest(const crypto::Context& context, const Batch& batch) {
  std::vector<Hash> digests;
  digests.reserve(batch.items.size());
  for (const Item& item : batch.items) digests.push_back(item.digest());
  return digest_of(context, batch, digests);
}

Result<ParsedBatch> parse_batch(const crypto::Context& context, Batch batch) {
  if (batch.flags == BatchFlags::config) return fail(Errc::malformed, "batch: reserved flag");
  if (batch.flags == BatchFlags::null && (batch.time_us != 0 || !batch.items.empty()))
    return fail(Errc::malformed, "batch: a null batch has no time and no items");
  ParsedBatch parsed;
  parsed.bytes = encoded_size(batch);
  if (parsed.bytes > limits::kMaxBatchBytes) return fail(Errc::limit, "batch: too long");
  std::set<Hash> digests;
  std::vector<Hash> in_order;
  std::size_t operations = 0;
  std::uint64_t cost = 0;
  for (const Item& item : batch.items) {
    BFTMETA_ASSIGN(ParsedItem p, parse_item(item));
    if (!digests.insert(p.digest).second && !mutant(Mutant::duplicate_items_accepted))
      return fail(Errc::malformed, "batch: an item stands twice");
    if (const Bundle* bundle = p.bundle()) {
      operations += bundle->operations.size();
      for (const schema::Operation& op : bundle->operations) cost += schema::cost_of(op);
    }
    in_order.push_back(p.digest);
    parsed.items.push_back(std::move(p));
  }
  if (operations > limits::kMaxOpsPerBatch) return fail(Errc::limit, "batch: too many operations");
  if (cost > kMaxBatchCost) return fail(Errc::limit, "batch: too costly");
  parsed.digest = digest_of(context, batch, in_order);
  parsed.batch = std::move(batch);
  return parsed;
}

}  // namespace bftmeta::messages
