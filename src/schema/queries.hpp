// Read queries: what a client may ask of a certified root. A replica evaluates a query on its
// newest certified version, records the keys that were touched and sends the partial tree over
// them; the client evaluates THE SAME query on the parsed partial tree (namespace/query.hpp). So no
// result travels, only proof. Thread-safety: plain values.
#pragma once

#include "schema/operations.hpp"

namespace bftmeta::schema {

struct GetInode {  // attributes of an inode; path lookups prove every entry on the way
  Target target;
  bool symlink = false;  // its target too
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("symlink", s.symlink);
  }
  friend bool operator==(const GetInode&, const GetInode&) = default;
};

struct ListDirectory {  // a page of entries with cookie >= from_cookie, complete up to its end
  std::uint64_t ino = 0;
  std::uint64_t from_cookie = 0;
  std::uint32_t max_entries = 0;  // 1..kMaxPageEntries; entries with equal cookies travel together
  bool with_attributes = false;   // attributes of every entry too (readdirplus)
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("from_cookie", s.from_cookie);
    v.field("max_entries", s.max_entries);
    v.field("with_attributes", s.with_attributes);
  }
  friend bool operator==(const ListDirectory&, const ListDirectory&) = default;
};

struct GetXattr {
  std::uint64_t ino = 0;
  Bytes name;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("name", s.name, Cap{limits::kMaxXattrName});
  }
  friend bool operator==(const GetXattr&, const GetXattr&) = default;
};

struct ListXattrs {
  std::uint64_t ino = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
  }
  friend bool operator==(const ListXattrs&, const ListXattrs&) = default;
};

struct GetData {  // inline data, or the extents with offset in [from, to)
  std::uint64_t ino = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("from", s.from);
    v.field("to", s.to);
  }
  friend bool operator==(const GetData&, const GetData&) = default;
};

struct GetStatistics {  // the counters (statfs)
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const GetStatistics&, const GetStatistics&) = default;
};

struct ListPrincipals {  // registered clients
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const ListPrincipals&, const ListPrincipals&) = default;
};

struct GetSession {  // session record and a stored result: resolves an unknown outcome
  Id16 session_id{};
  std::uint64_t bundle_no = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("session_id", s.session_id);
    v.field("bundle_no", s.bundle_no);
  }
  friend bool operator==(const GetSession&, const GetSession&) = default;
};

struct GetMembership {  // the configuration of an epoch, of the next one, and a change under way
  std::uint64_t epoch = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("epoch", s.epoch);
  }
  friend bool operator==(const GetMembership&, const GetMembership&) = default;
};

using QueryBody = std::variant<GetInode, ListDirectory, GetXattr, ListXattrs, GetData,
                               GetStatistics, ListPrincipals, GetSession, GetMembership>;

struct Query {
  Caller caller;
  QueryBody body;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("caller", s.caller);
    v.field("body", s.body);
  }
  friend bool operator==(const Query&, const Query&) = default;
};

}  // namespace bftmeta::schema
