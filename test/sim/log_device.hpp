// The write-ahead log of a simulated replica. The seam lets a test use records in memory, where a
// crash loses any suffix that was not synced, or the production log on a simulated disk.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "consensus/records.hpp"
#include "consensus/state_machine.hpp"
#include "sim/random.hpp"

namespace bftmeta::sim {

class LogDevice {
 public:
  virtual ~LogDevice() = default;
  virtual void append(const consensus::Record& record) = 0;
  // Makes everything appended so far durable. False: the disk failed; the process must stop.
  virtual bool sync() = 0;
  // Power loss: what was not synced may survive in part.
  virtual void crash(Random& random) = 0;
  // After a crash, or at first start: every record that is left, in order.
  virtual std::vector<consensus::Record> recover() = 0;
  // What a fresh segment must begin with.
  virtual void set_state(std::function<std::vector<consensus::Record>()> state) = 0;
  // Bodies and EXECUTED records at or below seq are not needed for recovery any more.
  virtual void flushed(consensus::Seq seq) = 0;
  // For laggards; valid until the next crash.
  virtual std::unique_ptr<consensus::Archive> archive(crypto::Context context) const = 0;
};

class MemoryLog final : public LogDevice {
 public:
  void append(const consensus::Record& record) override { records_.push_back(record); }
  bool sync() override {
    synced_ = records_.size();
    return true;
  }
  void crash(Random& random) override {
    records_.resize(synced_ + random.below(records_.size() - synced_ + 1));
    synced_ = records_.size();
  }
  std::vector<consensus::Record> recover() override { return records_; }
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

  std::vector<consensus::Record> records_;
  std::size_t synced_ = 0;
};

}  // namespace bftmeta::sim
