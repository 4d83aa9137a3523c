#include "blocks/block_store.hpp"

namespace bftmeta::blocks {

Status check_block_size(ByteView content) {
  if (content.empty() || content.size() > limits::kBlockSize)
    return fail(Errc::invalid_argument, "block of " + std::to_string(content.size()) +
                                            " bytes: a block has 1 to " +
                                            std::to_string(limits::kBlockSize));
  return {};
}

}  // namespace bftmeta::blocks
