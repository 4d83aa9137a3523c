// File blocks follow the state (protocol §7.7): passes over the blocks that the newest certified
// tree names, each of which looks for what the own store does not hold, and gets it from peers.
// Decides when there is a pass, how it goes on, how fast, and what is said of it; README.md has the
// rules. A state machine: time comes with each call, in microseconds, and whatever it does goes
// through Surroundings. Thread-safety: one thread.
#pragma once

#include "messages/client.hpp"
#include "refill/fetcher.hpp"

namespace bftmeta::refill {

// What of a pass outlives the process; a file below the blocks (docs/formats/records.md).
struct PassRecord {
  std::uint8_t format = 1;
  bool running = false;          // it has not come to its end
  bool thorough = false;         // see Refill
  std::uint64_t missing = 0;     // blocks that it has not got, so far
  std::uint64_t finished_s = 0;  // Unix time of the end of the last pass; 0: none has ended
  std::uint64_t thorough_s = 0;  // ... of the last thorough one
  Key cursor;                    // everything before was looked at; of a running pass

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("running", s.running);
    v.field("thorough", s.thorough);
    v.field("missing", s.missing);
    v.field("finished_s", s.finished_s);
    v.field("thorough_s", s.thorough_s);
    v.field("cursor", s.cursor, Cap{Key::kMaxSize});
  }
  friend bool operator==(const PassRecord&, const PassRecord&) = default;
};

// SHA-256 of the record in front of it: a rotten file is none.
Bytes encode_record(const PassRecord& record);
Result<PassRecord> decode_record(ByteView file);  // Errc::malformed, Errc::corrupt

// What the driver does at once when it is asked to.
class Surroundings {
 public:
  virtual ~Surroundings() = default;

  // Of the newest certified version. Errors: stale (there is none yet: later), corrupt, io.
  virtual Result<Slice> named(const Key& cursor) = 0;
  // As refill::named_at, of the newest certified version; the same errors.
  virtual Result<std::optional<NamedBlock>> named_at(const Key& extent) = 0;
  // `thorough`: it is read and hashed, else a name is enough. Errors: io.
  virtual Result<bool> holds(const Hash& digest, bool thorough) = 0;
  virtual void ask(ReplicaId to, const Hash& digest) = 0;
  // Durably, or the reason; in order.
  virtual std::vector<Status> keep(const std::vector<Fetcher::Keep>& blocks) = 0;
  // Best effort: an older record costs work, nothing else.
  virtual void remember(const PassRecord& record) = 0;
  // One line for the operator.
  virtual void say(bool warning, const std::string& line) = 0;
};

struct Options {
  ReplicaId self = 0;  // n or more: of none of the members
  std::uint32_t n = 0;
  std::uint32_t quorum = 0;  // of the members
  // That come from peers; and again, that a thorough pass reads.
  std::uint64_t bytes_per_second = 0;
  std::uint64_t interval_us = 0;  // from the end of a thorough pass to the next; 0: none
  std::uint64_t first_retry_us = 60'000'000;  // after a pass that lacks blocks; then twice as long
  Timing timing;
};

// What one that is complete leaves to the next one of the same process, over the very state that it
// has seen: the end of an epoch is no reason to look at everything. Between two passes, or in a
// thorough one that goes on.
struct Rest {
  struct Going {
    Key cursor;  // everything before was looked at
    bool from_beginning = false;
    std::uint64_t rate = 0;  // bytes per second that it reads
  };
  std::optional<Going> going;
  std::vector<Key> followed;  // extents that are still to be looked at
  std::vector<Hash> asked;    // blocks that clients asked for, and nobody has given yet
  bool thorough = false;      // the last pass was
  std::uint64_t checked = 0;  // by it
  std::uint64_t missing = 0;  // that a quorum denied
  bool denied = false;        // see Refill
  std::uint32_t retries = 0;
  std::uint64_t due_us = 0;  // of the next pass, by the clock of both
  bool due_thorough = false;
};

class Refill {
 public:
  static constexpr std::uint64_t kNever = Fetcher::kNever;
  static constexpr std::size_t kMaxUrgent = 64;
  static constexpr std::size_t kMaxFollowed = 65'536;
  static constexpr std::uint64_t kGraceUs = 5'000'000;

  // Begins a pass, since what was written while this replica was away is not here; not with a
  // `rest`. `left`: by the last one; nullopt: the store is new, or nobody knows. `surroundings`
  // outlive it.
  Refill(Options options, Surroundings& surroundings, const std::optional<PassRecord>& left,
         std::uint64_t now_us, const std::optional<Rest>& rest = std::nullopt);

  // The state came from peers: a pass from the beginning, in place of one under way.
  void transferred(std::uint64_t now_us);
  // A client asked for a block that is not here. At most kMaxUrgent wait, and their rate is
  // bounded, too: what a client asks for need not exist.
  void missed(const Hash& digest, std::uint64_t now_us);
  // Extents that certified batches have changed: kGraceUs later their blocks are here, as the
  // client has sent them to all replicas, or they are fetched. More than kMaxFollowed that wait,
  // and a pass takes their place.
  void changed(const std::vector<Key>& extents, std::uint64_t now_us);
  void changed_unknown(std::uint64_t now_us) { look_soon(now_us + kGraceUs); }
  // A thorough pass, reading at this rate, or at an eighth of the usual one if that is more. One
  // under way goes on at it; else it begins once a pass by names, which others wait for, has left
  // nothing to be fetched.
  void check_all(std::uint64_t bytes_per_second, std::uint64_t now_us);
  void connected(ReplicaId peer, bool is, std::uint64_t now_us) {
    fetcher_.connected(peer, is, now_us);
  }
  void on(ReplicaId from, messages::BlockReply reply, std::uint64_t now_us);
  // Whatever is due. Short: some blocks are looked at, one slice is read.
  void turn(std::uint64_t now_us, std::uint64_t wall_s);
  // When the next turn is due; sooner does no harm.
  std::uint64_t deadline() const { return deadline_us_; }

  bool running() const { return running_; }
  // The last pass from the beginning to the end left nothing to be fetched: all is here but what a
  // quorum said twice in a row that they do not have. A member, old or new, is ready for the next
  // configuration only then, so that replacing one after the other loses no block (protocol §7.7).
  bool complete() const { return complete_; }
  // nullopt: the next one has to look at everything, since this one is not complete, or does not
  // know what became of something that was changed.
  std::optional<Rest> rest() const;
  messages::BlocksProgress progress(std::uint64_t now_us) const;

 private:
  std::uint64_t next_thorough(std::uint64_t now_us, std::uint64_t wall_s) const;
  PassRecord record(const Key& cursor) const;
  void go_on(const Rest& rest, std::uint64_t now_us);
  void begin(bool thorough, Key cursor, std::uint64_t missing, std::uint64_t now_us);
  void look(std::uint64_t now_us);
  double position() const;
  void note_lacking(const Fetcher::Ended& ended, std::uint64_t now_us);
  bool look_at(const NamedBlock& block, std::uint64_t now_us);
  void follow(std::uint64_t now_us);
  void look_soon(std::uint64_t due_us);
  bool read_slice(std::uint64_t now_us);
  void settle(std::uint64_t now_us);
  void give_up(const Error& why);
  void end(std::uint64_t now_us, std::uint64_t wall_s);
  void judge();
  void plan(bool whole, std::uint64_t now_us, std::uint64_t wall_s);
  void remember(std::uint64_t now_us);

  const Options options_;
  Surroundings& surroundings_;
  Fetcher fetcher_;
  Fetcher::Actions actions_;
  transfer::Pace reads_;
  transfer::Pace urgent_;

  // ---- the pass under way, or the last one
  bool running_ = false;
  bool thorough_ = false;
  std::optional<Key> cursor_;      // of the next slice; nullopt: all are read
  Key settled_;                    // everything before was looked at, and what it wanted has ended
  std::deque<NamedBlock> unseen_;  // of slices that were read
  bool draining_ = false;          // nothing more is looked at until all that is wanted has ended
  Slice slice_;                    // the last one; its blocks are in unseen_
  std::size_t slice_size_ = 0;
  double first_ = 0;  // where this process began with it, 0..1
  std::uint64_t began_us_ = 0;
  std::uint64_t ended_us_ = 0;
  std::uint64_t checked_ = 0;
  std::uint64_t missing_ = 0;
  std::uint64_t doubtful_ = 0;  // of these: fewer than a quorum denied it
  bool from_beginning_ = false;
  std::uint64_t fetched_ = 0;
  std::uint64_t fetched_bytes_ = 0;
  std::optional<Error> failure_;  // why it can not go on

  bool complete_ = false;
  bool denied_ = false;  // the last whole one lacked blocks, and a quorum denied each of them
  // ---- what was followed since it began
  bool unsure_ = false;        // it was not all looked at, or not all to be had
  bool doubtful_too_ = false;  // of that, a block that fewer than a quorum denied
  std::uint64_t lacking_ = 0;  // blocks that were not to be had

  // ---- the next one
  std::uint64_t due_us_ = kNever;
  bool due_thorough_ = false;
  std::uint64_t check_rate_ = 0;  // not 0: check_all was called, and that pass has not begun
  std::uint32_t retries_ = 0;     // passes in a row that lacked blocks
  struct Followed {
    Key extent;
    std::uint64_t due_us = 0;
  };
  std::deque<Followed> followed_;
  bool again_ = false;  // at once: the one under way did not begin at the beginning
  std::uint64_t finished_s_ = 0;
  std::uint64_t thorough_s_ = 0;

  std::uint64_t remembered_us_ = 0;
  std::uint64_t deadline_us_ = 0;
};

}  // namespace bftmeta::refill
