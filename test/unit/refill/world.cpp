#include "world.hpp"

#include <algorithm>

#include "crypto/hash.hpp"
#include "schema/keys.hpp"
#include "schema/records.hpp"

namespace bftmeta::test {

std::vector<Hash> Files::add(std::uint64_t ino, std::size_t blocks, std::size_t bytes) {
  attributes(ino, blocks * limits::kBlockSize);
  std::vector<Hash> digests;
  for (std::size_t i = 0; i < blocks; ++i) {
    Bytes content(bytes);
    store_be64(content.data(), ++made_);
    digests.push_back(crypto::sha256(content));
    extent(ino, i * limits::kBlockSize, digests.back(), static_cast<std::uint32_t>(bytes));
    contents_[digests.back()] = std::move(content);
  }
  return digests;
}

void Files::attributes(std::uint64_t ino, std::uint64_t size, std::uint32_t generation,
                       std::uint64_t live_limit) {
  schema::Attributes a;
  a.size = size;
  a.data = schema::DataKind::extents;
  a.data_generation = generation;
  a.live_limit = live_limit;
  put(schema::keys::attributes(ino), encode(a));
  next_ino_ = std::max(next_ino_, ino + 1);
}

void Files::extent(std::uint64_t ino, std::uint64_t offset, const Hash& digest, std::uint32_t bytes,
                   std::uint32_t generation) {
  schema::Extent e;
  e.length = e.block_length = bytes;
  e.generation = generation;
  e.digest = digest;
  put(schema::keys::extent(ino, offset), encode(e));
}

tree::Version Files::version() const {
  schema::Counters counters;
  counters.next_ino = next_ino_;
  std::map<Key, Bytes> all = updates_;
  all[schema::keys::counters()] = encode(counters);
  std::vector<tree::Update> sorted;
  for (const auto& [key, value] : all) sorted.push_back({key, value});
  auto made = tree::Version::empty().apply(sorted);
  REQUIRE(made);
  return std::move(*made);
}

World::World(Files all) : files(std::move(all)), version(files.version()) {
  options.n = 1 + kPeers;
  options.quorum = 3;
  options.bytes_per_second = 1'000'000'000;
  options.interval_us = 24 * 3600 * kSecond;
  for (messages::ReplicaId id = 1; id <= kPeers; ++id) set(id, honest());
}

Behaviour World::honest() { return without({}); }

Behaviour World::without(std::set<Hash> blocks) {
  return [this, blocks = std::move(blocks)](const Hash& digest) -> std::optional<Answer> {
    const auto found = files.contents().find(digest);
    if (found == files.contents().end() || blocks.contains(digest))
      return Answer{messages::BlockMissing{digest}};
    return Answer{messages::BlockContent{digest, found->second}};
  };
}

void World::start(const std::optional<refill::PassRecord>& left,
                  const std::optional<refill::Rest>& rest) {
  refill.emplace(options, *this, left, now_us, rest);
  for (messages::ReplicaId id = 1; id <= kPeers; ++id) refill->connected(id, true, now_us);
}

bool World::run(const std::function<bool()>& condition, std::uint64_t until_us) {
  refill->turn(now_us, wall());
  while (!condition()) {
    std::uint64_t next = std::max(refill->deadline(), now_us);
    if (!network_.empty()) next = std::min(next, network_.begin()->first);
    if (next > until_us) return false;
    // Turns take time, too, or a busy one would never end.
    now_us = std::max(next, now_us + 100);
    deliver();
    refill->turn(now_us, wall());
  }
  return true;
}

std::uint64_t World::run_pass(std::uint64_t longest_us) {
  const std::uint64_t began = now_us;
  REQUIRE(run([this] { return !refill->running(); }, began + longest_us));
  return now_us - began;
}

void World::deliver() {
  while (!network_.empty() && network_.begin()->first <= now_us) {
    Delivery delivery = std::move(network_.begin()->second);
    network_.erase(network_.begin());
    if (const auto* content = std::get_if<messages::BlockContent>(&delivery.reply))
      received_bytes += content->content.size();
    refill->on(delivery.from, std::move(delivery.reply), now_us);
  }
}

Result<refill::Slice> World::named(const Key& cursor) {
  ++slices;
  if (!version) return fail(Errc::stale, "no version");
  return refill::named_blocks(*version, cursor);
}

Result<std::optional<refill::NamedBlock>> World::named_at(const Key& extent) {
  if (!version) return fail(Errc::stale, "no version");
  return refill::named_at(*version, extent);
}

Result<bool> World::holds(const Hash& digest, bool thorough) {
  return own.contains(digest) && !(thorough && rotten.contains(digest));
}

void World::ask(messages::ReplicaId to, const Hash& digest) {
  REQUIRE(to >= 1);
  REQUIRE(to <= kPeers);
  ++asked[to];
  const auto answer = peers_[to].behaviour(digest);
  if (answer) {
    std::uint64_t bytes = 100;
    if (const auto* content = std::get_if<messages::BlockContent>(&answer->reply))
      bytes += content->content.size();
    std::uint64_t& free_us = peers_[to].link_free_us;
    free_us = std::max(free_us, now_us) + bytes * kSecond / kLinkBytesPerSecond;
    network_.emplace(free_us + answer->delay_us, Delivery{to, answer->reply});
  }
  most_asked = std::max(most_asked, network_.size());
}

std::vector<Status> World::keep(const std::vector<refill::Fetcher::Keep>& blocks) {
  std::vector<Status> results;
  for (const auto& block : blocks) {
    CHECK(crypto::sha256(block.content) == block.digest);  // never a wrong byte
    if (disk_full) {
      results.push_back(fail(Errc::disk_full, "no space"));
      continue;
    }
    own[block.digest] = block.content;
    rotten.erase(block.digest);
    results.emplace_back();
  }
  return results;
}

}  // namespace bftmeta::test
