// Memory that holds secrets: wiped when it dies, moved but never copied. The capacity is fixed at
// construction, so that no reallocation leaves a copy behind. Thread-safety: plain values.
#pragma once

#include "base/bytes.hpp"

namespace bftmeta::crypto {

void wipe(std::span<std::uint8_t> bytes);  // not optimised away

// A 32-byte private key or seed.
class Secret32 {
 public:
  Secret32() = default;
  ~Secret32() { wipe(bytes_); }
  Secret32(Secret32&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret32& operator=(Secret32&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }

  std::array<std::uint8_t, 32>& bytes() { return bytes_; }
  const std::array<std::uint8_t, 32>& bytes() const { return bytes_; }

 private:
  std::array<std::uint8_t, 32> bytes_{};
};

// A private file's content or a passphrase.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  ~SecretBytes() { wipe(bytes_); }
  SecretBytes(SecretBytes&&) noexcept = default;
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    bytes_.swap(other.bytes_);  // `other` wipes what was here
    return *this;
  }

  std::uint8_t* data() { return bytes_.data(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  ByteView view() const { return bytes_; }
  // Drops everything behind the first `size` bytes, wiping it.
  void shrink(std::size_t size) {
    wipe(std::span(bytes_).subspan(size));
    bytes_.resize(size);
  }

 private:
  Bytes bytes_;
};

}  // namespace bftmeta::crypto
