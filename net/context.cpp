#include "net/context.hpp"

#include <zmq.h>

#include "base/assert.hpp"

namespace bftmeta::net {

Context::Context() : context_(zmq_ctx_new()) {
  BFTMETA_ASSERT(context_ != nullptr);
  BFTMETA_ASSERT(zmq_ctx_set(context_, ZMQ_IO_THREADS, 1) == 0);
  BFTMETA_ASSERT(zmq_has("curve") == 1);
}

Context::~Context() { zmq_ctx_term(context_); }

}  // namespace bftmeta::net
