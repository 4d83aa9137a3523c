// The real file system with a diary of what is asked of it, and failures on demand.
#pragma once

#include <functional>
#include <mutex>
#include <set>

#include "storage/file.hpp"

namespace bftmeta::test {

class WatchedFileSystem final : public storage::FileSystem {
 public:
  // Asked before each call with "<call> <path>"; an error is the call's answer.
  std::function<Status(const std::string& call)> before = [](const std::string&) -> Status {
    return {};
  };
  std::vector<std::string> diary() const {
    std::lock_guard lock(mutex_);
    return diary_;
  }
  void forget() {
    std::lock_guard lock(mutex_);
    diary_.clear();
  }

  Result<std::unique_ptr<storage::File>> open(const std::string& path,
                                              storage::OpenMode mode) override {
    const bool create = mode == storage::OpenMode::create;
    BFTMETA_TRY(note((create ? "create " : "open ") + path));
    BFTMETA_ASSIGN(auto file, real_.open(path, mode));
    return std::make_unique<WatchedFile>(*this, std::move(file), path);
  }
  Result<bool> exists(const std::string& path) override { return real_.exists(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  Status make_directory(const std::string& path) override { return real_.make_directory(path); }
  Status rename(const std::string& from, const std::string& to) override {
    BFTMETA_TRY(note("rename " + to));
    return real_.rename(from, to);
  }
  Status unlink(const std::string& path) override {
    BFTMETA_TRY(note("unlink " + path));
    return real_.unlink(path);
  }
  Status remove_directory(const std::string& path) override { return real_.remove_directory(path); }
  Status sync_directory(const std::string& path) override {
    BFTMETA_TRY(note("sync_directory " + path));
    return real_.sync_directory(path);
  }
  Result<std::unique_ptr<storage::FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

 private:
  class WatchedFile final : public storage::File {
   public:
    WatchedFile(WatchedFileSystem& fs, std::unique_ptr<storage::File> real, std::string path)
        : fs_(fs), real_(std::move(real)), path_(std::move(path)) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
      return real_->read_at(offset, out);
    }
    Status write_at(std::uint64_t offset, ByteView bytes) override {
      BFTMETA_TRY(fs_.note("write " + path_));
      return real_->write_at(offset, bytes);
    }
    Status allocate(std::uint64_t size) override { return real_->allocate(size); }
    Status sync_data() override {
      BFTMETA_TRY(fs_.note("sync " + path_));
      return real_->sync_data();
    }
    Status reload() override { return real_->reload(); }
    Result<std::uint64_t> size() override { return real_->size(); }

   private:
    WatchedFileSystem& fs_;
    std::unique_ptr<storage::File> real_;
    std::string path_;
  };

  Status note(const std::string& call) {
    {
      std::lock_guard lock(mutex_);
      diary_.push_back(call);
    }
    return before(call);
  }

  storage::FileSystem& real_ = storage::posix_file_system();
  mutable std::mutex mutex_;
  std::vector<std::string> diary_;
};

}  // namespace bftmeta::test
