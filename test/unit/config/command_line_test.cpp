#include "config/command_line.hpp"

#include <doctest/doctest.h>

using namespace bftmeta;
using config::CommandLine;
using config::Parsed;
using config::Syntax;

namespace {

Result<Parsed> parse(const CommandLine& line, std::vector<const char*> words) {
  words.insert(words.begin(), "program");
  return line.parse(static_cast<int>(words.size()), words.data());
}

void runs(const CommandLine& line, std::vector<const char*> words) {
  const auto parsed = parse(line, std::move(words));
  INFO((parsed ? "" : parsed.error().message));
  REQUIRE(parsed.has_value());
  CHECK(*parsed == Parsed::run);
}

void refused(const CommandLine& line, std::vector<const char*> words, const std::string& message) {
  const auto parsed = parse(line, std::move(words));
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error().code == Errc::invalid_argument);
  CHECK(parsed.error().message == message);
}

}  // namespace

TEST_CASE("command line: every type is filled, and kept when it is not given") {
  CommandLine line("program", "");
  std::string text = "before";
  std::vector<std::string> texts;
  std::uint16_t u16 = 1;
  std::uint32_t u32 = 2;
  std::uint64_t u64 = 3;
  std::optional<std::uint32_t> maybe;
  std::vector<std::uint32_t> numbers;
  int whole = -4;
  double real = 0.5;
  bool flag = false;
  line.option("WORD", text, "");
  line.option("--texts", texts, "");
  line.option("--u16", u16, "");
  line.option("--u32", u32, "");
  line.option("--u64", u64, "");
  line.option("--maybe", maybe, "");
  line.option("--numbers", numbers, "").separated_by(',');
  line.option("-w,--whole", whole, "");
  line.option("--real", real, "");
  line.flag("--flag", flag, "");

  runs(line, {});
  CHECK(text == "before");
  CHECK(texts.empty());
  CHECK(std::tuple(u16, u32, u64, whole, real, flag) == std::tuple(1, 2, 3, -4, 0.5, false));
  CHECK_FALSE(maybe.has_value());

  runs(line, {"word",  "--texts", "a",     "b",      "--texts",   "c",   "--u16",
              "65535", "--u32=7", "--u64", "1",      "--maybe",   "0",   "-w",
              "-9",    "--real",  "2.5",   "--flag", "--numbers", "1,2", "3"});
  CHECK(text == "word");
  CHECK(texts == std::vector<std::string>{"a", "b", "c"});
  CHECK(std::tuple(u16, u32, u64, whole, real, flag) == std::tuple(65535, 7, 1, -9, 2.5, true));
  CHECK(maybe == 0);
  CHECK(numbers == std::vector<std::uint32_t>{1, 2, 3});

  refused(line, {"--u16", "65536"}, "Could not convert: --u16 = 65536");
  refused(line, {"--u32", "-1"}, "Could not convert: --u32 = -1");
  refused(line, {"--maybe", "x"}, "Could not convert: --maybe = x");
  refused(line, {"--nonsense"}, "The following argument was not expected: --nonsense");
  refused(line, {"word", "second"}, "The following argument was not expected: second");
}

TEST_CASE("command line: what is required, between, one of, together and apart") {
  CommandLine line("program", "");
  std::string path, kind;
  std::uint32_t count = 0, first = 0, last = 0, other = 0;
  double seconds = 0;
  line.option("--path", path, "").required();
  line.option("--kind", kind, "").one_of({"a", "b"});
  line.option("--count", count, "").between(1, 8);
  line.option("--seconds", seconds, "").between(0.5, 2.0);
  const auto first_option = line.option("--first", first, "");
  line.option("--last", last, "").needs(first_option);
  line.option("--other", other, "").excludes(first_option);

  refused(line, {}, "--path is required");
  for (const char* good : {"1", "8"}) runs(line, {"--path", "p", "--count", good});
  for (const char* bad : {"0", "9"})
    refused(line, {"--path", "p", "--count", bad},
            std::string("--count: Value ") + bad + " not in range 1 to 8");
  runs(line, {"--path", "p", "--seconds", "0.5", "--kind", "b"});
  refused(line, {"--path", "p", "--seconds", "0.4"},
          "--seconds: Value 0.4 not in range 0.500000 to 2.000000");
  refused(line, {"--path", "p", "--kind", "c"}, "--kind: c not in {a,b}");
  refused(line, {"--path", "p", "--last", "1"}, "--last requires --first");
  // Apart in both directions: the one that was declared first is named first.
  refused(line, {"--path", "p", "--other", "1", "--first", "1"}, "--first excludes --other");
  runs(line, {"--path", "p", "--first", "1", "--last", "2"});
}

TEST_CASE("command line: commands, and options of the program behind their names") {
  CommandLine line("program", "");
  std::string global, own;
  line.require_command();
  line.option("--global", global, "");
  const Syntax outer = line.command("outer", "");
  outer.require_command();
  const Syntax inner = outer.command("inner", "");
  inner.option("--own", own, "");
  const Syntax plain = line.command("plain", "");

  runs(line, {"outer", "inner", "--own", "x", "--global", "y"});
  CHECK((outer.chosen() && inner.chosen()));
  CHECK_FALSE(plain.chosen());
  CHECK((own == "x" && global == "y"));
  runs(line, {"--global", "z", "plain"});
  CHECK((plain.chosen() && !outer.chosen() && global == "z"));

  refused(line, {}, "A subcommand is required");
  refused(line, {"outer"}, "A subcommand is required");
  refused(line, {"nonsense"}, "unknown command 'nonsense'");
  refused(line, {""}, "unknown command ''");
  refused(line, {"plain", "--own", "x"}, "The following arguments were not expected: x --own");
}
