// The file-system state machine: operations on the authenticated map, deterministic to the last
// byte. An operation either succeeds or leaves the overlay as it was. Whatever depends on input or
// state is a Code; nothing that a client sends can trip an assertion. Which error wins is part of
// results, hence fixed: the order of checks is in README.md.
// After a failed read of the base (Overlay::fault()) every answer here is void.
// Thread-safety: one thread per overlay.
#pragma once

#include "namespace/context.hpp"
#include "tree/overlay.hpp"

namespace bftmeta::ns {

// Executes one operation on behalf of context.rules. Noop and CloseSession change nothing here:
// sessions are execution's, which calls release_holds() when one ends.
schema::OpResult apply(tree::Overlay& overlay, const Context& context,
                       const schema::Operation& operation);

// Work that is due at the start of a batch, after sessions have expired and lease time was
// advanced: unlinked inodes whose grace is over and that nobody holds are removed, in (expiry, ino)
// order, and up to kPurgePerBatch leaves of removed or truncated files are purged, in ino order.
// `operations`: operations in this batch; as many orphans above kMaxExpiriesPerBatch are handled,
// so that the queue drains as fast as unlinks fill it.
void housekeeping(tree::Overlay& overlay, const Context& context, std::size_t operations = 0);

// Lets go of everything that the session holds, in ino order. At most kMaxHoldsPerSession leaves.
void release_holds(tree::Overlay& overlay, const Id16& session);

// Writes the state of before the first batch: root directory, counters, principals, configuration
// of epoch 0. The overlay is over an empty base.
void make_genesis(tree::Overlay& overlay, const config::Genesis& genesis);

}  // namespace bftmeta::ns
