// Changes single fields of a message through the same list of fields that its codec uses, so that
// whatever comes out still encodes: integers to neighbours, limits and values seen elsewhere,
// hashes and signatures to flipped ones and to those of other messages, lists by dropping,
// doubling and swapping, optionals by presence. Thread-safety: one thread.
#pragma once

#include <deque>

#include "base/codec.hpp"
#include "sim/random.hpp"

namespace bftmeta::adversary {

// Values from all messages that were visited, to be spliced into others.
class Pool {
 public:
  template <class T>
  void learn(const T& v) {
    auto& seen = of<T>();
    seen.push_back(v);
    if (seen.size() > kMost) seen.pop_front();
  }
  template <class T>
  const T* pick(sim::Random& random) {
    auto& seen = of<T>();
    return seen.empty() ? nullptr : &seen[random.below(seen.size())];
  }

 private:
  static constexpr std::size_t kMost = 64;
  template <class T>
  auto& of() {
    if constexpr (std::same_as<T, std::uint64_t>)
      return numbers_;
    else if constexpr (std::same_as<T, Hash>)
      return hashes_;
    else
      return signatures_;
  }
  std::deque<std::uint64_t> numbers_;
  std::deque<Hash> hashes_;
  std::deque<Signature> signatures_;
};

// A visitor like the codec's. Counts places that can be changed, and changes the one whose number
// is `target`.
class Mutator {
 public:
  static constexpr std::size_t kNone = ~std::size_t{0};

  Mutator(Pool& pool, sim::Random& random, std::size_t target)
      : pool_(pool), random_(random), target_(target) {}

  std::size_t places() const { return next_; }

  template <class T>
  void field(const char*, T& v) {
    visit(v);
  }
  template <class T>
  void field(const char*, T& v, Cap cap) {
    if constexpr (std::same_as<T, Key>) {
      Bytes bytes = to_bytes(v.view());
      if (here()) change_counted(bytes, cap);
      v = Key(bytes);
    } else {
      if (here()) change_counted(v, cap);
      if constexpr (!codec::ByteString<T>)
        for (auto& element : v) visit(element);
    }
  }

  template <class T>
  void visit(T& v) {
    if constexpr (codec::IsOptional<T>::value) {
      if (here()) toggle(v);
      if (v) visit(*v);
    } else if constexpr (codec::IsVariant<T>::value) {
      std::visit([this](auto& alternative) { visit(alternative); }, v);
    } else if constexpr (std::is_enum_v<T>) {
      if (here()) change_enum(v);
    } else if constexpr (std::is_integral_v<T>) {
      if (here()) change_number(v);
      if constexpr (std::same_as<T, std::uint64_t>) pool_.learn(v);
    } else if constexpr (codec::IsStdArray<T>::value) {
      if (here()) change_bytes(v);
      if constexpr (std::same_as<T, Hash> || std::same_as<T, Signature>) pool_.learn(v);
    } else {
      T::fields(*this, v);
    }
  }

 private:
  bool here() { return next_++ == target_; }

  template <class T>
  static void toggle(std::optional<T>& v) {
    if (v)
      v.reset();
    else
      v.emplace();
  }

  template <class T>
  void change_enum(T& v) {
    constexpr std::uint64_t kKinds = 16;  // no enumeration has more
    for (std::uint64_t i = 0; i < kKinds; ++i) {
      const auto other = static_cast<T>(random_.below(kKinds));
      if (valid_value(other) && other != v) {
        v = other;
        return;
      }
    }
  }

  template <class T>
  void change_number(T& v) {
    if constexpr (std::same_as<T, bool>) {
      v = !v;
    } else {
      switch (random_.below(7)) {
        case 0: v = static_cast<T>(v + 1); break;
        case 1: v = static_cast<T>(v - 1); break;
        case 2: v = 0; break;
        case 3: v = static_cast<T>(~std::uint64_t{0}); break;
        case 4: v = static_cast<T>(v ^ std::uint64_t{1} << random_.below(8 * sizeof(T))); break;
        case 5: v = static_cast<T>(random_.next()); break;
        default:
          if (const auto* seen = pool_.pick<std::uint64_t>(random_)) v = static_cast<T>(*seen);
      }
    }
  }

  template <class T>
  void change_bytes(T& v) {
    if constexpr (std::same_as<T, Hash> || std::same_as<T, Signature>)
      if (random_.below(2) == 0)
        if (const T* seen = pool_.pick<T>(random_)) {
          v = *seen;
          return;
        }
    v[random_.below(v.size())] ^= static_cast<std::uint8_t>(1U << random_.below(8));
  }

  template <class T>
  void change_counted(T& v, Cap cap) {
    const std::size_t at = v.empty() ? 0 : random_.below(v.size());
    const auto it = v.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random_.below(5)) {
      case 0:
        if (!v.empty()) v.erase(it);
        break;
      case 1:
        if (v.size() < cap.max) v.insert(it, v.empty() ? typename T::value_type{} : *it);
        break;
      case 2:
        if (!v.empty()) std::swap(*it, v.front());
        break;
      case 3: v.resize(v.size() / 2); break;
      default:
        if constexpr (codec::ByteString<T>) {
          if (!v.empty()) *it ^= 1;
        } else if (v.size() < cap.max) {
          v.emplace_back();
        }
    }
  }

  Pool& pool_;
  sim::Random& random_;
  const std::size_t target_;
  std::size_t next_ = 0;
};

// Changes one field. `message` is a variant or a struct that lists its fields.
template <class T>
void mutate_field(T& message, Pool& pool, sim::Random& random) {
  Mutator counter(pool, random, Mutator::kNone);
  counter.visit(message);
  if (counter.places() == 0) return;
  Mutator(pool, random, random.below(counter.places())).visit(message);
}

}  // namespace bftmeta::adversary
