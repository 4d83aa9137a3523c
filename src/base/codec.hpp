// The canonical codec, written once. A struct lists its fields one time:
//
//   template <class V, class Self> static void fields(V& v, Self& s) {
//     v.field("seq", s.seq);
//     v.field("name", s.name, Cap{255});
//   }
//
// and gets encode, encoded_size, decode and print from that list. Encoding: integers little-endian
// fixed width, bool one byte 0/1, enums as their integer (checked by an ADL function
// `bool valid_value(E)`), fixed arrays raw, byte strings and vectors behind a u32 count that is
// checked against its Cap and against the bytes left BEFORE anything is allocated, optionals behind
// a strict 0/1 byte, variants behind a u8 index. The decoder refuses trailing bytes, so
// encode(decode(x)) == x for every x that decodes. Thread-safety: pure functions.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace bftmeta {

// Largest element count (bytes for byte strings) of a variable-length field.
struct Cap {
  std::uint32_t max = 0;
};

namespace codec {

template <class T>
struct IsStdArray : std::false_type {};
template <class T, std::size_t N>
struct IsStdArray<std::array<T, N>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};

template <class T>
concept ByteString = std::same_as<T, Bytes> || std::same_as<T, std::string> || std::same_as<T, Key>;
template <class T>
concept Counted = ByteString<T> || IsVector<T>::value;

class Encoder {
 public:
  explicit Encoder(Bytes& out) : out_(out) {}

  template <class T>
  void field(const char*, const T& v) {
    static_assert(!Counted<T>, "a variable-length field needs a Cap");
    put(v);
  }
  template <class T>
  void field(const char*, const T& v, Cap cap) {
    put_counted(v, cap);
  }

  template <class T>
  void put(const T& v) {
    if constexpr (std::same_as<T, bool>) {
      out_.push_back(v ? 1 : 0);
    } else if constexpr (std::is_enum_v<T>) {
      put(static_cast<std::underlying_type_t<T>>(v));
    } else if constexpr (std::is_integral_v<T>) {
      auto u = static_cast<std::make_unsigned_t<T>>(v);
      std::uint8_t raw[sizeof(T)];
      for (std::size_t i = 0; i < sizeof(T); ++i) raw[i] = static_cast<std::uint8_t>(u >> (8 * i));
      out_.insert(out_.end(), raw, raw + sizeof(T));
    } else if constexpr (IsStdArray<T>::value) {
      if constexpr (std::same_as<typename T::value_type, std::uint8_t>)
        out_.insert(out_.end(), v.begin(), v.end());
      else
        for (const auto& e : v) put(e);
    } else if constexpr (IsOptional<T>::value) {
      put(v.has_value());
      if (v) put(*v);
    } else if constexpr (IsVariant<T>::value) {
      put(static_cast<std::uint8_t>(v.index()));
      std::visit([this](const auto& alternative) { put(alternative); }, v);
    } else {
      T::fields(*this, v);
    }
  }

 private:
  template <class T>
  void put_counted(const T& v, Cap cap);

  Bytes& out_;
};

class Sizer {
 public:
  std::size_t total = 0;

  template <class T>
  void field(const char*, const T& v) {
    add(v);
  }
  template <class T>
  void field(const char*, const T& v, Cap) {
    total += 4;
    if constexpr (ByteString<T>)
      total += v.size();
    else if constexpr (std::is_integral_v<typename T::value_type> ||
                       IsStdArray<typename T::value_type>::value)
      total += v.size() * sizeof(typename T::value_type);
    else
      for (const auto& e : v) add(e);
  }
  template <class T>
  void add(const T& v) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      total += sizeof(T);
    } else if constexpr (IsStdArray<T>::value) {
      if constexpr (std::is_integral_v<typename T::value_type>)
        total += sizeof(T);
      else
        for (const auto& e : v) add(e);
    } else if constexpr (IsOptional<T>::value) {
      total += 1;
      if (v) add(*v);
    } else if constexpr (IsVariant<T>::value) {
      total += 1;
      std::visit([this](const auto& alternative) { add(alternative); }, v);
    } else {
      T::fields(*this, v);
    }
  }
};

// Reads from a borrowed view. The first defect is kept; everything after it is a no-op.
class Decoder {
 public:
  explicit Decoder(ByteView in) : in_(in) {}

  bool ok() const { return error_ == nullptr; }
  const char* error_field() const { return error_ == nullptr ? "" : error_; }
  const char* error_reason() const { return reason_; }
  ByteView rest() const { return in_; }
  void reject(const char* field, const char* reason) {
    if (error_ == nullptr) {
      error_ = field;
      reason_ = reason;
    }
  }

  template <class T>
  void field(const char* name, T& v) {
    static_assert(!Counted<T>, "a variable-length field needs a Cap");
    get(name, v);
  }
  template <class T>
  void field(const char* name, T& v, Cap cap) {
    std::uint32_t count = 0;
    get(name, count);
    if (!ok()) return;
    if (count > cap.max) return reject(name, "count above its limit");
    if (count > in_.size()) return reject(name, "truncated");
    if constexpr (std::same_as<T, Key>) {
      if (count > Key::kMaxSize) return reject(name, "key too long");
      v = Key(in_.first(count));
      in_ = in_.subspan(count);
    } else if constexpr (ByteString<T>) {
      const auto* p = reinterpret_cast<const typename T::value_type*>(in_.data());
      v.assign(p, p + count);
      in_ = in_.subspan(count);
    } else {
      v.clear();
      v.reserve(std::min<std::size_t>(count, in_.size() / sizeof(typename T::value_type) + 1));
      for (std::uint32_t i = 0; i < count && ok(); ++i) get(name, v.emplace_back());
    }
  }

  template <class T>
  void get(const char* name, T& v) {
    if (!ok()) return;
    if constexpr (std::same_as<T, bool>) {
      std::uint8_t raw = 0;
      get(name, raw);
      if (raw > 1) return reject(name, "neither 0 nor 1");
      v = raw == 1;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> raw{};
      get(name, raw);
      if (ok() && !valid_value(static_cast<T>(raw))) return reject(name, "unknown value");
      v = static_cast<T>(raw);
    } else if constexpr (std::is_integral_v<T>) {
      if (in_.size() < sizeof(T)) return reject(name, "truncated");
      std::make_unsigned_t<T> u = 0;
      for (std::size_t i = 0; i < sizeof(T); ++i)
        u = static_cast<std::make_unsigned_t<T>>(u | static_cast<std::make_unsigned_t<T>>(in_[i])
                                                         << (8 * i));
      v = static_cast<T>(u);
      in_ = in_.subspan(sizeof(T));
    } else if constexpr (IsStdArray<T>::value) {
      if constexpr (std::same_as<typename T::value_type, std::uint8_t>) {
        if (in_.size() < v.size()) return reject(name, "truncated");
        std::copy_n(in_.begin(), v.size(), v.begin());
        in_ = in_.subspan(v.size());
      } else {
        for (auto& e : v) get(name, e);
      }
    } else if constexpr (IsOptional<T>::value) {
      bool present = false;
      get(name, present);
      if (!ok()) return;
      if (present)
        get(name, v.emplace());
      else
        v.reset();
    } else if constexpr (IsVariant<T>::value) {
      std::uint8_t index = 0;
      get(name, index);
      if (ok()) get_variant<0>(name, v, index);
    } else {
      T::fields(*this, v);
    }
  }

  // A variant's alternative whose index stands elsewhere (a frame's type byte).
  template <class V>
  void get_alternative(const char* name, V& v, std::size_t index) {
    get_variant<0>(name, v, index);
  }

 private:
  template <std::size_t I, class V>
  void get_variant(const char* name, V& v, std::size_t index) {
    if constexpr (I == std::variant_size_v<V>) {
      reject(name, "unknown alternative");
    } else if (index == I) {
      get(name, v.template emplace<I>());
    } else {
      get_variant<I + 1>(name, v, index);
    }
  }

  ByteView in_;
  const char* error_ = nullptr;
  const char* reason_ = "";
};

// Human-readable one-line form, for logs, bftadm and test failures; never parsed.
class Printer {
 public:
  std::string out;

  template <class T>
  void field(const char* name, const T& v) {
    label(name);
    print(v);
  }
  template <class T>
  void field(const char* name, const T& v, Cap) {
    label(name);
    if constexpr (std::same_as<T, std::string>) {
      out += '"' + v + '"';
    } else if constexpr (ByteString<T>) {
      out += "0x" + to_hex(v);
    } else {
      out += '[';
      for (std::size_t i = 0; i < v.size(); ++i) {
        if (i != 0) out += ", ";
        print(v[i]);
      }
      out += ']';
    }
  }
  template <class T>
  void print(const T& v) {
    if constexpr (std::same_as<T, bool>) {
      out += v ? "true" : "false";
    } else if constexpr (std::is_enum_v<T>) {
      out += std::to_string(static_cast<std::underlying_type_t<T>>(v));
    } else if constexpr (std::is_integral_v<T>) {
      out += std::to_string(v);
    } else if constexpr (IsStdArray<T>::value) {
      if constexpr (std::same_as<typename T::value_type, std::uint8_t>) {
        out += to_hex(v);
      } else {
        for (const auto& e : v) print(e), out += ' ';
      }
    } else if constexpr (IsOptional<T>::value) {
      if (v)
        print(*v);
      else
        out += "none";
    } else if constexpr (IsVariant<T>::value) {
      out += '#' + std::to_string(v.index());
      std::visit([this](const auto& alternative) { print(alternative); }, v);
    } else {
      out += '{';
      first_ = true;
      T::fields(*this, v);
      out += '}';
      first_ = false;
    }
  }

 private:
  void label(const char* name) {
    if (!first_) out += ' ';
    first_ = false;
    out += name;
    out += '=';
  }
  bool first_ = true;
};

void check_cap(std::size_t count, Cap cap);  // asserts: our own values never exceed their caps

template <class T>
void Encoder::put_counted(const T& v, Cap cap) {
  check_cap(v.size(), cap);
  put(static_cast<std::uint32_t>(v.size()));
  if constexpr (ByteString<T>) {
    out_.insert(out_.end(), v.data(), v.data() + v.size());
  } else {
    for (const auto& e : v) put(e);
  }
}

Error decode_error(const char* type, const Decoder& d);

}  // namespace codec

template <class T>
std::size_t encoded_size(const T& v) {
  codec::Sizer s;
  s.add(v);
  return s.total;
}

template <class T>
void encode_to(Bytes& out, const T& v) {
  out.reserve(out.size() + encoded_size(v));
  codec::Encoder e(out);
  e.put(v);
}

template <class T>
Bytes encode(const T& v) {
  Bytes out;
  encode_to(out, v);
  return out;
}

// Strict: every byte is consumed or it is an error (Errc::malformed, naming type and field).
// `type` is what messages call the thing.
template <class T>
Result<T> decode(ByteView in, const char* type) {
  T v{};
  codec::Decoder d(in);
  d.get(type, v);
  if (d.ok() && !d.rest().empty()) d.reject("end", "trailing bytes");
  if (!d.ok()) return tl::make_unexpected(codec::decode_error(type, d));
  return v;
}

template <class T>
std::string print(const T& v) {
  codec::Printer p;
  p.print(v);
  return std::move(p.out);
}

}  // namespace bftmeta
