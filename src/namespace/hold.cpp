// Holds of unlinked files (protocol §10): a session keeps a file alive for its open handles.
#include "namespace/apply.hpp"
#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
namespace keys = schema::keys;

Code hold(Transaction& t, const schema::Hold& op) {
  const Id16& session = t.context().session_id;
  const Key key = keys::hold(op.ino, session);
  schema::Marker marker;
  if (op.release) {
    switch (t.record(key, marker)) {
      case tree::Found::unknown: return Code::io_error;
      case tree::Found::absent: return Code::no_entry;
      case tree::Found::value: break;
    }
    t.overlay().erase(key);
    t.overlay().erase(keys::session_hold(session, op.ino));
    return Code::ok;
  }
  Inode inode;
  BFTMETA_CHECK(t.resolve_handle(op.ino, inode));
  if (inode.attributes.is_directory()) return Code::is_directory;
  if (inode.attributes.type == schema::FileType::symlink) return Code::invalid;
  if (!owns(t.who(), inode.attributes) && !may_somehow(t.who(), inode.attributes))
    return Code::access_denied;
  switch (t.record(key, marker)) {
    case tree::Found::unknown: return Code::io_error;
    case tree::Found::value: return Code::ok;
    case tree::Found::absent: break;
  }
  const auto held = t.reader().count(keys::session_holds(session));
  if (!held) return Code::io_error;
  if (*held >= limits::kMaxHoldsPerSession) return Code::no_space;
  t.put(key, marker);
  t.put(keys::session_hold(session, op.ino), marker);
  return Code::ok;
}

void release_holds(tree::Overlay& overlay, const Id16& session) {
  std::vector<Key> held;
  const Key prefix = keys::session_holds(session);
  overlay.scan(prefix, prefix.prefix_end(), [&](const Key& key, ByteView) {
    held.push_back(key);
    return true;
  });
  for (const Key& key : held) {
    overlay.erase(keys::hold(keys::ino_of_session_hold(key), session));
    overlay.erase(key);
  }
}

}  // namespace bftmeta::ns
