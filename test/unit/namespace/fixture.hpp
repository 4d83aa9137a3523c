// A namespace in memory for tests: executes operations as any caller and remembers the time.
#pragma once

#include "model/map_reader.hpp"
#include "namespace/apply.hpp"
#include "namespace/view.hpp"

namespace bftmeta::test {

using schema::Code;
using schema::FileType;

inline const schema::Caller kAlice{1000, 1000, {2000}};
inline const schema::Caller kBob{1001, 1001, {}};
inline const schema::Caller kCarol{1002, 1000, {}};  // in Alice's group

struct World {
  World() {
    rules.gateway = true;
    rules.root_squash = false;
    rules.uid_last = 100'000;
    genesis.time_us = 1'000'000;
    genesis.config.admin_threshold = 1;
    ns::make_genesis(overlay, genesis);
    context.exec_time_us = 2'000'000;
    context.rules = &rules;
    context.cluster_id = genesis.cluster_id();
    context.config = &genesis.config;
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  schema::OpResult run(const schema::Caller& caller, schema::OperationBody body) {
    ++context.exec_time_us;
    return ns::apply(overlay, context, {caller, std::move(body)});
  }
  schema::OpResult run(schema::OperationBody body) { return run(root, std::move(body)); }
  Code code(const schema::Caller& caller, schema::OperationBody body) {
    return run(caller, std::move(body)).code;
  }

  // Makes something and answers its number; 0 when it fails.
  std::uint64_t make(std::uint64_t parent, std::string_view name, FileType type, int mode,
                     const schema::Caller& caller) {
    schema::MakeNode op = new_node(parent, name, type);
    op.mode = static_cast<std::uint16_t>(mode);
    if (type == FileType::symlink) op.symlink = to_bytes("target");
    const auto result = run(caller, op);
    return result.code == Code::ok ? result.inode->ino : 0;
  }
  std::uint64_t directory(std::uint64_t parent, std::string_view name, int mode = 0755) {
    return make(parent, name, FileType::directory, mode, root);
  }
  std::uint64_t file(std::uint64_t parent, std::string_view name, int mode = 0644) {
    return make(parent, name, FileType::regular, mode, root);
  }
  Code set(std::uint64_t ino, std::uint32_t mask, int mode, std::uint32_t uid = 0,
           std::uint32_t gid = 0, const schema::Caller& caller = {}) {
    schema::SetAttributes op{at(ino), mask, static_cast<std::uint16_t>(mode), uid, gid, 0, 0, 0, 0};
    return code(caller, op);
  }

  std::optional<schema::Attributes> stat(std::uint64_t ino) const {
    ns::Inode inode;
    const Code found = ns::View(overlay).load(ino, inode);
    return found == Code::ok ? std::optional(inode.attributes) : std::nullopt;
  }
  schema::Counters counters() const {
    schema::Counters c;
    ns::View(overlay).record(schema::keys::counters(), c);
    return c;
  }
  void advance_lease_time(std::uint64_t us) {
    schema::Counters c = counters();
    c.lease_time_us += us;
    overlay.put(schema::keys::counters(), encode(c));
  }
  // What a batch boundary does: later reads come from the base.
  void settle() { base.absorb(overlay); }

  static schema::Target at(std::uint64_t ino) { return {ino, {}}; }
  static schema::MakeNode new_node(std::uint64_t parent, std::string_view name,
                                   FileType type = FileType::regular) {
    schema::MakeNode op;
    op.parent = at(parent);
    op.name = named(name);
    op.type = type;
    return op;
  }
  static schema::Name named(std::string_view name) { return {to_bytes(name)}; }

  MapReader base;
  tree::Overlay overlay{base};
  config::ClientRules rules;
  config::Genesis genesis;
  ns::Context context;
  schema::Caller root;
};

}  // namespace bftmeta::test
