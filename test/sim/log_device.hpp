// The write-ahead log of a simulated replica. The seam lets a test use records in memory, where a
// crash loses any suffix that was not synced, or the production log on a simulated disk.
#pragma once

#include <memory>
#include <vector>

#include "consensus/records.hpp"
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
  // Bodies and EXECUTED records at or below seq are not needed for recovery any more.
  virtual void flushed(consensus::Seq seq) = 0;
  // For laggards.
  virtual std::vector<Bytes> read(consensus::RecordKind kind, consensus::Seq seq) const = 0;
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
  void flushed(consensus::Seq) override {}
  std::vector<Bytes> read(consensus::RecordKind kind, consensus::Seq seq) const override {
    std::vector<Bytes> found;
    for (const consensus::Record& r : records_)
      if (r.kind == kind && r.seq == seq) found.push_back(r.payload);
    return found;
  }

 private:
  std::vector<consensus::Record> records_;
  std::size_t synced_ = 0;
};

}  // namespace bftmeta::sim
