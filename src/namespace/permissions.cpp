#include "namespace/permissions.hpp"

namespace bftmeta::ns {

namespace {

std::uint16_t class_bits(const Credentials& who, const schema::Attributes& inode) {
  if (who.uid == inode.uid) return (inode.mode >> 6) & 7;
  if (who.in_group(inode.gid)) return (inode.mode >> 3) & 7;
  return inode.mode & 7;
}

// A setgid bit without group execute once meant mandatory locking; Linux leaves it to the members.
bool drops_setgid(const Credentials& who, const schema::Attributes& inode) {
  if ((inode.mode & mode_bits::kSetgid) == 0) return false;
  return (inode.mode & mode_bits::kGroupExecute) != 0 || !keeps_setgid(who, inode.gid);
}

std::uint16_t without_privileges(const Credentials& who, const schema::Attributes& inode) {
  unsigned mode = inode.mode & ~unsigned{mode_bits::kSetuid};
  if (drops_setgid(who, inode)) mode &= ~unsigned{mode_bits::kSetgid};
  return static_cast<std::uint16_t>(mode);
}

}  // namespace

bool may(const Credentials& who, const schema::Attributes& inode, Access wanted) {
  const auto bits = static_cast<std::uint16_t>(wanted);
  return who.root() || (class_bits(who, inode) & bits) == bits;
}

bool may_somehow(const Credentials& who, const schema::Attributes& inode) {
  return who.root() || class_bits(who, inode) != 0;
}

bool owns(const Credentials& who, const schema::Attributes& inode) {
  return who.root() || who.uid == inode.uid;
}

bool sticky_forbids(const Credentials& who, const schema::Attributes& directory,
                    const schema::Attributes& entry) {
  return (directory.mode & mode_bits::kSticky) != 0 && !owns(who, entry) && !owns(who, directory);
}

bool may_write_data(const Credentials& who, const schema::Attributes& inode) {
  return owns(who, inode) || may(who, inode, Access::write);
}

bool keeps_setgid(const Credentials& who, std::uint32_t group) {
  return who.root() || who.in_group(group);
}

std::uint16_t mode_after_write(const Credentials& who, const schema::Attributes& inode) {
  return who.root() ? inode.mode : without_privileges(who, inode);
}

std::uint16_t mode_after_chown(const Credentials& who, const schema::Attributes& inode) {
  return inode.is_directory() ? inode.mode : without_privileges(who, inode);
}

}  // namespace bftmeta::ns
