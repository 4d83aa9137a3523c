// What the authenticated map says about one path, whoever asks: the inode it leads to, or that
// there is none. A proof of it is independent of permissions. Thread-safety: pure functions.
#pragma once

#include "schema/operations.hpp"
#include "tree/reader.hpp"

namespace bftmeta::verify {

struct PathFact {
  bool exists = false;
  std::uint64_t ino = 0;          // if it exists
  schema::Attributes attributes;  // if it exists
};

// Walks the target's names from its base without following symlinks. A name below something that
// is not a directory does not exist. Errc::unverified if the reader does not know a step ("not
// covered"), or holds what no execution writes; Errc::invalid_argument for a name that no entry can
// have.
Result<PathFact> path_fact(const tree::Reader& reader, const schema::Target& target);

// "/a/b", or "inode 7", "inode 7/a/b" for a base other than the root.
std::string target_name(const schema::Target& target);

}  // namespace bftmeta::verify
