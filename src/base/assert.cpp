#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace bftmeta {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "bftmeta: invariant broken: %s (%s:%d); stopping\n", expression, file, line);
  std::abort();
}

}  // namespace bftmeta
