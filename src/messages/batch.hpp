// What clients sign and what a batch is made of (protocol §1.3, §2; architecture §5). A batch is a
// list of tagged items under one digest rule; bodies always travel inline. Thread-safety: plain
// values.
#pragma once

#include "crypto/signer.hpp"
#include "schema/operations.hpp"

namespace bftmeta::messages {

using ReplicaId = std::uint32_t;
using View = std::uint64_t;
using Seq = std::uint64_t;

namespace bundle_flags {
constexpr std::uint8_t kAllOrNothing = 1;
constexpr std::uint8_t kKnown = 1;
}  // namespace bundle_flags

// A client's signed list of operations, numbered from 1 within its session.
struct Bundle {
  Id16 session_id{};
  PublicKey client{};  // sign key; who owns the session is checked at execution
  std::uint64_t bundle_no = 0;
  std::uint64_t ack_upto = 0;  // results up to this number may be dropped
  std::uint64_t valid_until_us = 0;
  std::uint8_t flags = 0;
  std::vector<schema::Operation> operations;  // 1..kMaxOpsPerBundle

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("session_id", s.session_id);
    v.field("client", s.client);
    v.field("bundle_no", s.bundle_no);
    v.field("ack_upto", s.ack_upto);
    v.field("valid_until_us", s.valid_until_us);
    v.field("flags", s.flags);
    v.field("operations", s.operations, Cap{limits::kMaxOpsPerBundle});
  }
  friend bool operator==(const Bundle&, const Bundle&) = default;
};

struct SessionOpen {
  PublicKey client{};
  Id16 nonce{};
  std::uint64_t valid_until_us = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("client", s.client);
    v.field("nonce", s.nonce);
    v.field("valid_until_us", s.valid_until_us);
  }
  friend bool operator==(const SessionOpen&, const SessionOpen&) = default;
};

// CONFIG-READY: a member of the next configuration has the state and can begin (protocol §9.2).
struct Ready {
  Hash proposal{};  // schema::proposal_hash of the pending change
  PublicKey vote_key{};
  Seq seq = 0;  // of the state that it has

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("vote_key", s.vote_key);
    v.field("seq", s.seq);
  }
  friend bool operator==(const Ready&, const Ready&) = default;
};

enum class ItemKind : std::uint8_t {
  bundle = 0,
  session_open = 1,
  reserved = 2,  // a batch with one is invalid
  ready = 3,     // signed with the vote key that it names
};
bool valid_value(ItemKind k);

// One item of a batch: the encoded body and the client's signature over
// tag || cluster_id || epoch 0 || H(0x17 || kind || body).
struct Item {
  ItemKind kind = ItemKind::bundle;
  Bytes body;
  Signature signature{};

  // request_digest: covers the signature too (protocol §1.3).
  Hash digest() const;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("kind", s.kind);
    v.field("body", s.body, Cap{limits::kMaxBundleBytes});
    v.field("signature", s.signature);
  }
  friend bool operator==(const Item&, const Item&) = default;
};

// An item whose body decoded and which passed the static rules (caps, flags, cost); the signature
// is checked separately because it is expensive.
struct ParsedItem {
  Hash digest{};
  PublicKey client{};  // who signed it; of a READY, the vote key
  std::variant<Bundle, SessionOpen, Ready> body;

  const Bundle* bundle() const { return std::get_if<Bundle>(&body); }
  const SessionOpen* session_open() const { return std::get_if<SessionOpen>(&body); }
  const Ready* ready() const { return std::get_if<Ready>(&body); }
};

// What executed state says of an item that wants into the queue. Never a reason to refuse a
// PREPARE.
enum class Admission : std::uint8_t {
  accept,         // a batch that orders it in its turn decides it
  done,           // executed already: the stored result is the answer
  no_session,     // unknown session, or of another key
  out_of_window,  // bundle_no beyond what a session may have in flight
  expired,        // valid_until is past
};

// Pure function of the bytes: what every correct replica accepts or refuses alike (protocol §2.1).
Result<ParsedItem> parse_item(const Item& item);

// The bytes that the client signs; see Item.
Bytes item_preimage(const Hash& cluster_id, ItemKind kind, ByteView body);
bool verify_item(const crypto::Verifier& verifier, const Hash& cluster_id, const Item& item,
                 const PublicKey& client);
Item sign_bundle(const crypto::Signer& signer, const Hash& cluster_id, const Bundle& bundle);
Item sign_session_open(const crypto::Signer& signer, const Hash& cluster_id,
                       const SessionOpen& open);
Item sign_ready(const crypto::Signer& signer, const Hash& cluster_id, const Ready& ready);
// H(0x13 || body) without the signature: its owner can sign the same body in many ways (§1.5).
Hash open_digest(const SessionOpen& open);

// Execution time of a batch is bounded by a static cost (protocol §8.4): a full batch of ordinary
// operations fits, a batch of only the dearest ones does not.
constexpr std::uint64_t kMaxBatchCost = 8 * limits::kMaxOpsPerBatch;

enum class BatchFlags : std::uint8_t { normal = 0, null = 1, config = 2 };
bool valid_value(BatchFlags f);

struct Batch {
  Seq seq = 0;
  std::uint64_t time_us = 0;  // proposed agreed time; 0 in a null batch
  BatchFlags flags = BatchFlags::normal;
  std::vector<Item> items;

  static Batch null(Seq seq);

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("time_us", s.time_us);
    v.field("flags", s.flags);
    v.field("items", s.items, Cap{limits::kMaxBundlesPerBatch});
  }
  friend bool operator==(const Batch&, const Batch&) = default;
};

// H(0x10 || cluster_id || epoch || seq || time_us || flags || H(0x11 || item digests)): independent
// of the view and of the batch before.
Hash batch_digest(const crypto::Context& context, const Batch& batch);

struct ParsedBatch {
  Batch batch;
  Hash digest{};
  std::vector<ParsedItem> items;  // parallel to batch.items
  std::size_t bytes = 0;          // encoded
};

// Static validity (sizes, counts, cost, flags, no duplicate item); signatures are not checked.
Result<ParsedBatch> parse_batch(const crypto::Context& context, Batch batch);

}  // namespace bftmeta::messages
