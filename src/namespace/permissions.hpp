// The one place where permissions are decided, with the results that Linux gives (inode_permission,
// may_delete, setattr_prepare and friends); apply and query share it. uid 0 overrides everything
// here. Thread-safety: pure functions.
#pragma once

#include "namespace/context.hpp"

namespace bftmeta::ns {

namespace mode_bits {
constexpr std::uint16_t kSetuid = 04000, kSetgid = 02000, kSticky = 01000;
constexpr std::uint16_t kGroupExecute = 0010, kAnyExecute = 0111;
constexpr std::uint16_t kAll = 07777;
}  // namespace mode_bits

// What a caller wants; the numbers of access(2).
enum class Access : std::uint8_t {
  execute = 1,  // of a directory: search
  write = 2,
  write_execute = 3,  // add or remove entries of a directory
  read = 4,
};

// The mode bits of exactly one class decide: owner, else group, else other.
bool may(const Credentials& who, const schema::Attributes& inode, Access wanted);
// At least one of read, write, execute.
bool may_somehow(const Credentials& who, const schema::Attributes& inode);
bool owns(const Credentials& who, const schema::Attributes& inode);  // or is uid 0
// Sticky bit: in such a directory only the owner of the entry or of the directory removes it.
bool sticky_forbids(const Credentials& who, const schema::Attributes& directory,
                    const schema::Attributes& entry);
// Owner, or in a class that may write: who opened a file for writing keeps that right when its mode
// changes, and a file may be created read-only and then filled (as NFS servers do it).
bool may_write_data(const Credentials& who, const schema::Attributes& inode);

// Whether setgid may stay on something of this group.
bool keeps_setgid(const Credentials& who, std::uint32_t group);
// The mode after write or truncate by `who`: setuid and setgid are cleared unless by uid 0.
std::uint16_t mode_after_write(const Credentials& who, const schema::Attributes& inode);
// The mode after a change of owner or group, by whomever.
std::uint16_t mode_after_chown(const Credentials& who, const schema::Attributes& inode);

}  // namespace bftmeta::ns
