// LMDB maps its file: damage in it may raise a signal (SIGBUS, SIGSEGV, SIGABRT of an assertion).
// Whoever handles the signal asks here whether this thread is in LMDB, or in bytes that it has
// mapped. Thread-safety: each thread sees its own; in_lmdb() is async-signal-safe.
#pragma once

#include <csignal>

namespace bftmeta::storage {

inline thread_local volatile std::sig_atomic_t lmdb_depth = 0;

inline bool in_lmdb() { return lmdb_depth > 0; }

// As long as it lives, this thread is.
class LmdbScope {
 public:
  LmdbScope() { lmdb_depth = lmdb_depth + 1; }
  ~LmdbScope() { lmdb_depth = lmdb_depth - 1; }
  LmdbScope(const LmdbScope&) = delete;
  LmdbScope& operator=(const LmdbScope&) = delete;
};

}  // namespace bftmeta::storage
