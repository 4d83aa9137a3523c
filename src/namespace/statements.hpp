// What admins sign: whether enough of them did, in time, and not for the second time. Anybody who
// saw a statement may carry it again, so the state remembers each one that was executed for as long
// as it is valid. Thread-safety: immutable; the transaction is the caller's.
#pragma once

#include "namespace/transaction.hpp"

namespace bftmeta::ns {

// A statement may be carried by anybody, at most this long ahead of its end.
constexpr std::uint64_t kStatementValidityUs = 3'600'000'000;

// What one operation carries; that outlives it.
class Statement {
 public:
  template <class Body>
  Statement(const Transaction& t, const tags::Tag& tag, const schema::AdminStatement<Body>& op)
      : signed_bytes_(crypto::preimage(tag, {t.context().cluster_id, 0}, encode(op.body))),
        signatures_(op.signatures),
        valid_until_us_(op.body.valid_until_us) {}

  // Code::invalid: too late, or valid for too long ahead. not_permitted: fewer than admin_threshold
  // distinct admins of the configuration in force signed it. exists: it was executed before.
  schema::Code check(const Transaction& t) const;
  // Its operation succeeds. Forgets a few that are not valid any more.
  schema::Code remember(Transaction& t) const;

 private:
  schema::Code check_validity(const Context& context) const;
  schema::Code check_signatures(const Context& context) const;
  schema::Code check_unused(const Transaction& t) const;
  Key used_key() const;

  const Bytes signed_bytes_;
  const std::vector<schema::AdminSignature>& signatures_;
  const std::uint64_t valid_until_us_;
};

}  // namespace bftmeta::ns
