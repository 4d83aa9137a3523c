#include "namespace/query.hpp"

#include "namespace/permissions.hpp"
#include "namespace/xattr.hpp"

namespace bftmeta::ns {

using schema::Code;
namespace keys = schema::keys;

namespace {

class Evaluation {
 public:
  Evaluation(const View& view, const config::ClientRules* rules, const Credentials* who)
      : view_(view), strict_(rules != nullptr && rules->strict), who_(who) {}

  Code operator()(const schema::GetInode& q, Answer& answer) const;
  Code operator()(const schema::ListDirectory& q, Answer& answer) const;
  Code operator()(const schema::GetXattr& q, Answer& answer) const;
  Code operator()(const schema::ListXattrs& q, Answer& answer) const;
  Code operator()(const schema::GetData& q, Answer& answer) const;
  Code operator()(const schema::GetStatistics& q, Answer& answer) const;
  Code operator()(const schema::ListPrincipals& q, Answer& answer) const;
  Code operator()(const schema::GetSession& q, Answer& answer) const;
  Code operator()(const schema::GetMembership& q, Answer& answer) const;

 private:
  bool allowed(const schema::Attributes& inode, Access wanted) const {
    return who_ == nullptr || may(*who_, inode, wanted);
  }
  // Of an inode that is named by its number.
  Code load(std::uint64_t ino, Inode& inode) const {
    return view_.resolve({ino, {}}, who_, strict_, inode);
  }
  template <class T>
  Code optional_record(const Key& key, std::optional<T>& out) const;
  Code read_page(const schema::ListDirectory& q, DirectoryPage& page) const;
  Code read_extents(const schema::GetData& q, FileData& data) const;

  const View& view_;
  bool strict_;
  const Credentials* who_;
};

template <class T>
Code Evaluation::optional_record(const Key& key, std::optional<T>& out) const {
  T record;
  switch (view_.record(key, record)) {
    case tree::Found::value: out = std::move(record); return Code::ok;
    case tree::Found::absent: return Code::ok;
    case tree::Found::unknown: break;
  }
  return Code::io_error;
}

Code Evaluation::operator()(const schema::GetInode& q, Answer& answer) const {
  Inode inode;
  BFTMETA_CHECK(view_.resolve(q.target, who_, strict_, inode));
  InodeAnswer found{inode.ino, inode.attributes, std::nullopt};
  if (q.symlink && inode.attributes.type == schema::FileType::symlink) {
    schema::Content content;
    if (view_.record(keys::symlink(inode.ino), content) != tree::Found::value)
      return Code::io_error;
    found.symlink = std::move(content.bytes);
  }
  answer = std::move(found);
  return Code::ok;
}

Code Evaluation::read_page(const schema::ListDirectory& q, DirectoryPage& page) const {
  const bool known =
      view_.scan(keys::dirent_at_cookie(q.ino, q.from_cookie), keys::dirents(q.ino).prefix_end(),
                 [&](const Key& key, ByteView value) {
                   const std::uint64_t cookie = keys::cookie_of_dirent_key(key);
                   const bool full = page.entries.size() >= q.max_entries;
                   if (full && cookie != page.entries.back().cookie) {
                     page.eof = false;
                     page.next_cookie = cookie;
                     return false;
                   }
                   schema::Dirent entry;
                   if (!view_.decoded_or_unknown(value, entry)) return false;
                   page.entries.push_back(
                       {cookie, entry.ino, entry.type, std::move(entry.name), std::nullopt});
                   return true;
                 });
  return known && !view_.unknown() ? Code::ok : Code::io_error;
}

Code Evaluation::operator()(const schema::ListDirectory& q, Answer& answer) const {
  if (q.max_entries == 0 || q.max_entries > limits::kMaxPageEntries) return Code::invalid;
  Inode directory;
  BFTMETA_CHECK(load(q.ino, directory));
  if (!directory.attributes.is_directory()) return Code::not_directory;
  if (!allowed(directory.attributes, Access::read)) return Code::access_denied;
  DirectoryPage page;
  page.directory = directory.attributes;
  BFTMETA_CHECK(read_page(q, page));
  if (q.with_attributes && allowed(directory.attributes, Access::execute)) {
    for (DirectoryEntry& entry : page.entries) {
      Inode inode;
      BFTMETA_CHECK(view_.load(entry.ino, inode));
      entry.attributes = inode.attributes;
    }
  }
  answer = std::move(page);
  return Code::ok;
}

Code Evaluation::operator()(const schema::GetXattr& q, Answer& answer) const {
  BFTMETA_CHECK(check_xattr_name(q.name));
  Inode inode;
  BFTMETA_CHECK(load(q.ino, inode));
  if (who_ != nullptr) BFTMETA_CHECK(check_xattr_read(*who_, inode.attributes, q.name));
  schema::Xattr xattr;
  BFTMETA_CHECK(load_xattr(view_, xattr_key(inode, q.name), q.name, xattr));
  answer = XattrValue{std::move(xattr.value)};
  return Code::ok;
}

Code Evaluation::operator()(const schema::ListXattrs& q, Answer& answer) const {
  Inode inode;
  BFTMETA_CHECK(load(q.ino, inode));
  XattrNames list;
  const Key prefix = keys::xattrs(q.ino);
  const bool known = view_.scan(prefix, prefix.prefix_end(), [&](const Key&, ByteView value) {
    schema::Xattr xattr;
    if (!view_.decoded_or_unknown(value, xattr)) return false;
    if (who_ == nullptr || xattr_visible(*who_, xattr.name))
      list.names.push_back(std::move(xattr.name));
    return true;
  });
  if (!known || view_.unknown()) return Code::io_error;
  answer = std::move(list);
  return Code::ok;
}

Code Evaluation::read_extents(const schema::GetData& q, FileData& data) const {
  const Key from = keys::extent(q.ino, q.from);
  const bool known =
      view_.scan(from, keys::extent(q.ino, q.to), [&](const Key& key, ByteView value) {
        schema::Extent extent;
        if (!view_.decoded_or_unknown(value, extent)) return false;
        const std::uint64_t offset = keys::offset_of_extent(key);
        if (schema::live_extent(data.attributes, offset, extent))
          data.extents.push_back({offset, extent});
        return true;
      });
  return known && !view_.unknown() ? Code::ok : Code::io_error;
}

Code Evaluation::operator()(const schema::GetData& q, Answer& answer) const {
  Inode file;
  BFTMETA_CHECK(load(q.ino, file));
  if (file.attributes.is_directory()) return Code::is_directory;
  if (file.attributes.type != schema::FileType::regular) return Code::invalid;
  // Who may only write needs the block around what is written, who may only execute runs it.
  if (who_ != nullptr && !owns(*who_, file.attributes) && !may_somehow(*who_, file.attributes))
    return Code::access_denied;
  FileData data;
  data.attributes = file.attributes;
  if (file.attributes.data == schema::DataKind::inline_leaf) {
    schema::Content content;
    if (view_.record(keys::inline_data(q.ino), content) != tree::Found::value)
      return Code::io_error;
    data.inline_data = std::move(content.bytes);
  }
  if (file.attributes.data == schema::DataKind::extents && q.from < q.to)
    BFTMETA_CHECK(read_extents(q, data));
  answer = std::move(data);
  return Code::ok;
}

Code Evaluation::operator()(const schema::GetStatistics&, Answer& answer) const {
  schema::Counters counters;
  if (view_.record(keys::counters(), counters) != tree::Found::value) return Code::io_error;
  answer = counters;
  return Code::ok;
}

Code Evaluation::operator()(const schema::ListPrincipals&, Answer& answer) const {
  PrincipalList list;
  const Key prefix = keys::principals();
  const bool known = view_.scan(prefix, prefix.prefix_end(), [&](const Key& key, ByteView value) {
    PrincipalEntry entry;
    if (!view_.decoded_or_unknown(value, entry.principal)) return false;
    std::copy_n(key.data() + prefix.size(), entry.sign_key.size(), entry.sign_key.begin());
    list.principals.push_back(std::move(entry));
    return true;
  });
  if (!known || view_.unknown()) return Code::io_error;
  answer = std::move(list);
  return Code::ok;
}

Code Evaluation::operator()(const schema::GetSession& q, Answer& answer) const {
  SessionAnswer found;
  BFTMETA_CHECK(optional_record(keys::session(q.session_id), found.session));
  if (found.session) {
    BFTMETA_CHECK(optional_record(keys::session_result(q.session_id, q.bundle_no), found.result));
  } else {
    BFTMETA_CHECK(optional_record(keys::tombstone(q.session_id), found.tombstone));
  }
  answer = std::move(found);
  return Code::ok;
}

Code Evaluation::operator()(const schema::GetMembership& q, Answer& answer) const {
  MembershipAnswer found;
  BFTMETA_CHECK(optional_record(keys::config(q.epoch), found.config));
  BFTMETA_CHECK(optional_record(keys::config(q.epoch + 1), found.next));
  BFTMETA_CHECK(optional_record(keys::pending_change(), found.pending));
  answer = std::move(found);
  return Code::ok;
}

}  // namespace

QueryResult evaluate(const tree::Reader& reader, const schema::Query& query,
                     const config::ClientRules* rules) {
  QueryResult result;
  std::optional<Credentials> who;
  if (rules != nullptr) {
    who = effective_caller(*rules, query.caller);
    if (!who) {
      result.code = Code::not_permitted;
      return result;
    }
  }
  const View view(reader);
  const Evaluation evaluation(view, rules, who ? &*who : nullptr);
  result.code = std::visit([&](const auto& q) { return evaluation(q, result.answer); }, query.body);
  result.unknown = view.unknown();
  if (result.code != Code::ok || result.unknown) result.answer = std::monostate{};
  return result;
}

QueryResult evaluate(const tree::Reader& reader, const schema::Query& query,
                     const PublicKey& principal) {
  schema::Principal record;
  switch (View(reader).record(keys::principal(principal), record)) {
    case tree::Found::value: return evaluate(reader, query, &record.rules);
    case tree::Found::absent: return {.unknown = false, .code = Code::not_permitted, .answer = {}};
    case tree::Found::unknown: break;
  }
  return {.unknown = true, .code = Code::io_error, .answer = {}};
}

}  // namespace bftmeta::ns
