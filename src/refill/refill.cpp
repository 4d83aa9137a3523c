#include "refill/refill.hpp"

#include <algorithm>

#include "crypto/hash.hpp"

namespace bftmeta::refill {

namespace {

constexpr std::uint64_t kSecond = 1'000'000;
// Wanted blocks above which nothing more is looked at until all of them have ended: then the cursor
// can be remembered, and memory is bounded.
constexpr std::size_t kMostWanted = 256;
// Looked at in a turn: by name, or read.
constexpr std::size_t kLooks = 256;
constexpr std::size_t kReads = 4;
constexpr std::uint64_t kReadBurst = 4 * 1024 * 1024;
constexpr std::uint64_t kRememberUs = 10 * kSecond;
constexpr std::uint64_t kNoVersionUs = 200'000;  // until it is asked for again
constexpr std::uint64_t kUrgentPerSecond = 50;

// As a file.
struct CheckedRecord {
  Hash check{};  // of the encoded record
  PassRecord record;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("check", s.check);
    v.field("record", s.record);
  }
};

}  // namespace

Bytes encode_record(const PassRecord& record) {
  return encode(CheckedRecord{crypto::sha256(encode(record)), record});
}

Result<PassRecord> decode_record(ByteView file) {
  BFTMETA_ASSIGN(const auto checked, decode<CheckedRecord>(file, "pass record"));
  if (checked.check != crypto::sha256(encode(checked.record)))
    return fail(Errc::corrupt, "pass record: its hash does not match");
  if (checked.record.format != 1)
    return fail(Errc::malformed,
                "pass record: unknown format " + std::to_string(checked.record.format));
  return checked.record;
}

Refill::Refill(Options options, Surroundings& surroundings, const std::optional<PassRecord>& left,
               std::uint64_t now_us, std::uint64_t wall_s)
    : options_(options),
      surroundings_(surroundings),
      fetcher_({options.self, options.n, options.bytes_per_second, options.timing}, now_us),
      reads_(options.bytes_per_second, kReadBurst),
      urgent_(kUrgentPerSecond, kMaxUrgent) {
  if (left) {
    finished_s_ = left->finished_s;
    missing_ = left->missing;
  }
  if (!left)
    begin(false, first_cursor(), 0, now_us);
  else if (left->running)
    begin(left->thorough, left->cursor, left->missing, now_us);
  else
    schedule(now_us, wall_s);
}

// After a pass that another process has finished.
void Refill::schedule(std::uint64_t now_us, std::uint64_t wall_s) {
  if (missing_ != 0) {
    due_us_ = now_us + options_.first_retry_us;
  } else if (options_.interval_us != 0) {
    // A clock that went back costs one interval at most.
    const std::uint64_t past = wall_s > finished_s_ ? (wall_s - finished_s_) * kSecond : 0;
    due_us_ = now_us + options_.interval_us - std::min(past, options_.interval_us);
    due_thorough_ = true;
  }
}

void Refill::begin(bool thorough, Key cursor, std::uint64_t missing, std::uint64_t now_us) {
  fetcher_.forget();
  fetcher_.forgive();
  running_ = true;
  thorough_ = thorough;
  cursor_ = cursor;
  unseen_.clear();
  draining_ = false;
  slice_ = {};
  slice_size_ = 0;
  first_ = 0;
  began_us_ = remembered_us_ = now_us;
  checked_ = fetched_ = fetched_bytes_ = 0;
  missing_ = missing;
  failure_.reset();
  due_us_ = kNever;
  deadline_us_ = now_us;
  surroundings_.remember({1, true, thorough, missing, finished_s_, cursor});
}

void Refill::transferred(std::uint64_t now_us) {
  retries_ = 0;
  begin(false, first_cursor(), 0, now_us);
}

void Refill::missed(const Hash& digest, std::uint64_t now_us) {
  if (fetcher_.urgent() >= kMaxUrgent || !urgent_.open(now_us)) return;
  urgent_.spend(1, now_us);
  fetcher_.want_at_once(digest);
  deadline_us_ = now_us;
}

void Refill::on(ReplicaId from, messages::BlockReply reply, std::uint64_t now_us) {
  fetcher_.on(from, std::move(reply), now_us, actions_);
  deadline_us_ = now_us;
}

void Refill::turn(std::uint64_t now_us, std::uint64_t wall_s) {
  if (!running_ && now_us >= due_us_) begin(due_thorough_, first_cursor(), 0, now_us);
  deadline_us_ = due_us_;
  if (running_) look(now_us);
  settle();
  fetcher_.tick(now_us, actions_);
  settle();
  deadline_us_ = std::min(deadline_us_, fetcher_.deadline());
  if (!running_) return;
  const bool all_ended = fetcher_.of_pass() == 0;
  if (failure_ || (!cursor_ && unseen_.empty() && all_ended)) return end(now_us, wall_s);
  if (!all_ended) return;
  if (draining_) deadline_us_ = now_us;
  draining_ = false;
  if (unseen_.empty()) remember(now_us);
}

void Refill::look(std::uint64_t now_us) {
  draining_ = draining_ || fetcher_.of_pass() >= kMostWanted;
  if (draining_ || failure_) return;
  if (unseen_.empty() && cursor_) read_slice(now_us);
  for (std::size_t n = 0; n < (thorough_ ? kReads : kLooks) && !unseen_.empty(); ++n) {
    if (!look_at(unseen_.front(), now_us)) return;
    unseen_.pop_front();
  }
  if (!unseen_.empty() || cursor_) deadline_us_ = std::min(deadline_us_, now_us);
}

// False: not now.
bool Refill::look_at(const NamedBlock& block, std::uint64_t now_us) {
  if (thorough_ && !reads_.open(now_us)) {
    deadline_us_ = std::min(deadline_us_, reads_.opens_us());
    return false;
  }
  const Result<bool> here = surroundings_.holds(block.digest, thorough_);
  if (!here) {
    give_up(here.error());
    return false;
  }
  if (thorough_ && *here) reads_.spend(block.bytes, now_us);
  ++checked_;
  if (!*here) fetcher_.want(block);
  return true;
}

void Refill::read_slice(std::uint64_t now_us) {
  Result<Slice> slice = surroundings_.named(*cursor_);
  if (!slice && slice.error().code == Errc::stale) {
    deadline_us_ = std::min(deadline_us_, now_us + kNoVersionUs);
    began_us_ = now_us;
    return;
  }
  if (!slice) return give_up(slice.error());
  if (slice_.end == 0) first_ = slice->begin;
  slice_ = std::move(*slice);
  slice_size_ = slice_.blocks.size();
  unseen_.assign(slice_.blocks.begin(), slice_.blocks.end());
  slice_.blocks.clear();
  cursor_ = slice_.next;
}

void Refill::give_up(const Error& why) {
  if (!failure_) failure_ = why;
}

// What the fetcher wants done. Storing may end blocks, nothing else follows from it.
void Refill::settle() {
  Fetcher::Actions actions = std::exchange(actions_, {});
  for (const Fetcher::Ask& ask : actions.asks) surroundings_.ask(ask.to, ask.digest);
  for (const ReplicaId liar : actions.liars)
    surroundings_.say(true, "replica " + std::to_string(liar) +
                                " gave content that does not match its digest: it is not asked "
                                "for blocks any more in this pass");
  if (!actions.keeps.empty()) {
    const std::vector<Status> kept = surroundings_.keep(actions.keeps);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (kept[i]) {
        ++fetched_;
        fetched_bytes_ += actions.keeps[i].content.size();
      } else if (running_) {
        give_up(kept[i].error());
      }
      fetcher_.stored(actions.keeps[i].digest, kept[i].has_value(), actions);
    }
  }
  for (const Fetcher::Ended& ended : actions.ended)
    if (ended.of_pass && ended.outcome != Outcome::kept) ++missing_;
}

// Everything before the next slice was looked at.
void Refill::remember(std::uint64_t now_us) {
  if (!cursor_ || now_us - remembered_us_ < kRememberUs) return;
  remembered_us_ = now_us;
  surroundings_.remember({1, true, thorough_, missing_, finished_s_, *cursor_});
}

void Refill::end(std::uint64_t now_us, std::uint64_t wall_s) {
  running_ = false;
  ended_us_ = now_us;
  finished_s_ = wall_s;
  const bool whole = !failure_ && missing_ == 0;
  std::string line =
      "blocks: a pass over the certified files has ended: " + std::to_string(checked_) +
      " blocks checked, " + std::to_string(fetched_) + " fetched (" +
      std::to_string(fetched_bytes_) + " bytes), " + std::to_string(missing_) + " missing";
  if (failure_) line += "; it could not go on: " + failure_->message;
  surroundings_.say(!whole, line);
  fetcher_.forget();
  unseen_.clear();
  // What could not be looked at is looked at again from the beginning.
  surroundings_.remember(
      {1, failure_.has_value(), thorough_, missing_, finished_s_, first_cursor()});
  retries_ = whole ? 0 : retries_ + 1;
  const std::uint64_t regular = options_.interval_us != 0 ? options_.interval_us : kNever - now_us;
  std::uint64_t pause = regular;
  if (!whole) pause = std::min(pause, options_.first_retry_us << std::min(retries_ - 1, 12U));
  due_us_ = now_us + pause;
  due_thorough_ = pause == regular;
  deadline_us_ = std::min(due_us_, fetcher_.deadline());
}

messages::BlocksProgress Refill::progress(std::uint64_t now_us) const {
  messages::BlocksProgress p;
  p.running = running_;
  p.thorough = thorough_;
  const double at = position();
  p.permille = static_cast<std::uint32_t>(at * 1000);
  p.checked = checked_;
  p.missing = missing_ + fetcher_.of_pass();
  p.fetched = fetched_;
  p.fetched_bytes = fetched_bytes_;
  p.finished_s = finished_s_;
  const std::uint64_t elapsed = (running_ ? now_us : ended_us_) - began_us_;
  if (elapsed != 0)
    p.bytes_per_second =
        static_cast<std::uint64_t>(static_cast<double>(fetched_bytes_) *
                                   static_cast<double>(kSecond) / static_cast<double>(elapsed));
  if (running_ && at > first_)
    p.left_us = static_cast<std::uint64_t>(static_cast<double>(elapsed) * (1 - at) / (at - first_));
  return p;
}

// 0..1: of the last slice as much as has ended.
double Refill::position() const {
  if (!running_) return 1;
  const std::size_t open = unseen_.size() + fetcher_.of_pass();
  const double ended = slice_size_ > open ? static_cast<double>(slice_size_ - open) /
                                                static_cast<double>(slice_size_)
                                          : 0;
  return slice_.begin + (slice_.end - slice_.begin) * ended;
}

}  // namespace bftmeta::refill
