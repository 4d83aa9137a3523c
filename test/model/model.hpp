// The reference model of the namespace: protocol §10 in the simplest code that says it, over
// std::map and names instead of hashes, written apart from src/namespace. Given the same operations
// it must answer the same results and hold the same leaves. Thread-safety: none.
#pragma once

#include <map>
#include <set>

#include "crypto/signer.hpp"
#include "messages/batch.hpp"
#include "schema/keys.hpp"
#include "schema/operations.hpp"

namespace bftmeta::test {

using LeafMap = std::map<Key, Bytes>;

class Model {
 public:
  struct Environment {
    std::uint64_t time_us = 0;
    Id16 session{};
    config::ClientRules rules;
    Hash history_hash{};
    const crypto::Verifier* verifier = nullptr;
  };

  explicit Model(const config::Genesis& genesis);

  schema::OpResult apply(const Environment& env, const schema::Operation& op);
  // Start of a batch with that many operations; lease time was advanced by `lease_step_us`.
  void begin_batch(std::uint64_t lease_step_us, std::size_t operations);
  void end_session(const Id16& session);
  schema::Code ready(const messages::Ready& ready);
  // Behind the last item of batch `seq` of that agreed time.
  void end_batch(std::uint64_t seq, std::uint64_t time_us);
  const config::Config& config() const { return config_; }

  // Every leaf as the authenticated map has it.
  LeafMap leaves() const;

 private:
  struct Block {
    schema::Extent extent;
    bool dead = false;  // cut off, waits to be purged
  };
  struct Node {
    schema::Attributes a;
    std::map<Bytes, std::uint64_t> entries;
    std::map<Bytes, Bytes> xattrs;
    std::map<std::uint64_t, Block> blocks;
    Bytes content;  // inline data or symlink target
    std::set<Id16> holds;
  };
  struct Who {
    std::uint32_t uid = 0;
    std::set<std::uint32_t> groups;  // of which the first argument of a new file is `gid`
    std::uint32_t gid = 0;
  };
  struct Failure {
    schema::Code code;
  };

  // Operations; a Failure is thrown before anything was changed.
  void run(const schema::Noop&) {}
  void run(const schema::CloseSession&) {}
  void run(const schema::SetAttributes&);
  void run(const schema::MakeNode&);
  void run(const schema::Link&);
  void run(const schema::Remove&);
  void run(const schema::Rename&);
  void run(const schema::SetXattr&);
  void run(const schema::RemoveXattr&);
  void run(const schema::CommitData&);
  void run(const schema::Hold&);
  void run(const schema::RegisterClient&);
  void run(const schema::ChangeConfig&);
  static std::set<PublicKey> members(const config::Config& config);
  using StatementId = std::pair<std::uint64_t, Hash>;  // (valid until, hash of what was signed)
  template <class Body>
  StatementId check_statement(const tags::Tag& tag, const schema::AdminStatement<Body>& op) const {
    return check_statement(tag, encode(op.body), op.body.valid_until_us, op.signatures);
  }
  StatementId check_statement(const tags::Tag& tag, const Bytes& body, std::uint64_t valid_until_us,
                              const std::vector<schema::AdminSignature>& signatures) const;
  void note_statement(const StatementId& statement);
  bool signed_by_admins(const tags::Tag& tag, const Bytes& body,
                        const std::vector<schema::AdminSignature>& signatures) const;

  static void require(bool condition, schema::Code otherwise) {
    if (!condition) throw Failure{otherwise};
  }
  Who caller(const schema::Caller& c) const;
  std::uint64_t walk(const schema::Target& target);
  std::uint64_t walk_to_parent(const schema::Target& target, const schema::Name& name);
  bool allowed(const Node& node, unsigned bits) const;
  bool mine(const Node& node) const { return who_.uid == 0 || who_.uid == node.a.uid; }
  bool member(std::uint32_t gid) const { return who_.uid == 0 || who_.groups.contains(gid); }
  void require_removable(const Node& directory, const Node& entry) const;
  bool contains(std::uint64_t directory, std::uint64_t inner);
  void touch(Node& node);
  void touch_directory(Node& node);
  void answer(std::uint64_t ino, bool created = false);
  void unlink_inode(std::uint64_t ino);
  void destroy(std::uint64_t ino);
  unsigned stripped(const Node& node) const;
  void require_countable(std::uint64_t before, std::uint64_t after) const;
  void require_cuttable(std::uint64_t ino, std::uint64_t size) const;
  void cut(std::uint64_t ino, std::uint64_t size);
  void set_size(std::uint64_t ino, std::uint64_t size);
  std::int64_t now() const { return static_cast<std::int64_t>(env_.time_us) * 1000; }
  Hash salt_of(std::uint64_t ino) const;
  LeafMap leaves_of(std::uint64_t ino, const Node& node) const;

  Hash cluster_id_;
  config::Config config_;  // in force
  std::vector<config::Config> past_;
  std::optional<schema::PendingChange> change_;
  std::set<PublicKey> retired_;
  std::set<StatementId> statements_;  // that succeeded
  schema::Counters counters_;
  std::map<std::uint64_t, Node> nodes_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> orphans_;  // (expiry, ino)
  std::map<std::uint64_t, std::uint64_t> purges_;  // live files with dead blocks: where to go on
  std::map<std::uint64_t, LeafMap> remains_;       // of inodes that are gone
  std::map<PublicKey, schema::Principal> principals_;

  // Of the operation that runs.
  Environment env_;
  Who who_;
  std::optional<schema::InodeReply> reply_;
};

}  // namespace bftmeta::test
