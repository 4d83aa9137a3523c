#include "admin/report.hpp"

#include <doctest/doctest.h>

#include "admin/progress.hpp"

using namespace bftmeta;
using namespace bftmeta::admin;

namespace {

Report sample() {
  return {{{"health", "ok"}, {"ops_per_s", 1234.56}, {"up", true}},
          {{"replicas",
            {"id", "certified_seq", "note"},
            {{std::uint64_t{0}, std::uint64_t{12345678}, "primary"},
             {std::uint64_t{1}, std::uint64_t{9}, ""}}}}};
}

}  // namespace

TEST_CASE("a report as text: fields, then aligned tables without trailing blanks") {
  CHECK(to_text(sample()) ==
        "health     ok\n"
        "ops per s  1234.6\n"
        "up         yes\n"
        "\n"
        "id  certified seq  note\n"
        " 0       12345678  primary\n"
        " 1              9\n");
  CHECK(to_text({}).empty());
}

TEST_CASE("a report as JSON: order and types are kept") {
  CHECK(to_json(sample()) ==
        "{\n"
        "  \"health\": \"ok\",\n"
        "  \"ops_per_s\": 1234.56,\n"
        "  \"up\": true,\n"
        "  \"replicas\": [\n"
        "    {\n"
        "      \"id\": 0,\n"
        "      \"certified_seq\": 12345678,\n"
        "      \"note\": \"primary\"\n"
        "    },\n"
        "    {\n"
        "      \"id\": 1,\n"
        "      \"certified_seq\": 9,\n"
        "      \"note\": \"\"\n"
        "    }\n"
        "  ]\n"
        "}\n");
}

TEST_CASE("bytes that are no UTF-8 do not break the JSON") {
  CHECK(to_json({{{"name", std::string("a\xff\"b")}}, {}}).find("\\\"b") != std::string::npos);
}

TEST_CASE("progress lines") {
  CHECK(Progress::line("copy", 0, 100, 0) == "copy  [..............................] 0 %");
  CHECK(Progress::line("copy", 50, 100, 4000) ==
        "copy  [###############...............] 50 %  4 s left");
  CHECK(Progress::line("copy", 200, 100, 4000) ==
        "copy  [##############################] 100 %  0 s left");
  CHECK(Progress::line("copy", 7, 0, 4000) == "copy  7");
}
