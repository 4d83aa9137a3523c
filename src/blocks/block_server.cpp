#include "blocks/block_server.hpp"

#include "crypto/hash.hpp"

namespace bftmeta::blocks {

using messages::BlockRefusal;

Result<std::unique_ptr<BlockServer>> BlockServer::start(const net::Context& context,
                                                        const crypto::LinkKey& key,
                                                        net::ServerOptions options,
                                                        BlockServerContext around,
                                                        BlockDirectory& directory) {
  std::unique_ptr<BlockServer> server(new BlockServer(std::move(around), directory));
  BFTMETA_ASSIGN(server->server_,
                 net::Server::bind(context, key, std::move(options), server->poller_.waker()));
  server->poller_.add(*server->server_);
  server->thread_ = std::thread([raw = server.get()] { raw->run(); });
  return server;
}

BlockServer::BlockServer(BlockServerContext around, BlockDirectory& directory)
    : around_(std::move(around)), directory_(directory) {}

BlockServer::~BlockServer() { stop(); }

void BlockServer::set_members(std::set<PublicKey> members) {
  const std::lock_guard lock(mutex_);
  members_ = std::move(members);
}

bool BlockServer::of_member(const net::Route& from) const {
  const std::lock_guard lock(mutex_);
  return members_.contains(from.key);
}

void BlockServer::stop() {
  stopping_ = true;
  poller_.waker()->wake();
  if (thread_.joinable()) thread_.join();
}

BlockServerCounters BlockServer::counters() const {
  return {.stored = stored_,
          .served = served_,
          .missing = missing_,
          .refused = refused_,
          .malformed = malformed_};
}

void BlockServer::run() {
  while (!stopping_) {
    poller_.wait(std::chrono::milliseconds(250));
    while (!stopping_) {
      const std::size_t received = server_->receive(
          [this](const net::Route& from, ByteView message) { handle(from, message); });
      store_pending();
      server_->flush();
      if (received == 0) break;
    }
  }
}

void BlockServer::handle(const net::Route& from, ByteView message) {
  auto request = messages::decode_block_request_frame(around_.cluster, message);
  if (!request) {
    ++malformed_;
    return;
  }
  std::visit([&](auto& body) { take(from, std::move(body)); }, *request);
}

void BlockServer::take(const net::Route& from, messages::PutBlock put) {
  if (of_member(from)) {
    ++refused_;
    return answer(from, messages::BlockRefused{put.digest, BlockRefusal::not_allowed});
  }
  if (!check_block_size(put.content) || crypto::sha256(put.content) != put.digest) {
    ++refused_;
    return answer(from, messages::BlockRefused{put.digest, BlockRefusal::wrong_digest});
  }
  if (pending_bytes_ + put.content.size() > kMaxTurnBytes) {
    ++refused_;
    return answer(from, messages::BlockRefused{put.digest, BlockRefusal::busy});
  }
  pending_bytes_ += put.content.size();
  pending_.push_back({from, std::move(put)});
}

void BlockServer::take(const net::Route& from, const messages::GetBlock& get) {
  const Result<Block> block = directory_.get(get.digest);
  if (!block) {
    refuse(from, get.digest, block.error());
    const bool gone = block.error().code == Errc::not_found || block.error().code == Errc::corrupt;
    if (gone && around_.missed && !of_member(from)) around_.missed(get.digest);
    return;
  }
  ++served_;
  messages::BlockContent content{get.digest, **block};
  if (around_.bend) around_.bend(content.content);
  answer(from, content);
}

void BlockServer::take(const net::Route& from, const messages::CheckBlock& check) {
  const Result<Block> block = directory_.get(check.digest);
  if (!block) return refuse(from, check.digest, block.error());
  answer(from, messages::BlockStored{check.digest});
}

void BlockServer::store_pending() {
  if (pending_.empty()) return;
  std::vector<BlockDirectory::Named> group;
  group.reserve(pending_.size());
  for (const PendingPut& put : pending_) group.push_back({put.block.digest, put.block.content});
  const std::vector<Status> results = directory_.put_group(group);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const Hash& digest = pending_[i].block.digest;
    if (!results[i]) {
      refuse(pending_[i].from, digest, results[i].error());
      continue;
    }
    ++stored_;
    answer(pending_[i].from, messages::BlockStored{digest});
  }
  pending_.clear();
  pending_bytes_ = 0;
}

// A reply that does not fit into the connection's queue is lost; the client asks again.
void BlockServer::answer(const net::Route& to, const messages::BlockReply& reply) {
  server_->send(to, messages::encode_frame(around_.cluster, reply));
}

void BlockServer::refuse(const net::Route& to, const Hash& digest, const Error& cause) {
  if (cause.code == Errc::not_found || cause.code == Errc::corrupt) {
    ++missing_;
    return answer(to, messages::BlockMissing{digest});
  }
  ++refused_;
  const BlockRefusal reason =
      cause.code == Errc::disk_full ? BlockRefusal::disk_full : BlockRefusal::io_error;
  answer(to, messages::BlockRefused{digest, reason});
}

}  // namespace bftmeta::blocks
