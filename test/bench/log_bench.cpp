// log-bench [DIRECTORY [SECONDS]]: how many groups of 8 KiB per second the log makes durable, and
// how long one commit takes, beside the bare pwrite + fdatasync of the same bytes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "storage/log.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kGroupBytes = 8192;

void die(const Error& error) {
  std::fprintf(stderr, "log-bench: %s\n", error.message.c_str());
  std::exit(1);
}

void measure(const char* name, double seconds, const std::function<Status()>& commit) {
  std::vector<double> micros;
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  for (auto before = start; before < end;) {
    if (const Status done = commit(); !done) die(done.error());
    const auto after = Clock::now();
    micros.push_back(std::chrono::duration<double, std::micro>(after - before).count());
    before = after;
  }
  const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  std::ranges::sort(micros);
  const auto at = [&](double q) {
    return micros[static_cast<std::size_t>(q * static_cast<double>(micros.size() - 1))];
  };
  std::printf(
      "%-24s %8.0f commits/s   p50 %6.0f us   p99 %6.0f us   p99.9 %6.0f us   max %6.0f us\n", name,
      static_cast<double>(micros.size()) / elapsed, at(0.5), at(0.99), at(0.999), micros.back());
}

void bench_bare(const std::string& directory, double seconds) {
  FileSystem& fs = posix_file_system();
  auto file = fs.open(directory + "/bare", OpenMode::create);
  if (!file) die(file.error());
  constexpr std::uint64_t kSize = 8ULL << 20;
  if (const Status s = (*file)->write_at(0, Bytes(kSize)); !s) die(s.error());
  if (const Status s = (*file)->sync_data(); !s) die(s.error());
  const Bytes group(kGroupBytes, 1);
  std::uint64_t offset = 0;
  measure("pwrite + fdatasync", seconds, [&]() -> Status {
    BFTMETA_TRY((*file)->write_at(offset, group));
    offset = (offset + kGroupBytes) % kSize;
    return (*file)->sync_data();
  });
}

void bench_log(const std::string& directory, double seconds, const LogOptions& options) {
  FileSystem& fs = posix_file_system();
  const LogSecret secret{};
  const std::string path = directory + "/log-" + std::to_string(options.segment_bytes >> 20);
  if (const Status s = Log::create(fs, path, secret); !s) die(s.error());
  const auto before = Clock::now();
  auto opened = Log::open(fs, path, options, secret, 0);
  if (!opened) die(opened.error());
  Log& log = *opened->log;
  const std::string name = "log, " + std::to_string(options.segment_bytes >> 20) + " MiB segments";
  std::printf("%-24s opened in %.0f ms\n", name.c_str(),
              std::chrono::duration<double, std::milli>(Clock::now() - before).count());
  log.set_state_provider([] { return std::vector<Record>{}; });
  std::jthread filler([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const auto more = log.prepare_space();
      if (!more) die(more.error());
      if (!*more) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  std::uint64_t seq = 0;
  measure(name.c_str(), seconds, [&]() -> Status {
    ++seq;
    log.append({1, RecordClass::control, seq, std::nullopt, Bytes(150)});
    log.append({2, RecordClass::body, seq, Hash{}, Bytes(kGroupBytes - 600)});
    const auto done = log.commit();
    if (!done) return tl::make_unexpected(done.error());
    log.set_flushed(seq > 4096 ? seq - 4096 : 0);
    return {};
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string parent = argc > 1 ? argv[1] : ".";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 5;
  std::string directory = parent + "/log-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    std::perror(directory.c_str());
    return 1;
  }
  bench_bare(directory, seconds);
  bench_log(directory, seconds, {.segment_bytes = 8ULL << 20, .retain_bytes = 32ULL << 20});
  bench_log(directory, seconds, {});
  std::filesystem::remove_all(directory);
  return 0;
}
