// What waits to be sent over one connection. push() packs messages into frames; flush() hands
// frames to libzmq while the bytes inside libzmq stay under their limit, so memory per slow reader
// is bounded in bytes (libzmq's own limit counts frames only) and nothing ever blocks. A message
// that finds the queue full is dropped and push() says so. Thread-safety: the loop's thread; only
// the in-flight counter is shared with the I/O thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>

#include "net/frame.hpp"
#include "net/poller.hpp"
#include "net/units.hpp"

namespace bftmeta::net {

struct OutboxLimits {
  std::size_t max_frame = 0;      // bytes; a message of max_frame - kMessageHeader still fits
  std::size_t max_queued = 0;     // bytes that wait here
  std::size_t max_in_flight = 0;  // bytes handed to libzmq and not yet encrypted for the wire
};

enum class SendOutcome {
  sent,
  full,  // the pipe's frame count is at its limit; try again in a later turn
  gone,  // the connection does not exist any more
};

class Outbox {
 public:
  Outbox(const OutboxLimits& limits, std::shared_ptr<Waker> waker);

  // Whether a message can be sent at all: not empty, and inside a frame.
  bool sendable(ByteView message) const {
    return !message.empty() && message.size() + kMessageHeader <= limits_.max_frame;
  }
  // False: not sendable, or no room.
  bool push(ByteView message);
  bool empty() const { return frames_.empty(); }
  std::size_t queued_bytes() const { return queued_; }
  std::size_t in_flight_bytes() const { return in_flight_->bytes.load(); }
  // Drops what waits; the number of messages dropped.
  std::size_t clear();

  // Calls send(zmq_msg_t*) for frames in order; the function takes the message over exactly when it
  // returns `sent`. When the in-flight limit stops it, the loop is woken as soon as there is room.
  template <class Send>
  SendOutcome flush(Send&& send) {
    while (!frames_.empty()) {
      if (!has_room()) return SendOutcome::full;
      Message message;
      Parcel* parcel = wrap_front(message);
      const SendOutcome outcome = send(message.get());
      if (outcome != SendOutcome::sent) {
        frames_.front().bytes = std::move(parcel->bytes);
        return outcome;
      }
      pop_front();
    }
    return SendOutcome::sent;
  }

 private:
  struct InFlight {
    std::atomic<std::size_t> bytes{0};
    std::atomic<bool> sender_waits{false};
    std::shared_ptr<Waker> waker;
  };
  struct Frame {
    Bytes bytes;
    std::size_t messages = 0;
    std::size_t size = 0;  // of bytes, also while libzmq has them
  };
  // Owned by the zmq message until the I/O thread has read it.
  struct Parcel {
    Bytes bytes;
    std::size_t cost = 0;
    std::shared_ptr<InFlight> in_flight;
  };

  static void release(void* data, void* hint);
  bool has_room();
  Parcel* wrap_front(Message& message);
  void pop_front();

  OutboxLimits limits_;
  std::deque<Frame> frames_;
  std::size_t queued_ = 0;
  std::shared_ptr<InFlight> in_flight_;
};

}  // namespace bftmeta::net
