// An engine with registered clients that is fed batches, for the tests of this room.
#pragma once

#include "execution/engine.hpp"
#include "schema/keys.hpp"
#include "support/cluster.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"

namespace bftmeta::test {

using execution::Engine;
using execution::Executed;
using messages::Item;
using schema::BundleOutcome;
using schema::BundleResult;
using schema::Code;

constexpr std::uint64_t kSecond = 1'000'000;
constexpr std::uint64_t kHour = 3600 * kSecond;

class World {
 public:
  explicit World(std::uint32_t clients = 2);

  // The next batch, `step_us` after the one before.
  Executed run(const std::vector<Item>& items, std::uint64_t step_us = 1000);
  Executed run_null();
  messages::ParsedBatch next_batch(const std::vector<Item>& items, std::uint64_t step_us = 1000);
  // The batches executed so far, in order.
  const std::vector<messages::ParsedBatch>& log() const { return log_; }

  Item open_item(std::uint32_t client, std::uint64_t nonce, std::uint64_t valid_for_us = kHour);
  Id16 open(std::uint32_t client = 0);

  struct Options {
    std::uint64_t valid_for_us = kHour;
    std::uint64_t ack_upto = 0;
    bool all_or_nothing = false;
  };
  Item bundle(std::uint32_t client, const Id16& session, std::uint64_t no,
              std::vector<schema::OperationBody> operations, Options options);
  Item bundle(std::uint32_t client, const Id16& session, std::uint64_t no,
              std::vector<schema::OperationBody> operations) {
    return bundle(client, session, no, std::move(operations), Options{});
  }
  static schema::OperationBody make(const std::string& name);  // a file in the root directory
  schema::OperationBody registration(std::uint32_t client, bool remove) const;
  void sign(schema::ChangeConfig& op) const;
  schema::ChangeConfig change_to(const config::Config& next) const;  // signed
  crypto::Context context() const;                                   // of the next batch

  bool exists(const std::string& name) const;  // in the root directory
  std::size_t leaves_under(const Key& prefix) const;
  std::optional<schema::Session> session_record(const Id16& id) const;
  std::optional<schema::Tombstone> tombstone(const Id16& id) const;
  std::uint64_t lease_left(const Id16& id) const;  // in lease time

  Cluster cluster;
  Engine engine;
  std::uint64_t now;  // agreed time of the last batch

 private:
  Executed execute(messages::Batch batch);

  std::vector<messages::ParsedBatch> log_;
  std::uint64_t nonces_ = 1'000'000;
};

struct OneSession : World {
  Id16 s = open();
};

BundleResult result_of(const Executed& executed, std::size_t index = 0);
inline BundleOutcome outcome_of(const Executed& executed, std::size_t index = 0) {
  return result_of(executed, index).outcome;
}

// The engine after being flushed to a store and opened again, as at a restart.
Engine reopened(const Cluster& cluster, Engine& engine, tree::MemoryPageStore& store);

}  // namespace bftmeta::test
