// Where a client keeps its newest certificate, and the epochs that led to it, between runs, so that
// a restart does not make it believe older ones. Replaced by rename, never written in place.
// Several processes may share one: a lock beside it orders them, and a newer state stays.
// Thread-safety: functions without state.
#pragma once

#include <chrono>
#include <string>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace bftmeta::client {

// Empty if there is no such file. Errors: io, permission, limit.
Result<Bytes> load_state(const std::string& path);
// Ok also when what is there is newer. Errors: busy (another process had the lock for all of
// `patience`), io, permission, disk_full.
Status store_state(const std::string& path, ByteView state, std::chrono::milliseconds patience);

}  // namespace bftmeta::client
