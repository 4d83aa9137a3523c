// Client links as the core knows them: numbers that are given out once, the same for a link as long
// as it is there. Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "net/auth.hpp"

namespace bftmeta::replica {

class Links {
 public:
  std::uint64_t number(const net::Route& route) {
    const auto [it, fresh] = numbers_.try_emplace(route, next_);
    if (fresh) routes_.emplace(next_++, route);
    return it->second;
  }
  // nullptr: it is gone.
  const net::Route* route(std::uint64_t number) const {
    const auto it = routes_.find(number);
    return it == routes_.end() ? nullptr : &it->second;
  }
  // Forgets those that are not there any more; their numbers.
  std::vector<std::uint64_t> sweep(const std::function<bool(const net::Route&)>& there) {
    std::vector<std::uint64_t> gone;
    for (const auto& [number, route] : routes_)
      if (!there(route)) gone.push_back(number);
    for (const std::uint64_t number : gone) {
      numbers_.erase(routes_.at(number));
      routes_.erase(number);
    }
    return gone;
  }

 private:
  std::map<net::Route, std::uint64_t> numbers_;
  std::map<std::uint64_t, net::Route> routes_;
  std::uint64_t next_ = 1;  // 0 is no link
};

}  // namespace bftmeta::replica
