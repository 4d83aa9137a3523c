#include <doctest/doctest.h>

#include <set>
#include <string_view>

#include "base/tags.hpp"

using namespace bftmeta;

TEST_CASE("signature tags are unique, 16 bytes and end in a NUL") {
  std::set<tags::Tag> seen;
  for (const tags::Tag& t : tags::kAll) {
    CHECK(seen.insert(t).second);
    CHECK(t.back() == '\0');
    CHECK(std::string_view(t.data()).size() == 15);
  }
}

TEST_CASE("hash domain bytes are unique") {
  std::set<tags::Domain> seen;
  for (const tags::Domain d : tags::kAllDomains) CHECK(seen.insert(d).second);
}
