#include "support/create_load.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace bftmeta::test {

schema::Operation create_file(const std::string& name) {
  schema::MakeNode make;
  make.name.bytes = to_bytes(view(name));
  make.mode = 0644;
  return {{}, make};
}

schema::Query stat_file(const std::string& name) {
  schema::GetInode get;
  get.target.path.push_back({to_bytes(view(name))});
  return {{}, get};
}

CreateLoad::CreateLoad(client::Client& client, std::string prefix, std::size_t window)
    : client_(client), prefix_(std::move(prefix)) {
  const std::lock_guard lock(mutex_);
  while (outstanding_ < window) submit_one();
}

CreateLoad::~CreateLoad() { stop(); }

void CreateLoad::submit_one() {
  const std::string name = prefix_ + "-" + std::to_string(next_++);
  ++outstanding_;
  client_.submit(create_file(name),
                 [this, name](Result<schema::OpResult> result) { done(name, result); });
}

void CreateLoad::done(const std::string& name, const Result<schema::OpResult>& result) {
  const std::lock_guard lock(mutex_);
  --outstanding_;
  if (!result)
    failures_.push_back(name + ": " + result.error().message);
  else if (result->code != schema::Code::ok)
    failures_.push_back(name + ": " + std::string(schema::code_name(result->code)));
  else {
    acknowledged_.push_back(name);
    const auto now = Clock::now();
    longest_gap_ = std::max(longest_gap_, now - last_acknowledged_);
    last_acknowledged_ = now;
  }
  if (!stopping_ && result) submit_one();
  changed_.notify_all();
}

bool CreateLoad::wait_acknowledged(std::size_t more, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const std::size_t goal = acknowledged_.size() + more;
  return changed_.wait_for(lock, timeout, [&] { return acknowledged_.size() >= goal; });
}

void CreateLoad::run_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [] { return false; });
}

void CreateLoad::watch_gaps() {
  const std::lock_guard lock(mutex_);
  longest_gap_ = {};
}

std::chrono::milliseconds CreateLoad::longest_gap() const {
  const std::lock_guard lock(mutex_);
  const auto longest = std::max(longest_gap_, Clock::now() - last_acknowledged_);
  return std::chrono::duration_cast<std::chrono::milliseconds>(longest);
}

void CreateLoad::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.wait(lock, [&] { return outstanding_ == 0; });
}

std::vector<std::string> CreateLoad::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

std::vector<std::string> CreateLoad::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

std::vector<std::string> missing(client::Client& client, const std::vector<std::string>& names) {
  std::vector<std::string> absent;
  for (std::size_t at = 0; at < names.size(); at += limits::kMaxQueriesPerRead) {
    const std::size_t end = std::min(names.size(), at + limits::kMaxQueriesPerRead);
    std::vector<schema::Query> queries;
    for (std::size_t i = at; i < end; ++i) queries.push_back(stat_file(names[i]));
    const auto read = client.read(std::move(queries));
    REQUIRE_MESSAGE(read.has_value(), read.error().message);
    for (std::size_t i = at; i < end; ++i)
      if (read->answers[i - at].code != schema::Code::ok) absent.push_back(names[i]);
  }
  return absent;
}

}  // namespace bftmeta::test
