// Errors are values: Result<T> is either a T or an Error with a stable code and one sentence that
// says what failed, on which object, why, and what to do next. No exception crosses a room's
// border. Thread-safety: values, like std::string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace bftmeta {

// Process exit codes of all programs (documented in docs/operating.md).
enum class ExitCode : int {
  ok = 0,
  failed = 1,               // the operation failed
  usage = 2,                // command line or configuration is wrong
  unreachable = 3,          // cluster unreachable or no quorum
  verification_failed = 4,  // a proof, certificate or signature does not hold
  degraded = 5,             // status only, with --exit-code
  permission = 6,           // a key, a file or an operation is not permitted
};

// Why something failed, coarsely; it decides the exit code (exit_code_of) and what a caller may do.
enum class Errc : std::uint16_t {
  invalid_argument = 1,  // caller's input is wrong
  config,                // a configuration file or value is wrong
  malformed,             // bytes that do not decode
  not_found,             // an object does not exist
  already_exists,
  permission,   // file mode, owner or access right
  io,           // the operating system refused: read, write, sync, socket
  disk_full,    // no space for what must be durable
  corrupt,      // stored bytes are not what was written
  unverified,   // a signature, proof or certificate does not hold
  identity,     // a key, data directory or peer belongs to someone else
  unreachable,  // nobody answered in time
  busy,         // a limit is reached; try again later
  stale,        // the answer is too old
  limit,        // a hard limit of the format or protocol is exceeded
  internal,     // a broken invariant that was caught before harm
};

struct Error {
  Errc code = Errc::internal;
  std::string message;  // one line, no trailing full stop needed
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Errc code, std::string message) {
  return tl::make_unexpected(Error{code, std::move(message)});
}
// Same code, with "context: " in front of the sentence.
inline tl::unexpected<Error> fail(std::string_view context, const Error& cause) {
  return tl::make_unexpected(Error{cause.code, std::string(context) + ": " + cause.message});
}

std::string_view errc_name(Errc code);
Errc errc_of_errno(int error);  // why the operating system refused
ExitCode exit_code_of(Errc code);

}  // namespace bftmeta

// Returns early with the error of `expr`; otherwise discards its value.
#define BFTMETA_TRY(expr)                                                \
  do {                                                                   \
    if (auto bftmeta_try_result = (expr); !bftmeta_try_result)           \
      return tl::make_unexpected(std::move(bftmeta_try_result.error())); \
  } while (false)

#define BFTMETA_CONCAT_(a, b) a##b
#define BFTMETA_CONCAT(a, b) BFTMETA_CONCAT_(a, b)
// Declares `decl` as the value of `expr`, or returns early with its error.
#define BFTMETA_ASSIGN(decl, expr) \
  BFTMETA_ASSIGN_(decl, expr, BFTMETA_CONCAT(bftmeta_result_, __LINE__))
#define BFTMETA_ASSIGN_(decl, expr, name)                         \
  auto name = (expr);                                             \
  if (!name) return tl::make_unexpected(std::move(name.error())); \
  decl = std::move(*name)
