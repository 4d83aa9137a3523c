// A replica's refill under virtual time, among peers that serve blocks over links of one bandwidth,
// or do something else. Thread-safety: one thread.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "refill/refill.hpp"

namespace bftmeta::test {

constexpr std::uint64_t kSecond = 1'000'000;
constexpr std::uint64_t kStart = 5 * kSecond;  // of every world's clock

// Adds inodes and their blocks to a tree.
class Files {
 public:
  // Blocks of `bytes` bytes, different from all others. Returns their digests.
  std::vector<Hash> add(std::uint64_t ino, std::size_t blocks, std::size_t bytes);
  // Any record.
  void put(const Key& key, Bytes value) { updates_[key] = std::move(value); }
  void attributes(std::uint64_t ino, std::uint64_t size, std::uint32_t generation = 0,
                  std::uint64_t live_limit = 0);
  void extent(std::uint64_t ino, std::uint64_t offset, const Hash& digest, std::uint32_t bytes,
              std::uint32_t generation = 0);

  tree::Version version() const;
  const std::map<Hash, Bytes>& contents() const { return contents_; }

 private:
  std::map<Key, Bytes> updates_;
  std::map<Hash, Bytes> contents_;
  std::uint64_t next_ino_ = 1;
  std::uint64_t made_ = 0;
};

// What a peer answers to a question, and after how long; nullopt: nothing. Its link's time for the
// bytes comes on top.
struct Answer {
  messages::BlockReply reply;
  std::uint64_t delay_us = 1000;
};
using Behaviour = std::function<std::optional<Answer>(const Hash& digest)>;

class World final : public refill::Surroundings {
 public:
  static constexpr std::uint32_t kPeers = 3;  // replica 0 is the one that is filled
  static constexpr std::uint64_t kLinkBytesPerSecond = 20'000'000;

  explicit World(Files files);

  // Peers have all of it unless told otherwise.
  Behaviour honest();
  Behaviour without(std::set<Hash> blocks);
  void set(messages::ReplicaId peer, Behaviour behaviour) {
    peers_[peer].behaviour = std::move(behaviour);
  }

  void start(const std::optional<refill::PassRecord>& left = std::nullopt,
             const std::optional<refill::Rest>& rest = std::nullopt);
  // Until the condition holds; false: not before `until_us`.
  bool run(const std::function<bool()>& condition, std::uint64_t until_us);
  // Until the pass under way has ended; how long it took.
  std::uint64_t run_pass(std::uint64_t longest_us = 600 * kSecond);
  bool complete() const { return own.size() == files.contents().size(); }

  // ---- Surroundings
  Result<refill::Slice> named(const Key& cursor) override;
  Result<std::optional<refill::NamedBlock>> named_at(const Key& extent) override;
  Result<bool> holds(const Hash& digest, bool thorough) override;
  void ask(messages::ReplicaId to, const Hash& digest) override;
  std::vector<Status> keep(const std::vector<refill::Fetcher::Keep>& blocks) override;
  void remember(const refill::PassRecord& record) override { records.push_back(record); }
  void say(bool warning, const std::string& line) override {
    (warning ? warnings : lines).push_back(line);
  }

  Files files;
  std::optional<tree::Version> version;  // nullopt: none is certified yet
  std::map<Hash, Bytes> own;
  std::set<Hash> rotten;  // of own: seen by a thorough look only
  refill::Options options;
  std::optional<refill::Refill> refill;
  std::uint64_t now_us = kStart;
  bool disk_full = false;
  std::vector<refill::PassRecord> records;
  std::vector<std::string> lines;
  std::vector<std::string> warnings;
  std::uint64_t asked[1 + kPeers] = {};
  std::uint64_t received_bytes = 0;
  std::size_t slices = 0;      // asked for
  std::size_t most_asked = 0;  // questions under way at once

 private:
  struct Peer {
    Behaviour behaviour;
    std::uint64_t link_free_us = 0;
  };
  struct Delivery {
    messages::ReplicaId from = 0;
    messages::BlockReply reply;
  };
  std::uint64_t wall() const { return 1'700'000'000 + now_us / kSecond; }
  void deliver();

  Peer peers_[1 + kPeers];
  std::multimap<std::uint64_t, Delivery> network_;  // by arrival
};

}  // namespace bftmeta::test
