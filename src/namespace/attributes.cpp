// chmod, chown, truncate and utimens, in the order of checks of Linux's setattr_prepare.
#include <limits>

#include "namespace/permissions.hpp"
#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;
using schema::FileType;
namespace mask = schema::set_mask;

namespace {

constexpr std::uint32_t kNoId = std::numeric_limits<std::uint32_t>::max();  // (uid_t)-1

bool has(const schema::SetAttributes& op, std::uint32_t bits) { return (op.mask & bits) != 0; }

Code check_static(const schema::SetAttributes& op) {
  if (has(op, ~mask::kAll)) return Code::invalid;
  if (has(op, mask::kAtime) && has(op, mask::kAtimeNow)) return Code::invalid;
  if (has(op, mask::kMtime) && has(op, mask::kMtimeNow)) return Code::invalid;
  if (has(op, mask::kMode) && op.mode > mode_bits::kAll) return Code::invalid;
  if (has(op, mask::kUid) && op.uid == kNoId) return Code::invalid;
  if (has(op, mask::kGid) && op.gid == kNoId) return Code::invalid;
  if (has(op, mask::kSize) && op.size > limits::kMaxFileSize) return Code::file_too_big;
  return Code::ok;
}

Code check_type(const schema::SetAttributes& op, const schema::Attributes& a) {
  if (has(op, mask::kSize) && a.is_directory()) return Code::is_directory;
  if (has(op, mask::kSize) && a.type != FileType::regular) return Code::invalid;
  if (has(op, mask::kMode) && a.type == FileType::symlink) return Code::not_supported;
  return Code::ok;
}

bool may_chown(const Credentials& who, const schema::Attributes& a, std::uint32_t uid) {
  return who.root() || (who.uid == a.uid && uid == a.uid);
}

bool may_chgrp(const Credentials& who, const schema::Attributes& a, std::uint32_t gid) {
  return who.root() || (who.uid == a.uid && (gid == a.gid || who.in_group(gid)));
}

// "Both now" is what a writer may do (touch); any other change of times is the owner's.
bool is_touch(const schema::SetAttributes& op) {
  constexpr std::uint32_t kBoth = mask::kAtimeNow | mask::kMtimeNow;
  return (op.mask & (kBoth | mask::kAtime | mask::kMtime)) == kBoth;
}

Code check_permission(const Credentials& who, const schema::SetAttributes& op,
                      const schema::Attributes& a) {
  constexpr std::uint32_t kTimes = mask::kAtime | mask::kMtime | mask::kAtimeNow | mask::kMtimeNow;
  if (has(op, mask::kSize) && !may_write_data(who, a)) return Code::access_denied;
  if (has(op, mask::kUid) && !may_chown(who, a, op.uid)) return Code::not_permitted;
  if (has(op, mask::kGid) && !may_chgrp(who, a, op.gid)) return Code::not_permitted;
  if (has(op, mask::kMode) && !owns(who, a)) return Code::not_permitted;
  if (op.mask == mask::kCtime && !owns(who, a)) return Code::not_permitted;
  if (is_touch(op)) return may_write_data(who, a) ? Code::ok : Code::access_denied;
  if (has(op, kTimes) && !owns(who, a)) return Code::not_permitted;
  return Code::ok;
}

void set_owner_and_mode(const Credentials& who, const schema::SetAttributes& op,
                        schema::Attributes& a) {
  if (has(op, mask::kSize)) a.mode = mode_after_write(who, a);
  if (has(op, mask::kUid | mask::kGid)) a.mode = mode_after_chown(who, a);
  if (has(op, mask::kUid)) a.uid = op.uid;
  if (has(op, mask::kGid)) a.gid = op.gid;
  if (!has(op, mask::kMode)) return;
  a.mode = op.mode;
  if (!keeps_setgid(who, a.gid))
    a.mode = static_cast<std::uint16_t>(a.mode & ~unsigned{mode_bits::kSetgid});
}

void set_times(const schema::SetAttributes& op, std::int64_t now, schema::Attributes& a) {
  if (has(op, mask::kAtime)) a.atime_ns = op.atime_ns;
  if (has(op, mask::kAtimeNow)) a.atime_ns = now;
  if (has(op, mask::kMtime))
    a.mtime_ns = op.mtime_ns;
  else if (has(op, mask::kMtimeNow | mask::kSize))
    a.mtime_ns = now;
}

}  // namespace

Code set_attributes(Transaction& t, const schema::SetAttributes& op, schema::InodeReply& reply) {
  BFTMETA_CHECK(check_static(op));
  Inode inode;
  BFTMETA_CHECK(t.resolve(op.target, inode));
  BFTMETA_CHECK(check_type(op, inode.attributes));
  BFTMETA_CHECK(check_permission(t.who(), op, inode.attributes));
  if (op.expected_version != 0 && op.expected_version != inode.attributes.version)
    return Code::version_conflict;
  if (has(op, mask::kSize)) BFTMETA_CHECK(resize(t, inode, op.size));
  if (op.mask != 0) {
    set_owner_and_mode(t.who(), op, inode.attributes);
    set_times(op, t.now(), inode.attributes);
    t.changed(inode);
    t.store(inode);
  }
  reply = {inode.ino, false, inode.attributes};
  return Code::ok;
}

}  // namespace bftmeta::ns
