// The process-wide ZeroMQ context: one I/O thread. Every socket made from it must be closed before
// it is destroyed (members declared after it do that by themselves). Thread-safety: safe to share.
#pragma once

namespace bftmeta::net {

class Context {
 public:
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* get() const { return context_; }

 private:
  void* context_;
};

}  // namespace bftmeta::net
