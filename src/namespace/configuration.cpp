// Proposing the next configuration, and taking it back (protocol §9.2). What becomes of it is
// execution's (execution/epochs.hpp).
#include "config/change.hpp"
#include "namespace/statements.hpp"

namespace bftmeta::ns {

using schema::Code;
namespace keys = schema::keys;

namespace {

// The key of a member that left may be lost or stolen, and so may what it has signed.
Code check_never_retired(Transaction& t, const config::Config& next) {
  for (const std::uint32_t i : config::difference(*t.context().config, next).joining) {
    schema::Marker marker;
    const tree::Found found = t.record(keys::retired(next.replicas[i].vote_key), marker);
    if (found == tree::Found::unknown) return Code::io_error;
    if (found == tree::Found::value) return Code::invalid;
  }
  return Code::ok;
}

}  // namespace

Code change_config(Transaction& t, const schema::ChangeConfig& op) {
  const Context& context = t.context();
  const Statement statement(t, tags::kConfig, op);
  BFTMETA_CHECK(statement.check(t));
  if (op.body.config_hash != context.config->hash()) return Code::version_conflict;

  schema::PendingChange pending;
  const tree::Found found = t.record(keys::pending_change(), pending);
  if (found == tree::Found::unknown) return Code::io_error;
  const bool under_way = found == tree::Found::value;
  if (op.body.next == *context.config) {
    if (!under_way || pending.epoch_end_seq != 0) return Code::no_entry;
    t.overlay().erase(keys::pending_change());
    return statement.remember(t);
  }
  if (under_way) return Code::exists;
  if (!config::check_step(*context.config, op.body.next)) return Code::invalid;
  BFTMETA_CHECK(check_never_retired(t, op.body.next));
  pending.next = op.body.next;
  pending.deadline_us = context.exec_time_us + limits::kChangeTimeoutUs;
  t.put(keys::pending_change(), pending);
  return statement.remember(t);
}

}  // namespace bftmeta::ns
