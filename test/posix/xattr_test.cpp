// Extended attributes.
#include <sys/xattr.h>

#include "place.hpp"

using namespace bftmeta::test;

TEST_CASE("extended attributes") {
  const Place p;
  write_file(p / "f", "x");
  const std::string path = p / "f";
  const auto set = [&](const char* name, const std::string& value, int flags = 0) {
    return error_of(
        [&] { return ::setxattr(path.c_str(), name, value.data(), value.size(), flags); });
  };
  const int first = set("user.a", "one");
  if (first == EOPNOTSUPP) return;  // tmpfs of older kernels
  REQUIRE(first == 0);
  std::string value(100, '\0');
  CHECK(::getxattr(path.c_str(), "user.a", nullptr, 0) == 3);
  CHECK(::getxattr(path.c_str(), "user.a", value.data(), value.size()) == 3);
  CHECK(value.substr(0, 3) == "one");
  CHECK(error_of([&] {
          return static_cast<int>(::getxattr(path.c_str(), "user.a", value.data(), 2));
        }) == ERANGE);
  CHECK(set("user.a", "two", XATTR_CREATE) == EEXIST);
  CHECK(set("user.b", "two", XATTR_REPLACE) == ENODATA);
  CHECK(set("user.a", "", XATTR_REPLACE) == 0);
  CHECK(::getxattr(path.c_str(), "user.a", nullptr, 0) == 0);
  CHECK(set("user.b", std::string(1000, 'v')) == 0);
  std::string names(100, '\0');
  const ssize_t length = ::listxattr(path.c_str(), names.data(), names.size());
  CHECK(length >= 14);
  CHECK(names.find(std::string("user.a\0", 7)) != std::string::npos);
  CHECK(names.find(std::string("user.b\0", 7)) != std::string::npos);
  CHECK(::removexattr(path.c_str(), "user.a") == 0);
  CHECK(error_of([&] { return ::removexattr(path.c_str(), "user.a"); }) == ENODATA);
  CHECK(error_of([&] {
          return static_cast<int>(::getxattr(path.c_str(), "user.a", value.data(), 10));
        }) == ENODATA);
  CHECK(set("nonsense", "x") == EOPNOTSUPP);
}
