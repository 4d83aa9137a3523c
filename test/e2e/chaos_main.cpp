// test-chaos [--rounds N] [--seconds S] [--seed X] [--gap-ms M] [DOCTEST-ARGUMENT...]: the short
// form without arguments; scripts/chaos runs the long one. The table comes last. Exit code 1 if
// anything was violated.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "e2e/chaos.hpp"

namespace bftmeta::test::chaos {

namespace {

std::vector<std::string>& table() {
  static std::vector<std::string> lines;
  return lines;
}

}  // namespace

Settings& settings() {
  static Settings instance;
  return instance;
}

Line::Line(std::string what) : what_(std::move(what)) {}

Line::~Line() {
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start_;
  const std::string gap = gap_ ? std::to_string(gap_->count()) : "-";
  const char* verdict = !finished_ ? "unfinished" : violations_ > 0 ? "VIOLATED" : "ok";
  char line[256];
  std::snprintf(line, sizeof line, "%-46s %6u %12zu %10s %10zu %7.1f  %s", what_.c_str(), rounds_,
                acknowledged_, gap.c_str(), violations_, took.count(), verdict);
  table().emplace_back(line);
}

void Line::note_gap(std::chrono::milliseconds gap) {
  gap_ = std::max(gap, gap_.value_or(std::chrono::milliseconds(0)));
}

void Line::violations(const std::string& what, const std::vector<std::string>& found) {
  violations_ += found.size();
  for (const std::string& one : found) FAIL_CHECK(what << ": " << one);
}

void Line::violation_unless(bool ok, const std::string& what) {
  if (!ok) violations(what_, {what});
}

}  // namespace bftmeta::test::chaos

namespace {

// Takes "NAME NUMBER" out of the arguments; false: there is no number behind the name.
template <class T>
bool take_option(std::vector<char*>& arguments, const std::string& name, T& value) {
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] != name) continue;
    char* end = nullptr;
    const char* number = i + 1 < arguments.size() ? arguments[i + 1] : "";
    value = static_cast<T>(std::strtoull(number, &end, 10));
    if (*number < '0' || *number > '9' || *end != '\0') return false;
    arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    return true;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  namespace chaos = bftmeta::test::chaos;
  chaos::Settings& settings = chaos::settings();
  std::vector<char*> arguments(argv, argv + argc);
  if (!take_option(arguments, "--rounds", settings.rounds) ||
      !take_option(arguments, "--seconds", settings.seconds) ||
      !take_option(arguments, "--seed", settings.seed) ||
      !take_option(arguments, "--gap-ms", settings.gap_ms) || settings.rounds == 0) {
    std::fprintf(stderr, "usage: test-chaos [--rounds N] [--seconds S] [--seed X] [--gap-ms M]\n");
    return 2;
  }
  if (settings.seed == 0) settings.seed = std::random_device()();
  doctest::Context context(static_cast<int>(arguments.size()), arguments.data());
  const int status = context.run();
  if (context.shouldExit()) return status;
  std::printf("\nseed %lu\n%-46s %6s %12s %10s %10s %7s\n", settings.seed, "", "rounds",
              "acknowledged", "gap ms", "violations", "s");
  for (const std::string& line : chaos::table()) std::puts(line.c_str());
  return status;
}
