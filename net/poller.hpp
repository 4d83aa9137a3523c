// One blocking wait over all sockets of a thread, and an eventfd by which other threads end it.
// A turn of a loop is: wait, receive from every source until it is empty, work, flush every source.
// wait() may return early for no reason, so callers look at all their queues each turn.
// Thread-safety: Waker::wake is safe from any thread; everything else belongs to the loop's thread.
#pragma once

#include <poll.h>

#include <chrono>
#include <memory>
#include <vector>

#include "net/socket.hpp"

namespace bftmeta::net {

class Waker {
 public:
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake();
  void drain();
  int fd() const { return fd_; }

 private:
  int fd_;
};

// What a source tells the poller: descriptors to wait on, or that it has input already.
class PollSet {
 public:
  // Precondition: the socket stays where it is until the wait is over.
  void add(Socket& socket);
  void add_fd(int fd) { fds_.push_back({fd, POLLIN, 0}); }

 private:
  friend class Poller;
  std::vector<pollfd> fds_;
  std::vector<std::pair<std::size_t, Socket*>> sockets_;  // with their places in fds_
  bool ready_ = false;
};

class PollSource {
 public:
  virtual ~PollSource() = default;
  virtual void collect(PollSet& set) = 0;
};

class Poller {
 public:
  Poller() : waker_(std::make_shared<Waker>()) {}

  const std::shared_ptr<Waker>& waker() const { return waker_; }
  // The source must outlive the poller or be removed.
  void add(PollSource& source) { sources_.push_back(&source); }
  void remove(PollSource& source) { std::erase(sources_, &source); }
  // A plain descriptor, level-triggered; the caller reads it.
  void add_fd(int fd) { extra_fds_.push_back(fd); }

  // Returns when a source may have input, a descriptor is readable, wake() was called, or after
  // `timeout`; never later than 250 ms, so that sources can do their housekeeping.
  void wait(std::chrono::microseconds timeout);

 private:
  std::shared_ptr<Waker> waker_;
  std::vector<PollSource*> sources_;
  std::vector<int> extra_fds_;
  PollSet set_;
};

}  // namespace bftmeta::net
