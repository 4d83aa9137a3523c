#include "schema/operations.hpp"

#include <cerrno>

#include "crypto/hash.hpp"

namespace bftmeta::schema {

bool valid_value(FileType t) {
  switch (t) {
    case FileType::fifo:
    case FileType::character_device:
    case FileType::directory:
    case FileType::block_device:
    case FileType::regular:
    case FileType::symlink:
    case FileType::socket: return true;
  }
  return false;
}

bool valid_value(DataKind k) { return k <= DataKind::extents; }
bool valid_value(Code c) { return c <= Code::loop; }
bool valid_value(BundleOutcome o) { return o <= BundleOutcome::digest_only; }

Hash statement_digest(ByteView signed_bytes) {
  return crypto::Hasher(tags::Domain::admin_statement).update(signed_bytes).finish();
}

namespace {
struct CodeRow {
  Code code;
  int error;
  std::string_view name;
};
constexpr CodeRow kCodes[] = {
    {Code::ok, 0, "ok"},
    {Code::not_permitted, EPERM, "not-permitted"},
    {Code::no_entry, ENOENT, "no-entry"},
    {Code::io_error, EIO, "io-error"},
    {Code::access_denied, EACCES, "access-denied"},
    {Code::exists, EEXIST, "exists"},
    {Code::cross_device, EXDEV, "cross-device"},
    {Code::not_directory, ENOTDIR, "not-directory"},
    {Code::is_directory, EISDIR, "is-directory"},
    {Code::invalid, EINVAL, "invalid"},
    {Code::file_too_big, EFBIG, "file-too-big"},
    {Code::no_space, ENOSPC, "no-space"},
    {Code::too_many_links, EMLINK, "too-many-links"},
    {Code::name_too_long, ENAMETOOLONG, "name-too-long"},
    {Code::not_empty, ENOTEMPTY, "not-empty"},
    {Code::no_attribute, ENODATA, "no-attribute"},
    {Code::too_large, ERANGE, "too-large"},
    {Code::stale_handle, ESTALE, "stale-handle"},
    {Code::version_conflict, EAGAIN, "version-conflict"},
    {Code::try_again, EAGAIN, "try-again"},
    {Code::not_supported, EOPNOTSUPP, "not-supported"},
    {Code::rolled_back, ECANCELED, "rolled-back"},
    {Code::quota_exceeded, EDQUOT, "quota-exceeded"},
    {Code::loop, ELOOP, "loop"},
};
}  // namespace

int to_errno(Code c) {
  for (const CodeRow& row : kCodes)
    if (row.code == c) return row.error;
  return EIO;
}

std::string_view code_name(Code c) {
  for (const CodeRow& row : kCodes)
    if (row.code == c) return row.name;
  return "unknown";
}

std::uint32_t cost_of(const Operation& op) {
  if (const auto* c = std::get_if<CommitData>(&op.body))
    return 4 + static_cast<std::uint32_t>(c->extents.size());
  // A signature check is worth about eight leaves.
  if (const auto* r = std::get_if<RegisterClient>(&op.body))
    return 2 + 8 * static_cast<std::uint32_t>(r->signatures.size());
  if (const auto* c = std::get_if<ChangeConfig>(&op.body))
    return 8 + 8 * static_cast<std::uint32_t>(c->signatures.size());
  if (std::holds_alternative<Rename>(op.body)) return 8;
  if (std::holds_alternative<Noop>(op.body)) return 1;
  return 4;
}

}  // namespace bftmeta::schema
