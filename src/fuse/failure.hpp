// What a file system call answers: a value, or an errno with the sentence for the log.
// Thread-safety: plain values.
#pragma once

#include <cerrno>

#include "base/result.hpp"
#include "schema/operations.hpp"

namespace bftmeta::fuse {

struct Failure {
  int error = EIO;                       // errno of the call
  schema::Code code = schema::Code::ok;  // of the state machine, if it was the one that refused
  std::string reason;                    // empty for ordinary answers such as ENOENT

  Failure(int e, std::string why = {}) : error(e), reason(std::move(why)) {}
  Failure(schema::Code c) : error(schema::to_errno(c)), code(c) {}
  // The cluster or a store could not do it: EIO, save where POSIX has a better word.
  Failure(const Error& cause);
};

template <class T>
using Outcome = tl::expected<T, Failure>;

}  // namespace bftmeta::fuse

// Returns early with the failure of `expr`; otherwise discards its value.
#define BFTFS_TRY(expr)                                                                          \
  do {                                                                                           \
    if (auto bftfs_try_result = (expr); !bftfs_try_result)                                       \
      return tl::make_unexpected(::bftmeta::fuse::Failure(std::move(bftfs_try_result.error()))); \
  } while (false)
// Declares `decl` as the value of `expr`, or returns early with its failure.
#define BFTFS_ASSIGN(decl, expr) BFTFS_ASSIGN_(decl, expr, BFTMETA_CONCAT(bftfs_result_, __LINE__))
#define BFTFS_ASSIGN_(decl, expr, name)                                                     \
  auto name = (expr);                                                                       \
  if (!name) return tl::make_unexpected(::bftmeta::fuse::Failure(std::move(name.error()))); \
  decl = std::move(*name)
