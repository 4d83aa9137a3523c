// Messages on a replica's block port: content-addressed file data, outside agreement. A block is
// named by the plain SHA-256 of its content, so nothing here is signed or numbered: every answer
// names the digest it is about and stays true whenever it arrives. Thread-safety: plain values.
#pragma once

#include <variant>

#include "base/codec.hpp"
#include "base/limits.hpp"
#include "crypto/signer.hpp"

namespace bftmeta::messages {

// Keep this block. Answered by BlockStored, or by BlockRefused.
struct PutBlock {
  Hash digest{};
  Bytes content;  // 1..kBlockSize bytes
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
    v.field("content", s.content, Cap{limits::kBlockSize});
  }
  friend bool operator==(const PutBlock&, const PutBlock&) = default;
};

// Answered by BlockContent, BlockMissing or BlockRefused.
struct GetBlock {
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
  }
  friend bool operator==(const GetBlock&, const GetBlock&) = default;
};

// Answered by BlockStored (its content was read and is right), BlockMissing or BlockRefused.
struct CheckBlock {
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
  }
  friend bool operator==(const CheckBlock&, const CheckBlock&) = default;
};

// The block is durable here: file and directory are synced.
struct BlockStored {
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
  }
  friend bool operator==(const BlockStored&, const BlockStored&) = default;
};

struct BlockContent {
  Hash digest{};
  Bytes content;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
    v.field("content", s.content, Cap{limits::kBlockSize});
  }
  friend bool operator==(const BlockContent&, const BlockContent&) = default;
};

// No such block here, or it has rotted.
struct BlockMissing {
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
  }
  friend bool operator==(const BlockMissing&, const BlockMissing&) = default;
};

enum class BlockRefusal : std::uint8_t {
  busy = 0,          // its queue is full: send again later
  disk_full = 1,     // no space for it
  wrong_digest = 2,  // content and digest do not belong together
  io_error = 3,      // the disk failed; the replica's log says how
  not_allowed = 4,   // members read blocks of each other, they do not store any
};
bool valid_value(BlockRefusal r);

struct BlockRefused {
  Hash digest{};
  BlockRefusal reason = BlockRefusal::busy;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
    v.field("reason", s.reason);
  }
  friend bool operator==(const BlockRefused&, const BlockRefused&) = default;
};

// The alternatives' positions are the wire's type numbers: append only.
using BlockRequest = std::variant<PutBlock, GetBlock, CheckBlock>;  // to a replica
using BlockReply = std::variant<BlockStored, BlockContent, BlockMissing, BlockRefused>;

constexpr std::uint8_t kBlockRequestTypes = 192;  // first type number of BlockRequest
constexpr std::uint8_t kBlockReplyTypes = 224;    // first type number of BlockReply

Bytes encode_frame(const crypto::Context& context, const BlockRequest& message);
Bytes encode_frame(const crypto::Context& context, const BlockReply& message);

// Errc::malformed, or Errc::identity if the frame is of another cluster or epoch.
Result<BlockRequest> decode_block_request_frame(const crypto::Context& context, ByteView frame);
Result<BlockReply> decode_block_reply_frame(const crypto::Context& context, ByteView frame);

}  // namespace bftmeta::messages
