#include "net/outbox.hpp"

#include "base/assert.hpp"

namespace bftmeta::net {

namespace {
// A frame that has this much is sent as it is: packing more would only delay its first message.
constexpr std::size_t kPackUpTo = 128 * 1024;
// What libzmq and the allocator need per frame beside its bytes.
constexpr std::size_t kFrameOverhead = 256;
}  // namespace

Outbox::Outbox(const OutboxLimits& limits, std::shared_ptr<Waker> waker)
    : limits_(limits), in_flight_(std::make_shared<InFlight>()) {
  in_flight_->waker = std::move(waker);
}

bool Outbox::push(ByteView message) {
  const std::size_t size = message.size() + kMessageHeader;
  if (!sendable(message) || queued_ + size > limits_.max_queued) return false;
  const bool fits = !frames_.empty() && frames_.back().messages < kMaxMessagesPerFrame &&
                    frames_.back().size + size <= std::min(kPackUpTo, limits_.max_frame);
  if (!fits) frames_.emplace_back();
  Frame& frame = frames_.back();
  append_message(frame.bytes, message);
  ++frame.messages;
  frame.size += size;
  queued_ += size;
  return true;
}

std::size_t Outbox::clear() {
  std::size_t messages = 0;
  for (const Frame& frame : frames_) messages += frame.messages;
  frames_.clear();
  queued_ = 0;
  return messages;
}

bool Outbox::has_room() {
  // One frame may always be under way, whatever its size.
  const std::size_t next = frames_.front().size + kFrameOverhead;
  const auto fits = [&] {
    const std::size_t now = in_flight_->bytes.load();
    return now == 0 || now + next <= limits_.max_in_flight;
  };
  if (fits()) return true;
  in_flight_->sender_waits.store(true);
  // The I/O thread may have released everything between the check and the request to be woken.
  return fits();
}

void Outbox::release(void*, void* hint) {
  const std::unique_ptr<Parcel> parcel(static_cast<Parcel*>(hint));
  InFlight& in_flight = *parcel->in_flight;
  in_flight.bytes.fetch_sub(parcel->cost);
  if (in_flight.sender_waits.exchange(false)) in_flight.waker->wake();
}

Outbox::Parcel* Outbox::wrap_front(Message& message) {
  Bytes& bytes = frames_.front().bytes;
  const std::size_t cost = bytes.size() + kFrameOverhead;
  auto parcel = std::make_unique<Parcel>(Parcel{std::move(bytes), cost, in_flight_});
  in_flight_->bytes.fetch_add(cost);
  Parcel* owned = parcel.release();
  BFTMETA_ASSERT(zmq_msg_init_data(message.get(), owned->bytes.data(), owned->bytes.size(),
                                   &Outbox::release, owned) == 0);
  return owned;
}

void Outbox::pop_front() {
  queued_ -= frames_.front().size;
  frames_.pop_front();
}

}  // namespace bftmeta::net
