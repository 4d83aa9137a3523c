#include "messages/frame.hpp"

#include "messages/blocks.hpp"

namespace bftmeta::messages {

namespace {

constexpr std::uint32_t kMagic = 0x314d4642;  // "BFM1"

struct Header {
  std::uint32_t magic = kMagic;
  std::uint8_t version = limits::kWireVersion;
  Hash cluster_id{};
  std::uint64_t epoch = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("magic", s.magic);
    v.field("version", s.version);
    v.field("cluster_id", s.cluster_id);
    v.field("epoch", s.epoch);
  }
};
constexpr std::size_t kHeaderSize = 4 + 1 + 32 + 8;

template <class Variant>
Bytes encode_as(const crypto::Context& context, const Variant& message, std::uint8_t first_type) {
  Bytes out;
  out.reserve(kHeaderSize + encoded_size(message));
  encode_to(out, Header{kMagic, limits::kWireVersion, context.cluster_id, context.epoch});
  encode_to(out, message);
  out[kHeaderSize] = static_cast<std::uint8_t>(out[kHeaderSize] + first_type);
  return out;
}

Result<Header> read_header(const Hash& cluster_id, ByteView frame) {
  if (frame.size() <= kHeaderSize) return fail(Errc::malformed, "frame: truncated");
  BFTMETA_ASSIGN(const Header header, decode<Header>(frame.first(kHeaderSize), "frame header"));
  if (header.magic != kMagic) return fail(Errc::malformed, "frame: not of this protocol");
  if (header.version != limits::kWireVersion)
    return fail(Errc::malformed, "frame: wire version " + std::to_string(header.version));
  if (header.cluster_id != cluster_id)
    return fail(Errc::identity, "frame: of cluster " + short_hex(header.cluster_id));
  return header;
}

// A variant is encoded as its index and its alternative, so the type byte is the shifted index.
template <class Variant>
Result<Variant> decode_as(const crypto::Context& context, ByteView frame, std::uint8_t first_type,
                          std::size_t max_size = limits::kMaxFrame) {
  if (frame.size() > max_size) return fail(Errc::limit, "frame: too long");
  BFTMETA_ASSIGN(const Header header, read_header(context.cluster_id, frame));
  if (header.epoch != context.epoch)
    return fail(Errc::identity, "frame: of epoch " + std::to_string(header.epoch));
  const std::uint8_t type = frame[kHeaderSize];
  if (type < first_type || type - first_type >= static_cast<int>(std::variant_size_v<Variant>))
    return fail(Errc::malformed, "frame: type " + std::to_string(type) + " is not for this link");

  codec::Decoder shifted(frame.subspan(kHeaderSize + 1));
  Variant message;
  shifted.get_alternative("message", message, static_cast<std::size_t>(type - first_type));
  if (shifted.ok() && !shifted.rest().empty()) shifted.reject("end", "trailing bytes");
  if (!shifted.ok()) return tl::make_unexpected(codec::decode_error("message", shifted));
  return message;
}

constexpr const char* kPeerNames[] = {
    "PRE-PREPARE",       "PREPARE",        "COMMIT",        "ROOT-SHARE",
    "ROOT-CERT",         "VIEW-CHANGE",    "NEW-VIEW",      "STATUS",
    "FETCH-BATCH",       "BATCH",          "FETCH-HISTORY", "HISTORY",
    "FETCH-VIEW-CHANGE", "FETCH-NEW-VIEW", "FORWARD",       "FETCH-PREPARED",
    "PREPARED",          "HELLO",          "HELLO-REPLY",   "EVIDENCE",
    "FETCH-NODES",       "NODES",          "EPOCHS",        "LEARNING"};
static_assert(std::size(kPeerNames) == std::variant_size_v<PeerMessage>);
static_assert(std::variant_size_v<PeerMessage> <= kClientTypes);
constexpr const char* kClientNames[] = {"SUBMIT",       "SUBSCRIBE", "READ",
                                        "STATUS-QUERY", "FRESH",     "EVIDENCE-QUERY"};
static_assert(std::size(kClientNames) == std::variant_size_v<ClientMessage>);
constexpr const char* kReplicaNames[] = {"REPLY",       "READ-REPLY",     "REFUSAL", "STATUS-REPLY",
                                         "FRESH-REPLY", "EVIDENCE-REPLY", "EPOCHS"};
static_assert(std::size(kReplicaNames) == std::variant_size_v<ReplicaMessage>);

}  // namespace

std::optional<std::uint64_t> frame_epoch(const Hash& cluster_id, ByteView frame) {
  const auto header = read_header(cluster_id, frame);
  if (!header) return std::nullopt;
  return header->epoch;
}

std::optional<std::uint64_t> epoch_to_show(const Hash& cluster_id, std::uint64_t current,
                                           ByteView frame) {
  static const std::size_t kEpochs = PeerMessage(Epochs{}).index();
  const auto epoch = frame_epoch(cluster_id, frame);
  if (!epoch || *epoch >= current || frame[kHeaderSize] == kEpochs) return std::nullopt;
  return epoch;
}

Bytes encode_frame(const crypto::Context& context, const PeerMessage& message) {
  return encode_as(context, message, 0);
}
Bytes encode_frame(const crypto::Context& context, const ClientMessage& message) {
  return encode_as(context, message, kClientTypes);
}
Bytes encode_frame(const crypto::Context& context, const ReplicaMessage& message) {
  return encode_as(context, message, kReplicaTypes);
}

Result<PeerMessage> decode_peer_frame(const crypto::Context& context, ByteView frame) {
  return decode_as<PeerMessage>(context, frame, 0);
}
Result<ClientMessage> decode_client_frame(const crypto::Context& context, ByteView frame) {
  return decode_as<ClientMessage>(context, frame, kClientTypes);
}
Result<ReplicaMessage> decode_replica_frame(const crypto::Context& context, ByteView frame) {
  return decode_as<ReplicaMessage>(context, frame, kReplicaTypes);
}

bool valid_value(BlockRefusal r) { return r <= BlockRefusal::not_allowed; }

Bytes encode_frame(const crypto::Context& context, const BlockRequest& message) {
  return encode_as(context, message, kBlockRequestTypes);
}
Bytes encode_frame(const crypto::Context& context, const BlockReply& message) {
  return encode_as(context, message, kBlockReplyTypes);
}
Result<BlockRequest> decode_block_request_frame(const crypto::Context& context, ByteView frame) {
  return decode_as<BlockRequest>(context, frame, kBlockRequestTypes, limits::kMaxBlockFrame);
}
Result<BlockReply> decode_block_reply_frame(const crypto::Context& context, ByteView frame) {
  return decode_as<BlockReply>(context, frame, kBlockReplyTypes, limits::kMaxBlockFrame);
}

const char* message_name(const PeerMessage& message) { return kPeerNames[message.index()]; }
const char* message_name(const ClientMessage& message) { return kClientNames[message.index()]; }
const char* message_name(const ReplicaMessage& message) { return kReplicaNames[message.index()]; }

}  // namespace bftmeta::messages
