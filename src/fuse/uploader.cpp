#include "fuse/uploader.hpp"

namespace bftmeta::fuse {

bool Upload::done() const {
  std::lock_guard lock(mutex_);
  return result_.has_value();
}

Result<Hash> Upload::wait() const {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return result_.has_value(); });
  return *result_;
}

Uploader::Uploader(blocks::BlockStore& store, std::size_t threads) : store_(store) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

Uploader::~Uploader() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

UploadPtr Uploader::start(Bytes content) {
  auto upload = std::make_shared<Upload>(std::move(content));
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(upload);
  }
  work_.notify_one();
  return upload;
}

void Uploader::run() {
  for (;;) {
    UploadPtr upload;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      upload = std::move(queue_.front());
      queue_.pop_front();
    }
    const std::uint64_t holders = store_.holders();
    Result<Hash> result = store_.put(upload->content());
    {
      std::lock_guard lock(upload->mutex_);
      upload->holders_ = holders;
      upload->result_ = std::move(result);
    }
    upload->finished_.notify_all();
  }
}

}  // namespace bftmeta::fuse
