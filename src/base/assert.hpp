// Assertions that stay on in release builds. A broken invariant stops the process: a crash is a
// fault that the protocol tolerates, a wrong vote is not. Never assert what network, disk, file or
// client bytes can make false; that is a Result.
#pragma once

namespace bftmeta {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define BFTMETA_ASSERT(cond) \
  (static_cast<bool>(cond) ? void(0) : ::bftmeta::assertion_failed(#cond, __FILE__, __LINE__))
