// The write-ahead log of a simulated replica. The seam lets a test use records in memory, where a
// crash loses any suffix that was not synced, or the production log on a simulated disk.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "consensus/records.hpp"
#include "consensus/state_machine.hpp"
#include "sim/random.hpp"

namespace bftmeta::sim {

enum class DiskFault : std::uint8_t {
  rot,
  misdirect,
  sync_error,
  full,
  space_again,
  wipe,  // a new disk: whoever starts next finds a log that was never used
};

// What is left of the records that were not synced, when the power goes.
enum class Survival : std::uint8_t { none, all, some };

enum class Synced : std::uint8_t {
  all,       // everything appended so far is durable
  no_space,  // nothing more is than before; it can wait
  failed,    // the disk failed; the process must stop
};

struct RecoveredLog {
  std::vector<consensus::Record> records;  // in order
  bool votes_lost = false;                 // some are unreadable
};

class LogDevice {
 public:
  virtual ~LogDevice() = default;
  virtual void append(const consensus::Record& record) = 0;
  virtual Synced sync() = 0;
  // Power loss.
  virtual void crash(Survival survival) = 0;
  // The process ended, the machine goes on: what was written is not lost, synced or not.
  virtual void stop() = 0;
  // After crash() or stop(), or at first start: what is left. Errors: corrupt (nothing is readable:
  // this replica must not start again), or what the disk says for now.
  virtual Result<RecoveredLog> recover() = 0;
  // A device without such a fault ignores it.
  virtual void inject(DiskFault fault) = 0;
  virtual std::uint64_t bytes() const = 0;
  // What a fresh segment must begin with.
  virtual void set_state(std::function<std::vector<consensus::Record>()> state) = 0;
  // Bodies and EXECUTED records at or below seq are not needed for recovery any more.
  virtual void flushed(consensus::Seq seq) = 0;
  // For laggards; valid until the next crash.
  virtual std::unique_ptr<consensus::Archive> archive(crypto::Context context) const = 0;
};

class MemoryLog final : public LogDevice {
 public:
  explicit MemoryLog(Random random = Random(1)) : random_(random) {}

  void append(const consensus::Record& record) override { records_.push_back(record); }
  Synced sync() override {
    if (std::exchange(fail_sync_, false)) {
      records_.resize(synced_);  // clean pages that the disk does not hold
      return Synced::failed;
    }
    if (full_) return Synced::no_space;
    synced_ = records_.size();
    return Synced::all;
  }
  void crash(Survival survival) override {
    const std::size_t unsynced = records_.size() - synced_;
    if (survival == Survival::none) records_.resize(synced_);
    if (survival == Survival::some) records_.resize(synced_ + random_.below(unsynced + 1));
    synced_ = records_.size();
  }
  // Appended records are in the process's memory until they are synced.
  void stop() override { records_.resize(synced_); }
  Result<RecoveredLog> recover() override { return RecoveredLog{records_, false}; }
  void inject(DiskFault fault) override {
    if (fault == DiskFault::sync_error) fail_sync_ = true;
    if (fault == DiskFault::full) full_ = true;
    if (fault == DiskFault::space_again) full_ = false;
    if (fault == DiskFault::wipe) {
      records_.clear();
      synced_ = 0;
    }
  }
  std::uint64_t bytes() const override {
    std::uint64_t total = 0;
    for (const consensus::Record& r : records_) total += r.payload.size();
    return total;
  }
  void set_state(std::function<std::vector<consensus::Record>()>) override {}
  void flushed(consensus::Seq) override {}
  std::unique_ptr<consensus::Archive> archive(crypto::Context context) const override {
    return std::make_unique<Reader>(*this, context);
  }

 private:
  class Reader final : public consensus::Archive {
   public:
    Reader(const MemoryLog& log, crypto::Context context) : log_(log), context_(context) {}
    std::optional<messages::BatchHeader> header(consensus::Seq seq) const override {
      return find<messages::BatchHeader>(consensus::RecordKind::executed, seq,
                                         [](const auto&) { return true; });
    }
    std::optional<messages::Batch> batch(consensus::Seq seq, const Hash& digest) const override {
      return find<messages::Batch>(consensus::RecordKind::body, seq, [&](const auto& b) {
        return messages::batch_digest(context_, b) == digest;
      });
    }
    std::optional<messages::RootCert> certificate(consensus::Seq seq) const override {
      return find<messages::RootCert>(consensus::RecordKind::certificate, seq,
                                      [](const auto&) { return true; });
    }

   private:
    template <class T, class Wanted>
    std::optional<T> find(consensus::RecordKind kind, consensus::Seq seq, Wanted wanted) const {
      for (const consensus::Record& r : log_.records_) {
        if (r.kind != kind || r.seq != seq) continue;
        auto value = decode<T>(r.payload, "record");
        if (value && wanted(*value)) return std::move(*value);
      }
      return std::nullopt;
    }

    const MemoryLog& log_;
    crypto::Context context_;
  };

  Random random_;
  std::vector<consensus::Record> records_;
  std::size_t synced_ = 0;
  bool fail_sync_ = false;
  bool full_ = false;
};

}  // namespace bftmeta::sim
