// A hash that no data has.
#pragma once

#include "base/bytes.hpp"

namespace bftmeta::verify::testing {

inline Hash filled(std::uint8_t byte) {
  Hash h;
  h.fill(byte);
  return h;
}

}  // namespace bftmeta::verify::testing
