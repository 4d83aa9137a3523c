#include "refill/refill.hpp"

#include <algorithm>
#include <bit>

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
// Of the usual rate, for a pass that is asked for: one by names may have to wait for it.
constexpr std::uint64_t kSlowestCheck = 8;

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
               std::uint64_t now_us, const std::optional<Rest>& rest)
    : options_(options),
      surroundings_(surroundings),
      fetcher_({options.self, options.n, options.bytes_per_second, options.timing}, now_us),
      reads_(options.bytes_per_second, kReadBurst),
      urgent_(kUrgentPerSecond, kMaxUrgent) {
  if (left) {
    finished_s_ = left->finished_s;
    thorough_s_ = left->thorough_s;
  }
  if (rest) {
    go_on(*rest, now_us);
  } else if (left && left->running) {
    begin(left->thorough, left->cursor, left->missing, now_us);
    again_ = true;
  } else {
    begin(false, first_cursor(), 0, now_us);
  }
}

void Refill::go_on(const Rest& rest, std::uint64_t now_us) {
  complete_ = true;
  denied_ = rest.denied;
  retries_ = rest.retries;
  if (rest.going) {
    check_rate_ = rest.going->rate;
    begin(true, rest.going->cursor, 0, now_us);
    from_beginning_ = rest.going->from_beginning;
  } else {
    thorough_ = rest.thorough;
    missing_ = rest.missing;
    due_us_ = rest.due_us;
    due_thorough_ = rest.due_thorough;
    began_us_ = ended_us_ = now_us;
  }
  checked_ = rest.checked;
  for (const Hash& digest : rest.asked) fetcher_.want({digest, 0}, Why::asked);
  changed(rest.followed, now_us);
  deadline_us_ = now_us;
}

// What is being fetched right now would be forgotten; of a pass it is looked at again.
std::optional<Rest> Refill::rest() const {
  if (!complete_ || unsure_ || fetcher_.wanted(Why::followed) != 0) return std::nullopt;
  if (running_ && (!thorough_ || missing_ != 0)) return std::nullopt;
  Rest rest;
  if (running_) rest.going = {settled_, from_beginning_, reads_.rate()};
  for (const Followed& f : followed_) rest.followed.push_back(f.extent);
  rest.asked = fetcher_.digests(Why::asked);
  rest.thorough = thorough_;
  rest.checked = checked_;
  rest.missing = missing_;
  rest.denied = denied_;
  rest.retries = retries_;
  rest.due_us = due_us_;
  rest.due_thorough = due_thorough_;
  return rest;
}

// A clock that went back costs one interval at most.
std::uint64_t Refill::next_thorough(std::uint64_t now_us, std::uint64_t wall_s) const {
  if (options_.interval_us == 0) return kNever;
  const std::uint64_t last_s = thorough_s_ != 0 ? thorough_s_ : finished_s_;
  const std::uint64_t past_s = wall_s > last_s ? wall_s - last_s : 0;
  return now_us + options_.interval_us - std::min(past_s, options_.interval_us / kSecond) * kSecond;
}

void Refill::changed(const std::vector<Key>& extents, std::uint64_t now_us) {
  for (const Key& extent : extents) {
    if (followed_.size() >= kMaxFollowed) {
      followed_.clear();
      return look_soon(now_us + kGraceUs);
    }
    followed_.push_back({extent, now_us + kGraceUs});
  }
  if (!followed_.empty()) deadline_us_ = std::min(deadline_us_, followed_.front().due_us);
}

// A pass by names at that time, or again when the one under way has ended.
void Refill::look_soon(std::uint64_t due_us) {
  unsure_ = true;
  if (running_) {
    again_ = true;
  } else if (due_us < due_us_) {
    due_us_ = due_us;
    due_thorough_ = false;
  }
}

void Refill::follow(std::uint64_t now_us) {
  for (std::size_t n = 0; n < kLooks && !followed_.empty(); ++n) {
    Followed& next = followed_.front();
    if (next.due_us > now_us || fetcher_.wanted(Why::followed) >= kMostWanted) break;
    const auto block = surroundings_.named_at(next.extent);
    if (!block && block.error().code == Errc::stale) {
      next.due_us = now_us + kNoVersionUs;
      break;
    }
    if (!block) look_soon(now_us + kGraceUs);  // a pass reports it
    if (block && *block) {
      const Result<bool> here = surroundings_.holds((*block)->digest, false);
      if (!here) look_soon(now_us + kGraceUs);
      if (here && !*here) fetcher_.want(**block, Why::followed);
    }
    followed_.pop_front();
  }
  if (!followed_.empty() && fetcher_.wanted(Why::followed) < kMostWanted)
    deadline_us_ = std::min(deadline_us_, std::max(now_us, followed_.front().due_us));
}

PassRecord Refill::record(const Key& cursor) const {
  return {1, running_, thorough_, missing_, finished_s_, thorough_s_, cursor};
}

void Refill::begin(bool thorough, Key cursor, std::uint64_t missing, std::uint64_t now_us) {
  fetcher_.forget();
  fetcher_.forgive();
  running_ = true;
  thorough_ = thorough;
  cursor_ = settled_ = cursor;
  if (thorough) {
    const std::uint64_t rate = std::exchange(check_rate_, 0);
    reads_ = transfer::Pace(rate != 0 ? rate : options_.bytes_per_second, kReadBurst);
  }
  unseen_.clear();
  draining_ = false;
  slice_ = {};
  slice_size_ = 0;
  first_ = 0;
  began_us_ = remembered_us_ = now_us;
  checked_ = fetched_ = fetched_bytes_ = 0;
  missing_ = missing;
  doubtful_ = 0;
  from_beginning_ = cursor == first_cursor();
  if (from_beginning_) {
    unsure_ = doubtful_too_ = false;
    lacking_ = 0;
  }
  failure_.reset();
  due_us_ = kNever;
  deadline_us_ = now_us;
  surroundings_.remember(record(cursor));
}

void Refill::transferred(std::uint64_t now_us) {
  retries_ = 0;
  again_ = false;
  complete_ = denied_ = false;
  followed_.clear();
  begin(false, first_cursor(), 0, now_us);
}

void Refill::check_all(std::uint64_t bytes_per_second, std::uint64_t now_us) {
  const std::uint64_t rate = std::max(bytes_per_second, options_.bytes_per_second / kSlowestCheck);
  if (running_ && thorough_) {
    reads_.set_rate(rate, now_us);
    return;
  }
  check_rate_ = rate;
  if (!running_ && complete_) begin(true, first_cursor(), 0, now_us);
}

void Refill::missed(const Hash& digest, std::uint64_t now_us) {
  if (fetcher_.wanted(Why::asked) >= kMaxUrgent || !urgent_.open(now_us)) return;
  urgent_.spend(1, now_us);
  fetcher_.want({digest, 0}, Why::asked);
  deadline_us_ = now_us;
}

void Refill::on(ReplicaId from, messages::BlockReply reply, std::uint64_t now_us) {
  fetcher_.on(from, std::move(reply), now_us, actions_);
  deadline_us_ = now_us;
}

void Refill::turn(std::uint64_t now_us, std::uint64_t wall_s) {
  if (!running_ && now_us >= due_us_) begin(due_thorough_, first_cursor(), 0, now_us);
  deadline_us_ = due_us_;
  follow(now_us);
  if (running_) look(now_us);
  settle(now_us);
  fetcher_.tick(now_us, actions_);
  settle(now_us);
  deadline_us_ = std::min(deadline_us_, fetcher_.deadline());
  if (!running_) return;
  const bool all_ended = fetcher_.wanted(Why::pass) == 0;
  if (failure_ || (!cursor_ && unseen_.empty() && all_ended)) return end(now_us, wall_s);
  if (!all_ended) return;
  if (draining_) deadline_us_ = now_us;
  draining_ = false;
  if (unseen_.empty()) remember(now_us);
}

void Refill::look(std::uint64_t now_us) {
  draining_ = draining_ || fetcher_.wanted(Why::pass) >= kMostWanted;
  if (draining_ || failure_) return;
  if (unseen_.empty() && cursor_ && !read_slice(now_us)) return;
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
  if (!*here) fetcher_.want(block, Why::pass);
  return true;
}

// False: there is none yet.
bool Refill::read_slice(std::uint64_t now_us) {
  Result<Slice> slice = surroundings_.named(*cursor_);
  if (!slice && slice.error().code == Errc::stale) {
    deadline_us_ = std::min(deadline_us_, now_us + kNoVersionUs);
    began_us_ = now_us;
    return false;
  }
  if (!slice) {
    give_up(slice.error());
    return true;
  }
  if (slice_.end == 0) first_ = slice->begin;
  slice_ = std::move(*slice);
  slice_size_ = slice_.blocks.size();
  unseen_.assign(slice_.blocks.begin(), slice_.blocks.end());
  slice_.blocks.clear();
  cursor_ = slice_.next;
  return true;
}

void Refill::give_up(const Error& why) {
  if (!failure_) failure_ = why;
}

// What the fetcher wants done. Storing may end blocks, nothing else follows from it.
void Refill::settle(std::uint64_t now_us) {
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
  for (const Fetcher::Ended& ended : actions.ended) {
    if (ended.outcome == Outcome::kept) continue;
    note_lacking(ended, now_us);
  }
}

// That a quorum denies what a client has named says nothing of this replica.
void Refill::note_lacking(const Fetcher::Ended& ended, std::uint64_t now_us) {
  const int own = options_.self < options_.n ? 1 : 0;
  const bool doubtful = std::popcount(ended.denied) + own < static_cast<int>(options_.quorum);
  if (ended.wanted_by(Why::pass)) {
    ++missing_;
    if (doubtful) ++doubtful_;
  }
  if (!ended.wanted_by(Why::followed)) return;
  ++lacking_;
  if (doubtful) {
    doubtful_too_ = true;
    complete_ = false;
  }
  look_soon(now_us + options_.first_retry_us);
}

// Everything before the next slice was looked at.
void Refill::remember(std::uint64_t now_us) {
  if (!cursor_) return;
  settled_ = *cursor_;
  if (now_us - remembered_us_ < kRememberUs) return;
  remembered_us_ = now_us;
  surroundings_.remember(record(*cursor_));
}

void Refill::end(std::uint64_t now_us, std::uint64_t wall_s) {
  running_ = false;
  ended_us_ = now_us;
  finished_s_ = wall_s;
  // What nobody has is no reason to read all others again.
  if (thorough_ && !failure_) thorough_s_ = wall_s;
  const bool whole = !failure_ && missing_ == 0;
  std::string line =
      "blocks: a pass over the certified files has ended: " + std::to_string(checked_) +
      " blocks checked, " + std::to_string(fetched_) + " fetched (" +
      std::to_string(fetched_bytes_) + " bytes), " + std::to_string(missing_) + " missing";
  if (failure_) line += "; it could not go on: " + failure_->message;
  surroundings_.say(!whole, line);
  judge();
  fetcher_.forget();
  unseen_.clear();
  surroundings_.remember(record(first_cursor()));
  plan(whole, now_us, wall_s);
}

// What a quorum denies once may still be fetched by one of them, or be with one who did not answer.
void Refill::judge() {
  if (failure_) {
    denied_ = false;
    complete_ = complete_ && missing_ == 0;
  }
  if (!from_beginning_ || failure_) return;
  const bool denied = missing_ != 0 && doubtful_ == 0;
  complete_ = !doubtful_too_ && (missing_ == 0 || (denied && denied_));
  denied_ = denied;
}

// The next pass.
void Refill::plan(bool whole, std::uint64_t now_us, std::uint64_t wall_s) {
  const std::uint64_t regular = next_thorough(now_us, wall_s);
  due_us_ = regular;
  if (whole) {
    retries_ = 0;
    if (again_) due_us_ = now_us;
  } else {
    std::uint64_t pause = options_.first_retry_us << std::min(retries_++, 12U);
    if (options_.interval_us != 0) pause = std::min(pause, options_.interval_us);
    due_us_ = now_us + pause;
  }
  again_ = false;
  const bool asked_for = check_rate_ != 0 && complete_;
  if (asked_for) due_us_ = now_us;
  due_thorough_ = asked_for || regular <= due_us_;
  deadline_us_ = std::min(due_us_, fetcher_.deadline());
}

messages::BlocksProgress Refill::progress(std::uint64_t now_us) const {
  messages::BlocksProgress p;
  p.running = running_;
  p.thorough = thorough_;
  const double at = position();
  p.permille = static_cast<std::uint32_t>(at * 1000);
  p.checked = checked_;
  p.missing = missing_ + lacking_ + fetcher_.wanted(Why::pass) + fetcher_.wanted(Why::followed);
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
  const std::size_t open = unseen_.size() + fetcher_.wanted(Why::pass);
  const double ended = slice_size_ > open ? static_cast<double>(slice_size_ - open) /
                                                static_cast<double>(slice_size_)
                                          : 0;
  return slice_.begin + (slice_.end - slice_.begin) * ended;
}

}  // namespace bftmeta::refill
