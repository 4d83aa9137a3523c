// Files whose data lies in blocks, written and read as bftfs does: blocks to the replicas of now
// first, then the operation that names them. Thread-safety: one thread.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "blocks/replica_store.hpp"
#include "crypto/hash.hpp"
#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

namespace bftmeta::test {

class BlockFiles {
 public:
  // `hidden`: a replica whose block port this client does not find.
  BlockFiles(const ProcessCluster& cluster, client::Client& client,
             std::optional<std::uint32_t> hidden = std::nullopt)
      : cluster_(cluster), client_(client) {
    config::Config config = cluster.genesis().config;
    if (hidden) config.replicas[*hidden].port = 1;
    auto store = blocks::ReplicaStore::open(*context_, cluster.client_options().link_key, config,
                                            {cluster.genesis().cluster_id(), config.epoch}, {});
    REQUIRE(store);
    store_ = std::move(*store);
    if (hidden) return;
    client.watch_members(
        [context = context_, store = store_](const config::Config& now) { store->follow(now); });
  }

  // A file of so many different blocks of kBlockSize.
  void write(const std::string& name, std::size_t blocks) {
    const auto made = client_.execute(create_file(name));
    REQUIRE(made);
    REQUIRE(made->inode);
    schema::CommitData commit;
    commit.ino = made->inode->ino;
    commit.new_size = blocks * limits::kBlockSize;
    for (std::size_t i = 0; i < blocks; ++i) {
      Bytes content(limits::kBlockSize);
      crypto::random_bytes(content);
      const auto digest = store_->put(content);
      REQUIRE_MESSAGE(digest, (digest ? "" : digest.error().message));
      commit.extents.push_back({i * limits::kBlockSize, limits::kBlockSize, *digest});
      contents_[*digest] = std::move(content);
    }
    const auto committed = client_.execute({{}, commit});
    REQUIRE(committed);
    REQUIRE(committed->code == schema::Code::ok);
    inodes_.push_back(commit.ino);
  }

  std::size_t blocks() const { return contents_.size(); }
  const Hash& some_block() const { return contents_.begin()->first; }

  bool held_by(std::uint32_t replica, const Hash& digest) const {
    return std::filesystem::exists(path(replica, digest));
  }
  // How many of all blocks this replica has a file for.
  std::size_t held_by(std::uint32_t replica) const {
    std::size_t held = 0;
    for (const auto& [digest, content] : contents_) held += held_by(replica, digest) ? 1 : 0;
    return held;
  }
  bool wait_held_by(std::uint32_t replica, std::chrono::seconds timeout) const {
    const auto until = std::chrono::steady_clock::now() + timeout;
    while (held_by(replica) != blocks()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
  }
  std::string directory(std::uint32_t replica) const {
    return cluster_.settings(replica).data_dir + "/blocks";
  }
  // Behind a running replica's back, too.
  void lose_blocks(std::uint32_t replica) const {
    for (const auto& [digest, content] : contents_) std::filesystem::remove(path(replica, digest));
  }

  void rot(std::uint32_t replica, const Hash& digest) const {
    std::fstream file(path(replica, digest), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(std::streamoff{limits::kBlockSize} / 2);
    const auto byte = static_cast<char>(file.peek() ^ 1);
    file.seekp(std::streamoff{limits::kBlockSize} / 2);
    file.put(byte);
    REQUIRE(file.flush().good());
  }
  // What is stored there is the block.
  bool intact(std::uint32_t replica, const Hash& digest) const {
    std::ifstream file(path(replica, digest), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    return crypto::sha256(view(bytes)) == digest;
  }

  // How many of all blocks are.
  std::size_t intact_at(std::uint32_t replica) const {
    std::size_t sound = 0;
    for (const auto& [digest, content] : contents_) sound += intact(replica, digest) ? 1 : 0;
    return sound;
  }

  // As a client that knows only this replica. True: it has answered that it has no such block.
  bool asks_in_vain(std::uint32_t replica, const Hash& digest) {
    const config::Config& config = cluster_.genesis().config;
    const crypto::Context cluster{cluster_.genesis().cluster_id(), config.epoch};
    net::Poller poller;
    net::LinkOptions to = net::block_link_options();
    to.host = config.replicas[replica].host;
    to.port = config.replicas[replica].block_port();
    to.server_key = config.replicas[replica].link_key;
    const auto link = net::ClientLink::open(*context_, cluster_.client_options().link_key,
                                            std::move(to), poller.waker());
    REQUIRE(link);
    poller.add(**link);
    bool missing = false;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!missing && std::chrono::steady_clock::now() < until) {
      poller.wait(std::chrono::milliseconds(50));
      (*link)->receive([&](ByteView message) {
        const auto reply = messages::decode_block_reply_frame(cluster, message);
        missing = reply && std::holds_alternative<messages::BlockMissing>(*reply);
      });
      if ((*link)->counters().messages == 0)
        (*link)->send(messages::encode_frame(cluster, messages::GetBlock{digest}));
      (*link)->flush();
    }
    return missing;
  }

  bool all_readable() {
    for (const auto& [digest, content] : contents_)
      if (!store_->get(digest)) return false;
    return true;
  }

  // All files, by what the certified tree names; the number of blocks that came back equal.
  std::size_t read_all() {
    std::size_t equal = 0;
    for (const std::uint64_t ino : inodes_) {
      const auto answer = client_.read({{{}, schema::GetData{ino, 0, ~std::uint64_t{0}}}});
      REQUIRE(answer);
      const auto* data = std::get_if<ns::FileData>(&answer->answers.at(0).answer);
      REQUIRE(data != nullptr);
      for (const ns::FileExtent& e : data->extents) {
        const auto block = store_->get(e.extent.digest);
        CHECK_MESSAGE(block, (block ? "" : block.error().message));
        equal += block && **block == contents_.at(e.extent.digest) ? 1 : 0;
      }
    }
    return equal;
  }

 private:
  std::string path(std::uint32_t replica, const Hash& digest) const {
    const std::string hex = to_hex(digest);
    return directory(replica) + "/" + hex.substr(0, 2) + "/" + hex.substr(2);
  }

  const ProcessCluster& cluster_;
  client::Client& client_;
  // The client has both, too.
  std::shared_ptr<net::Context> context_ = std::make_shared<net::Context>();
  std::shared_ptr<blocks::ReplicaStore> store_;
  std::map<Hash, Bytes> contents_;
  std::vector<std::uint64_t> inodes_;
};

// The replica's pass over its blocks has ended, and nothing is missing.
inline bool pass_ends(client::Client& client, std::uint32_t replica, std::chrono::seconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < until) {
    const auto status = client.status(replica, std::chrono::milliseconds(500));
    if (status && !status->blocks.running && status->blocks.finished_s != 0 &&
        status->blocks.missing == 0)
      return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

}  // namespace bftmeta::test
