#include "base/bytes.hpp"

#include "base/assert.hpp"

namespace bftmeta {

namespace {
constexpr char kDigits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace

std::string to_hex(ByteView bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

std::optional<Bytes> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  Bytes out;
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int hi = hex_value(hex[i]);
    const int lo = hex_value(hex[i + 1]);
    if (hi < 0 || lo < 0) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(hi * 16 + lo));
  }
  return out;
}

std::string short_hex(ByteView bytes) {
  return to_hex(bytes.first(std::min<std::size_t>(8, bytes.size())));
}

Key::Key(ByteView bytes) { append(bytes); }

Key& Key::append_u8(std::uint8_t v) { return append({&v, 1}); }

Key& Key::append_be64(std::uint64_t v) {
  std::uint8_t buffer[8];
  store_be64(buffer, v);
  return append(buffer);
}

Key& Key::append(ByteView bytes) {
  BFTMETA_ASSERT(size_ + bytes.size() <= kMaxSize);
  std::copy(bytes.begin(), bytes.end(), bytes_.begin() + size_);
  size_ = static_cast<std::uint8_t>(size_ + bytes.size());
  return *this;
}

bool Key::starts_with(const Key& prefix) const {
  return prefix.size_ <= size_ &&
         std::memcmp(bytes_.data(), prefix.bytes_.data(), prefix.size_) == 0;
}

std::optional<Key> Key::prefix_end() const {
  Key end = *this;
  while (end.size_ > 0) {
    std::uint8_t& last = end.bytes_[end.size_ - 1U];
    if (last != 0xff) {
      ++last;
      return end;
    }
    last = 0;  // keep the unused tail zero
    --end.size_;
  }
  return std::nullopt;
}

std::uint64_t load_be64(const std::uint8_t* p) {
  std::uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v = v << 8 | p[i];
  return v;
}

void store_be64(std::uint8_t* p, std::uint64_t v) {
  for (int i = 7; i >= 0; --i) {
    p[i] = static_cast<std::uint8_t>(v);
    v >>= 8;
  }
}

}  // namespace bftmeta
