#include "schema/records.hpp"

#include "crypto/hash.hpp"

namespace bftmeta::schema {

Hash proposal_hash(const PendingChange& change) {
  const Hash next = change.next.hash();
  return crypto::Hasher(tags::Domain::proposal)
      .update(next)
      .update_u64(change.deadline_us)
      .finish();
}

}  // namespace bftmeta::schema
