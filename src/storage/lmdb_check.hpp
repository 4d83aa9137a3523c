// Whether the file of a state store has the shape that LMDB takes for granted. LMDB maps the file
// and believes it: a node of a wrong length, or a page that is both free and in use, makes it write
// outside its buffers, and the process ends later and somewhere else. So this reads the file by
// itself, every page that the newest generation reaches, each once: half a second per GiB that is
// cached, and what the disk takes for pages of 4 KiB otherwise. Contents are not its business: the
// tree checks those against hashes.
// Source: the format of LMDB 0.9 (data version 1). Thread-safety: none needed; nobody may write.
#pragma once

#include "storage/file.hpp"

namespace bftmeta::storage {

// In the directory of a store; LMDB's choice.
inline constexpr std::string_view kLmdbDataFile = "/data.mdb";

// `directory`: of the store, which nobody has open. No file is no damage. Errors: corrupt, with the
// page and what is wrong with it; io, permission.
Status check_lmdb_file(FileSystem& fs, const std::string& directory);

}  // namespace bftmeta::storage
