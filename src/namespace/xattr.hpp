// The rules of extended attribute names (Linux's xattr_permission): user.* follows the mode bits
// and exists on regular files and directories only, trusted.* is uid 0's and invisible to others,
// security.* is readable by all and written by uid 0. system.* (POSIX ACLs) is refused, because an
// ACL that is stored but not evaluated would lie. Thread-safety: pure functions.
#pragma once

#include "namespace/view.hpp"

namespace bftmeta::ns {

schema::Code check_xattr_name(ByteView name);
schema::Code check_xattr_read(const Credentials& who, const schema::Attributes& inode,
                              ByteView name);
schema::Code check_xattr_write(const Credentials& who, const schema::Attributes& inode,
                               ByteView name);
// Whether a listing shows it.
bool xattr_visible(const Credentials& who, ByteView name);

Key xattr_key(const Inode& inode, ByteView name);
// Code::no_attribute: none of this name.
schema::Code load_xattr(const View& view, const Key& key, ByteView name, schema::Xattr& xattr);

}  // namespace bftmeta::ns
