// The process-wide ZeroMQ context: one I/O thread. Every socket made from it must be closed before
// it is destroyed (members declared after it do that by themselves). Thread-safety: safe to share.
#pragma once

#include <atomic>
#include <cstdint>

namespace bftmeta::net {

class Context {
 public:
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* get() const { return context_; }

  // When the I/O thread was last seen to take something from a connection (steady clock, us).
  void note_io(std::int64_t now_us) const { io_us_.store(now_us, std::memory_order_relaxed); }
  std::int64_t io_us() const { return io_us_.load(std::memory_order_relaxed); }

 private:
  void* context_;
  mutable std::atomic<std::int64_t> io_us_{0};
};

}  // namespace bftmeta::net
