#include "net/poller.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/assert.hpp"

namespace bftmeta::net {

namespace {
constexpr std::chrono::microseconds kHousekeeping{250'000};
}

Waker::Waker() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { BFTMETA_ASSERT(fd_ >= 0); }
Waker::~Waker() { ::close(fd_); }

void Waker::wake() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake already.
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

void Waker::drain() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_, &count, sizeof count);
}

void PollSet::add(Socket& socket) {
  // libzmq's descriptor fires once per change of state: the state has to be asked for before every
  // wait, or a message that came while we were sending would be slept over.
  if (socket.readable()) ready_ = true;
  sockets_.emplace_back(fds_.size(), &socket);
  add_fd(socket.fd());
}

void Poller::wait(std::chrono::microseconds timeout) {
  timeout = std::clamp(timeout, std::chrono::microseconds{0}, kHousekeeping);
  set_.fds_.clear();
  set_.sockets_.clear();
  set_.ready_ = false;
  set_.add_fd(waker_->fd());
  for (const int fd : extra_fds_) set_.add_fd(fd);
  for (PollSource* source : sources_) source->collect(set_);
  if (set_.ready_) timeout = std::chrono::microseconds{0};
  const timespec limit{.tv_sec = 0, .tv_nsec = timeout.count() * 1000};
  ::ppoll(set_.fds_.data(), static_cast<nfds_t>(set_.fds_.size()), &limit, nullptr);
  if (set_.fds_.front().revents != 0) waker_->drain();
  for (const auto& [place, socket] : set_.sockets_)
    if (set_.fds_[place].revents != 0) socket->touch();
}

}  // namespace bftmeta::net
