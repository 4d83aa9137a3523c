// Messages between a client and a replica, authenticated by the link's CURVE key and, where it
// matters, by proof: nothing in an answer is believed for its sender's sake. Thread-safety: plain
// values.
#pragma once

#include "messages/certificate.hpp"
#include "schema/queries.hpp"

namespace bftmeta::messages {

// REQUEST or SESSION-OPEN for the primary. A backup passes it on and starts its timer.
struct Submit {
  Item item;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("item", s.item);
  }
  friend bool operator==(const Submit&, const Submit&) = default;
};

// "Answer this session's bundles on this link": sent to the home replica, to others after a
// timeout.
struct Subscribe {
  Id16 session_id{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("session_id", s.session_id);
  }
  friend bool operator==(const Subscribe&, const Subscribe&) = default;
};

// REPLY: proves itself. leaf = reply_leaf(session, bundle_no, request_digest,
// results_digest(results)); `path` leads from it to headers[0].reply_root; headers lead to the
// certificate's history_hash.
struct Reply {
  Hash request_digest{};
  Id16 session_id{};  // zero for a SESSION-OPEN
  std::uint64_t bundle_no = 0;
  Bytes results;  // encoded schema::BundleResult
  std::uint32_t leaf_index = 0;
  std::vector<Hash> path;            // RFC 6962 inclusion path, leaf upwards
  Hash history_before{};             // history_hash of the batch before headers[0]
  std::vector<BatchHeader> headers;  // the batch's header and those up to the certificate's seq
  RootCert cert;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_digest", s.request_digest);
    v.field("session_id", s.session_id);
    v.field("bundle_no", s.bundle_no);
    v.field("results", s.results, Cap{limits::kMaxFrame});
    v.field("leaf_index", s.leaf_index);
    v.field("path", s.path, Cap{32});
    v.field("history_before", s.history_before);
    v.field("headers", s.headers, Cap{limits::kMaxHeaderChain});
    v.field("cert", s.cert);
  }
  friend bool operator==(const Reply&, const Reply&) = default;
};

// Queries are evaluated at one certified root with seq >= min_seq.
struct Read {
  std::uint64_t request_id = 0;  // the client's, unique on its link
  Seq min_seq = 0;
  Seq known_cert = 0;  // the client holds this certificate: it need not be sent again
  std::vector<schema::Query> queries;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("min_seq", s.min_seq);
    v.field("known_cert", s.known_cert);
    v.field("queries", s.queries, Cap{limits::kMaxQueriesPerRead});
  }
  friend bool operator==(const Read&, const Read&) = default;
};

enum class ReadStatus : std::uint8_t {
  ok = 0,
  too_old = 1,    // no certificate >= min_seq in time; `cert` is the newest
  too_large = 2,  // the proof would exceed kMaxProof: ask for less
  refused = 3,    // the caller may not, or the replica cannot serve now
};
bool valid_value(ReadStatus s);

struct ReadReply {
  std::uint64_t request_id = 0;
  ReadStatus status = ReadStatus::ok;
  Seq seq = 0;                   // of the certificate that the proof belongs to
  std::optional<RootCert> cert;  // absent if seq == known_cert
  Bytes proof;                   // partial tree under the certificate's state_root
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("status", s.status);
    v.field("seq", s.seq);
    v.field("cert", s.cert);
    v.field("proof", s.proof, Cap{limits::kMaxProof});
  }
  friend bool operator==(const ReadReply&, const ReadReply&) = default;
};

// FRESH: "what is the newest certificate that you hold?" Asked of all replicas; each correct one
// answers only once that certificate covers everything it helped to commit (protocol §6.3).
struct Fresh {
  Id16 nonce{};             // random: an answer to another question is never taken for one to this
  std::uint64_t epoch = 0;  // of the configuration whose members are asked
  Seq known_cert = 0;       // the client holds this certificate: its digest is enough
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("nonce", s.nonce);
    v.field("epoch", s.epoch);
    v.field("known_cert", s.known_cert);
  }
  friend bool operator==(const Fresh&, const Fresh&) = default;
};

struct NothingCertified {  // the state is that of the genesis
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const NothingCertified&, const NothingCertified&) = default;
};

struct FreshReply {
  Id16 nonce{};
  std::uint64_t epoch = 0;  // as whose member the replica answers
  // Hash: H(CertBody) of the certificate known_cert, which is the newest here too.
  std::variant<NothingCertified, RootCert, Hash> newest;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("nonce", s.nonce);
    v.field("epoch", s.epoch);
    v.field("newest", s.newest);
  }
  friend bool operator==(const FreshReply&, const FreshReply&) = default;
};

// The item was not taken into the queue. Not an outcome: the client sends again later, or
// elsewhere.
enum class RefusalReason : std::uint8_t {
  busy = 0,
  bad_signature = 1,
  malformed = 2,
  no_session = 3,
  out_of_window = 4,
  expired = 5,
  not_serving = 6,
  already_done =
      7,  // executed, and not in memory any more: a verified GetSession tells the outcome
};
bool valid_value(RefusalReason r);

struct Refusal {
  Hash request_digest{};
  RefusalReason reason = RefusalReason::busy;
  std::uint32_t retry_after_ms = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_digest", s.request_digest);
    v.field("reason", s.reason);
    v.field("retry_after_ms", s.retry_after_ms);
  }
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// What a replica says of itself (bftadm status, choice of the primary by clients); unproven, a
// hint.
struct StatusQuery {
  std::uint64_t request_id = 0;
  // Not 0: it reads and checks all of its state store and all blocks now, each at this rate.
  std::uint64_t scrub_bytes_per_s = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("scrub_bytes_per_s", s.scrub_bytes_per_s);
  }
  friend bool operator==(const StatusQuery&, const StatusQuery&) = default;
};

// How long something goes on, when nobody can tell.
constexpr std::uint64_t kUnknownUs = ~std::uint64_t{0};

// The pass over the blocks that certified files name, under way or the last one.
struct BlocksProgress {
  bool running = false;
  bool thorough = false;       // each block is read; else those that have no file are looked for
  std::uint32_t permille = 0;  // of the way
  std::uint64_t checked = 0;   // blocks
  std::uint64_t missing = 0;   // not here: still to come, or nobody has given them
  std::uint64_t fetched = 0;
  std::uint64_t fetched_bytes = 0;
  std::uint64_t bytes_per_second = 0;  // fetched, mean of the pass
  std::uint64_t left_us = kUnknownUs;  // about, until it ends
  std::uint64_t finished_s = 0;        // Unix time when the last one ended; 0: none has
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("running", s.running);
    v.field("thorough", s.thorough);
    v.field("permille", s.permille);
    v.field("checked", s.checked);
    v.field("missing", s.missing);
    v.field("fetched", s.fetched);
    v.field("fetched_bytes", s.fetched_bytes);
    v.field("bytes_per_second", s.bytes_per_second);
    v.field("left_us", s.left_us);
    v.field("finished_s", s.finished_s);
  }
  friend bool operator==(const BlocksProgress&, const BlocksProgress&) = default;
};

// A state transfer under way.
struct TransferProgress {
  bool running = false;
  Seq target = 0;                      // sequence number of the state; 0: none is chosen yet
  std::uint64_t leaves = 0;            // of the own tree, whatever state they are of
  std::uint64_t target_leaves = 0;     // 0: not known yet
  std::uint64_t received_bytes = 0;    // in answers
  std::uint64_t bytes_per_second = 0;  // mean
  std::uint64_t left_us = kUnknownUs;  // about
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("running", s.running);
    v.field("target", s.target);
    v.field("leaves", s.leaves);
    v.field("target_leaves", s.target_leaves);
    v.field("received_bytes", s.received_bytes);
    v.field("bytes_per_second", s.bytes_per_second);
    v.field("left_us", s.left_us);
  }
  friend bool operator==(const TransferProgress&, const TransferProgress&) = default;
};

// How far a replica is that is to become a member, as it says itself.
struct Learning {
  bool ready = false;         // to sign the end of this epoch
  Seq seq = 0;                // of the state that it has; 0: none yet
  TransferProgress transfer;  // a newer state is fetched now and then
  BlocksProgress blocks;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ready", s.ready);
    v.field("seq", s.seq);
    v.field("transfer", s.transfer);
    v.field("blocks", s.blocks);
  }
  friend bool operator==(const Learning&, const Learning&) = default;
};

struct Joining {
  ReplicaId replica = 0;  // its position in the next configuration
  Learning learning;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("replica", s.replica);
    v.field("learning", s.learning);
  }
  friend bool operator==(const Joining&, const Joining&) = default;
};

struct StatusReply {
  std::uint64_t request_id = 0;
  ReplicaId replica = 0;
  std::uint64_t pid = 0;
  View view = 0;
  bool active = false;
  Seq executed_seq = 0;
  Seq certified_seq = 0;
  Seq durable_seq = 0;  // newest LMDB flush that survives power loss
  std::uint64_t uptime_us = 0;
  std::uint64_t queued = 0;  // items waiting for a proposal
  std::uint64_t view_changes = 0;
  std::uint64_t inodes = 0;
  std::string version;
  std::string condition;  // "ok", or what is wrong in one line
  BlocksProgress blocks;
  TransferProgress transfer;
  std::uint64_t scrub_bytes_per_s = 0;
  std::uint32_t scrub_permille = 0;   // of the state store that this cycle has checked, about
  std::uint64_t scrub_cycles = 0;     // that ended since the start
  std::uint64_t damage_found = 0;     // parts of the state store, by scrubs
  std::uint64_t damage_repaired = 0;  // ... however they were found
  std::vector<Joining> joining;       // from whom it has heard of late
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("replica", s.replica);
    v.field("pid", s.pid);
    v.field("view", s.view);
    v.field("active", s.active);
    v.field("executed_seq", s.executed_seq);
    v.field("certified_seq", s.certified_seq);
    v.field("durable_seq", s.durable_seq);
    v.field("uptime_us", s.uptime_us);
    v.field("queued", s.queued);
    v.field("view_changes", s.view_changes);
    v.field("inodes", s.inodes);
    v.field("version", s.version, Cap{64});
    v.field("condition", s.condition, Cap{512});
    v.field("blocks", s.blocks);
    v.field("transfer", s.transfer);
    v.field("scrub_bytes_per_s", s.scrub_bytes_per_s);
    v.field("scrub_permille", s.scrub_permille);
    v.field("scrub_cycles", s.scrub_cycles);
    v.field("damage_found", s.damage_found);
    v.field("damage_repaired", s.damage_repaired);
    v.field("joining", s.joining, Cap{limits::kMaxReplicas});
  }
  friend bool operator==(const StatusReply&, const StatusReply&) = default;
};

}  // namespace bftmeta::messages
