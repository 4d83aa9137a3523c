// Byte strings and fixed-size values that every room shares. No ownership tricks: Bytes owns,
// ByteView borrows. Thread-safety: plain values.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bftmeta {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

using Hash = std::array<std::uint8_t, 32>;       // SHA-256
using PublicKey = std::array<std::uint8_t, 32>;  // Ed25519 or Curve25519
using Signature = std::array<std::uint8_t, 64>;  // Ed25519
using Id16 = std::array<std::uint8_t, 16>;       // session ids and nonces

inline ByteView view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(std::string_view s) {
  const ByteView v = view(s);
  return {v.begin(), v.end()};
}
inline Bytes to_bytes(ByteView v) { return {v.begin(), v.end()}; }
inline bool equal(ByteView a, ByteView b) { return std::ranges::equal(a, b); }

std::string to_hex(ByteView bytes);
std::optional<Bytes> from_hex(std::string_view hex);  // lower or upper case, even length
// First 8 bytes in hexadecimal: how digests are shown to people.
std::string short_hex(ByteView bytes);

// A key of the authenticated map: at most 42 bytes, compared as unsigned bytes (big-endian fields
// make that the numeric order). A value, no heap.
class Key {
 public:
  static constexpr std::size_t kMaxSize = 42;

  Key() = default;
  // Precondition: bytes.size() <= kMaxSize.
  explicit Key(ByteView bytes);

  std::size_t size() const { return size_; }
  const std::uint8_t* data() const { return bytes_.data(); }
  ByteView view() const { return {bytes_.data(), size_}; }
  operator ByteView() const { return view(); }

  Key& append_u8(std::uint8_t v);
  Key& append_be64(std::uint64_t v);
  Key& append(ByteView bytes);  // precondition: fits
  bool starts_with(const Key& prefix) const;

  // Bit i counted from the most significant bit of byte 0; bits behind the end read as 0.
  bool bit(std::size_t i) const {
    const std::size_t byte = i / 8;
    return byte < size_ && ((bytes_[byte] >> (7 - i % 8)) & 1) != 0;
  }

  // The smallest key greater than every key with this prefix; nullopt when there is none.
  std::optional<Key> prefix_end() const;

  friend bool operator==(const Key& a, const Key& b) {
    return a.size_ == b.size_ && std::memcmp(a.bytes_.data(), b.bytes_.data(), a.size_) == 0;
  }
  friend std::strong_ordering operator<=>(const Key& a, const Key& b) {
    const int c = std::memcmp(a.bytes_.data(), b.bytes_.data(), std::min(a.size_, b.size_));
    if (c != 0) return c < 0 ? std::strong_ordering::less : std::strong_ordering::greater;
    return a.size_ <=> b.size_;
  }

 private:
  std::array<std::uint8_t, kMaxSize> bytes_{};
  std::uint8_t size_ = 0;
};

std::uint64_t load_be64(const std::uint8_t* p);
void store_be64(std::uint8_t* p, std::uint64_t v);

}  // namespace bftmeta
