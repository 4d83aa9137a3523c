// The common header of every message on a link, and one decoder for all types. A frame is
// magic u32 | wire version u8 | cluster_id | epoch u64 | type u8 | encoded message, nothing behind
// it. The sender is never in the frame: it is whom the link's key belongs to (protocol §1.1).
// Thread-safety: pure functions.
#pragma once

#include "messages/agreement.hpp"
#include "messages/client.hpp"
#include "messages/epochs.hpp"
#include "messages/evidence.hpp"
#include "messages/hello.hpp"
#include "messages/transfer.hpp"

namespace bftmeta::messages {

// The alternatives' positions are the wire's type numbers: append only.
using PeerMessage =
    std::variant<PrePrepare, Prepare, Commit, RootShare, RootCert, ViewChange, NewView, PeerStatus,
                 FetchBatch, BatchData, FetchHistory, HistoryData, FetchViewChange, FetchNewView,
                 Forward, FetchPrepared, PreparedData, Hello, HelloReply, Evidence, FetchNodes,
                 NodesData, Epochs, Learning>;
using ClientMessage =
    std::variant<Submit, Subscribe, Read, StatusQuery, Fresh, EvidenceQuery>;  // to a replica
using ReplicaMessage =
    std::variant<Reply, ReadReply, Refusal, StatusReply, FreshReply, EvidenceReply,
                 Epochs>;  // to a client

constexpr std::uint8_t kClientTypes = 64;    // first type number of ClientMessage
constexpr std::uint8_t kReplicaTypes = 128;  // first type number of ReplicaMessage

Bytes encode_frame(const crypto::Context& context, const PeerMessage& message);
Bytes encode_frame(const crypto::Context& context, const ClientMessage& message);
Bytes encode_frame(const crypto::Context& context, const ReplicaMessage& message);

// Errc::malformed, or Errc::identity if the frame is of another cluster or epoch.
Result<PeerMessage> decode_peer_frame(const crypto::Context& context, ByteView frame);
Result<ClientMessage> decode_client_frame(const crypto::Context& context, ByteView frame);
Result<ReplicaMessage> decode_replica_frame(const crypto::Context& context, ByteView frame);

// The epoch of a frame of this cluster; nullopt: it is none.
std::optional<std::uint64_t> frame_epoch(const Hash& cluster_id, ByteView frame);

// The epoch before `current` from which on the frame's sender has to be shown the steps; nullopt:
// it need not. An EPOCHS frame is never answered with another one: when both sides have gone on
// meanwhile, they would answer each other for ever.
std::optional<std::uint64_t> epoch_to_show(const Hash& cluster_id, std::uint64_t current,
                                           ByteView frame);

const char* message_name(const PeerMessage& message);
const char* message_name(const ClientMessage& message);
const char* message_name(const ReplicaMessage& message);

}  // namespace bftmeta::messages
