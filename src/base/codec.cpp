#include "base/codec.hpp"

#include "base/assert.hpp"

namespace bftmeta::codec {

void check_cap(std::size_t count, Cap cap) { BFTMETA_ASSERT(count <= cap.max); }

Error decode_error(const char* type, const Decoder& d) {
  return {Errc::malformed,
          std::string(type) + ": field '" + d.error_field() + "': " + d.error_reason()};
}

}  // namespace bftmeta::codec
