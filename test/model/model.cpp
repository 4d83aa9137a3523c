#include "model/model.hpp"

#include "crypto/hash.hpp"

namespace bftmeta::test {

using schema::Code;
using schema::FileType;

namespace {

constexpr std::uint32_t kNobody = 65534;

bool is_directory(const schema::Attributes& a) { return a.type == FileType::directory; }

void require_name(const Bytes& name) {
  const std::string s(name.begin(), name.end());
  if (s.empty() || s.size() > 255 || s == "." || s == ".." ||
      s.find_first_of(std::string("/\0", 2)) != std::string::npos)
    throw Code::invalid;
}

}  // namespace

Model::Model(const config::Genesis& genesis)
    : cluster_id_(genesis.cluster_id()), config_(genesis.config) {
  Node root;
  env_.time_us = genesis.time_us;
  root.a.type = FileType::directory;
  root.a.mode = 0755;
  root.a.nlink = 2;
  root.a.parent = 1;
  root.a.salt = salt_of(1);
  root.a.atime_ns = root.a.mtime_ns = root.a.ctime_ns = root.a.btime_ns = now();
  nodes_[1] = root;
  for (const config::Client& c : genesis.clients)
    principals_[c.sign_key] = {schema::kRecordFormat, c.name, c.link_key, c.rules, 0};
}

Hash Model::salt_of(std::uint64_t ino) const {
  crypto::Hasher h(tags::Domain::salt);
  return h.update(cluster_id_).update_u64(ino).update_u64(0).update(env_.history_hash).finish();
}

schema::OpResult Model::apply(const Environment& env, const schema::Operation& op) {
  env_ = env;
  reply_.reset();
  try {
    who_ = caller(op.caller);
    std::visit([this](const auto& body) { run(body); }, op.body);
    return {Code::ok, reply_};
  } catch (const Failure& f) {
    return {f.code, std::nullopt};
  } catch (Code code) {
    return {code, std::nullopt};
  }
}

Model::Who Model::caller(const schema::Caller& c) const {
  const config::ClientRules& r = env_.rules;
  Who w;
  std::vector<std::uint32_t> groups = r.gateway ? c.groups : r.groups;
  w.uid = r.gateway ? c.uid : r.uid_first;
  w.gid = r.gateway ? c.gid : r.gid;
  if (r.root_squash && w.uid == 0) return {kNobody, {kNobody}, kNobody};
  if (r.gateway) require(r.uid_first <= w.uid && w.uid <= r.uid_last, Code::not_permitted);
  groups.push_back(w.gid);
  for (const std::uint32_t g : groups) w.groups.insert(r.root_squash && g == 0 ? kNobody : g);
  if (r.root_squash && w.gid == 0) w.gid = kNobody;
  return w;
}

std::uint64_t Model::walk(const schema::Target& target) {
  require(!env_.rules.strict || target.base == 1, Code::not_permitted);
  for (const schema::Name& n : target.path) require_name(n.bytes);
  require(nodes_.contains(target.base), Code::stale_handle);
  std::uint64_t at = target.base;
  for (const schema::Name& n : target.path) {
    const Node& here = nodes_.at(at);
    require(is_directory(here.a), Code::not_directory);
    require(allowed(here, 1), Code::access_denied);
    require(here.entries.contains(n.bytes), Code::no_entry);
    at = here.entries.at(n.bytes);
  }
  return at;
}

std::uint64_t Model::walk_to_parent(const schema::Target& target, const schema::Name& name) {
  require_name(name.bytes);
  const std::uint64_t at = walk(target);
  require(is_directory(nodes_.at(at).a), Code::not_directory);
  require(allowed(nodes_.at(at), 1), Code::access_denied);
  return at;
}

bool Model::allowed(const Node& node, unsigned bits) const {
  if (who_.uid == 0) return true;
  unsigned have = node.a.mode;
  if (who_.uid == node.a.uid)
    have >>= 6;
  else if (who_.groups.contains(node.a.gid))
    have >>= 3;
  return (have & bits) == bits;
}

void Model::require_removable(const Node& directory, const Node& entry) const {
  require(allowed(directory, 3), Code::access_denied);
  if ((directory.a.mode & 01000) != 0) require(mine(directory) || mine(entry), Code::not_permitted);
}

// Is `inner` the directory itself, or somewhere under it?
bool Model::contains(std::uint64_t directory, std::uint64_t inner) {
  for (int steps = 0; inner != directory; ++steps) {
    if (inner == 1) return false;
    require(steps < 1024, Code::invalid);
    inner = nodes_.at(inner).a.parent;
  }
  return true;
}

void Model::touch(Node& node) {
  node.a.ctime_ns = now();
  node.a.version += 1;
}

void Model::touch_directory(Node& node) {
  node.a.mtime_ns = now();
  node.a.size = node.entries.size();
  node.a.nlink = 2;
  for (const auto& [name, ino] : node.entries)
    if (is_directory(nodes_.at(ino).a)) node.a.nlink += 1;
  touch(node);
}

void Model::answer(std::uint64_t ino, bool created) {
  reply_ = schema::InodeReply{ino, created, nodes_.at(ino).a};
}

void Model::run(const schema::MakeNode& op) {
  require(op.mode <= 07777, Code::invalid);
  const bool symlink = op.type == FileType::symlink;
  const bool device = op.type == FileType::block_device || op.type == FileType::character_device;
  if (symlink) {
    require(!op.symlink.empty(), Code::no_entry);
    for (const std::uint8_t c : op.symlink) require(c != 0, Code::invalid);
  } else {
    require(op.symlink.empty(), Code::invalid);
  }
  const std::uint64_t parent_ino = walk_to_parent(op.parent, op.name);
  Node& parent = nodes_.at(parent_ino);
  if (const auto it = parent.entries.find(op.name.bytes); it != parent.entries.end()) {
    require(op.type == FileType::regular && !op.exclusive, Code::exists);
    require(!is_directory(nodes_.at(it->second).a), Code::is_directory);
    return answer(it->second);
  }
  require(allowed(parent, 3), Code::access_denied);
  require(!device || who_.uid == 0, Code::not_permitted);
  if (op.type == FileType::directory) {
    require(parent.a.nlink < 65535, Code::too_many_links);
    require(parent.a.depth < 1024, Code::invalid);
  }

  const std::uint64_t ino = counters_.next_ino++;
  counters_.inodes += 1;
  Node made;
  made.a.type = op.type;
  made.a.uid = who_.uid;
  made.a.gid = who_.gid;
  unsigned mode = op.mode;
  if (op.type == FileType::directory) mode &= 01777;
  if ((parent.a.mode & 02000) != 0) {
    made.a.gid = parent.a.gid;
    if (op.type == FileType::directory)
      mode |= 02000;
    else if ((mode & 02010) == 02010 && !member(made.a.gid))
      mode -= 02000;
  }
  if (symlink) mode = 0777;
  made.a.mode = static_cast<std::uint16_t>(mode);
  made.a.rdev = device ? op.rdev : 0;
  made.content = op.symlink;
  made.a.size = op.symlink.size();
  made.a.salt = salt_of(ino);
  made.a.atime_ns = made.a.mtime_ns = made.a.ctime_ns = made.a.btime_ns = now();
  if (op.type == FileType::directory) {
    made.a.nlink = 2;
    made.a.parent = parent_ino;
    made.a.depth = parent.a.depth + 1;
  }
  nodes_[ino] = made;
  parent.entries[op.name.bytes] = ino;
  touch_directory(parent);
  answer(ino, true);
}

void Model::run(const schema::Link& op) {
  const std::uint64_t source_ino = walk(op.source);
  Node& source = nodes_.at(source_ino);
  Node& parent = nodes_.at(walk_to_parent(op.parent, op.name));
  require(!parent.entries.contains(op.name.bytes), Code::exists);
  require(allowed(parent, 3), Code::access_denied);
  require(!is_directory(source.a), Code::not_permitted);
  require(source.a.nlink > 0, Code::no_entry);
  require(source.a.nlink < 65535, Code::too_many_links);
  source.a.nlink += 1;
  touch(source);
  parent.entries[op.name.bytes] = source_ino;
  touch_directory(parent);
  answer(source_ino);
}

void Model::run(const schema::Remove& op) {
  Node& parent = nodes_.at(walk_to_parent(op.parent, op.name));
  require(parent.entries.contains(op.name.bytes), Code::no_entry);
  const std::uint64_t ino = parent.entries.at(op.name.bytes);
  const Node& victim = nodes_.at(ino);
  require_removable(parent, victim);
  if (op.directory)
    require(is_directory(victim.a), Code::not_directory);
  else
    require(!is_directory(victim.a), Code::is_directory);
  require(victim.entries.empty(), Code::not_empty);
  parent.entries.erase(op.name.bytes);
  touch_directory(parent);
  unlink_inode(ino);
}

// One name less; the answer is what it is then.
void Model::unlink_inode(std::uint64_t ino) {
  Node& node = nodes_.at(ino);
  node.a.nlink = is_directory(node.a) ? 0 : node.a.nlink - 1;
  touch(node);
  answer(ino);
  if (node.a.nlink > 0) return;
  if (is_directory(node.a) || node.a.type == FileType::symlink)
    destroy(ino);
  else
    orphans_.insert({counters_.lease_time_us + limits::kOrphanGraceUs, ino});
}

void Model::destroy(std::uint64_t ino) {
  const Node& node = nodes_.at(ino);
  counters_.inodes -= 1;
  if (node.a.type == FileType::regular) counters_.bytes -= node.a.size;
  LeafMap rest = leaves_of(ino, node);
  rest.erase(schema::keys::attributes(ino));
  for (std::size_t i = 0; i < limits::kPurgePerOperation && !rest.empty(); ++i)
    rest.erase(rest.begin());
  purges_.erase(ino);
  if (!rest.empty()) remains_[ino] = rest;
  nodes_.erase(ino);
}

void Model::run(const schema::Rename& op) {
  const bool noreplace = op.flags == 1;
  const bool exchange = op.flags == 2;
  require(op.flags <= 2, Code::invalid);
  const std::uint64_t from_ino = walk_to_parent(op.from_parent, op.from_name);
  const std::uint64_t to_ino = walk_to_parent(op.to_parent, op.to_name);
  Node& from = nodes_.at(from_ino);
  Node& to = nodes_.at(to_ino);
  const bool same_parent = from_ino == to_ino;
  require(from.entries.contains(op.from_name.bytes), Code::no_entry);
  const std::uint64_t moved_ino = from.entries.at(op.from_name.bytes);
  Node& moved = nodes_.at(moved_ino);
  const bool taken = to.entries.contains(op.to_name.bytes);
  require(!(noreplace && taken), Code::exists);
  require(!exchange || taken, Code::no_entry);
  const std::uint64_t old_ino = taken ? to.entries.at(op.to_name.bytes) : 0;
  Node* old = taken ? &nodes_.at(old_ino) : nullptr;
  const bool moved_dir = is_directory(moved.a);
  const bool old_dir = taken && is_directory(old->a);
  if (!same_parent) {
    if (moved_dir) require(!contains(moved_ino, to_ino), Code::invalid);
    if (old_dir) require(!contains(old_ino, from_ino), exchange ? Code::invalid : Code::not_empty);
  }
  if (moved_ino == old_ino) return answer(moved_ino);

  require_removable(from, moved);
  if (taken)
    require_removable(to, *old);
  else
    require(allowed(to, 3), Code::access_denied);
  if (taken && !exchange) {
    require(!moved_dir || old_dir, Code::not_directory);
    require(moved_dir || !old_dir, Code::is_directory);
  }
  if (!same_parent) {
    require(!moved_dir || allowed(moved, 2), Code::access_denied);
    require(!(exchange && old_dir) || allowed(*old, 2), Code::access_denied);
    require(!(moved_dir && !old_dir) || to.a.nlink < 65535, Code::too_many_links);
    require(!(exchange && old_dir && !moved_dir) || from.a.nlink < 65535, Code::too_many_links);
    require(!moved_dir || to.a.depth < 1024, Code::invalid);
    require(!(exchange && old_dir) || from.a.depth < 1024, Code::invalid);
  }
  if (old_dir && !exchange) require(old->entries.empty(), Code::not_empty);

  from.entries.erase(op.from_name.bytes);
  to.entries[op.to_name.bytes] = moved_ino;
  if (exchange) from.entries[op.from_name.bytes] = old_ino;
  const auto arrive = [&](Node& node, std::uint64_t parent) {
    touch(node);
    if (!is_directory(node.a)) return;
    node.a.parent = parent;
    node.a.depth = nodes_.at(parent).a.depth + 1;
  };
  arrive(moved, to_ino);
  if (exchange) arrive(*old, from_ino);
  touch_directory(from);
  if (!same_parent) touch_directory(to);
  if (taken && !exchange) unlink_inode(old_ino);
  answer(moved_ino);
}

void Model::run(const schema::SetXattr& op) {
  require(op.flags <= 3, Code::invalid);
  const std::string name(op.name.begin(), op.name.end());
  const auto dot = name.find('.');
  const std::string space = name.substr(0, dot);
  require(!name.empty() && name.find('\0') == std::string::npos, Code::invalid);
  require(
      dot != std::string::npos && (space == "user" || space == "trusted" || space == "security"),
      Code::not_supported);
  require(dot + 1 < name.size(), Code::invalid);
  Node& node = nodes_.at(walk(op.target));
  if (space != "user") {
    require(who_.uid == 0, Code::not_permitted);
  } else {
    require(node.a.type == FileType::regular || is_directory(node.a), Code::not_permitted);
    require(!is_directory(node.a) || (node.a.mode & 01000) == 0 || mine(node), Code::not_permitted);
    require(allowed(node, 2), Code::access_denied);
  }
  const bool there = node.xattrs.contains(op.name);
  require(!there || (op.flags & 1) == 0, Code::exists);
  require(there || (op.flags & 2) == 0, Code::no_attribute);
  require(there || node.xattrs.size() < 64, Code::no_space);
  node.xattrs[op.name] = op.value;
  node.a.xattr_count = static_cast<std::uint32_t>(node.xattrs.size());
  touch(node);
}

void Model::run(const schema::RemoveXattr& op) {
  const std::string name(op.name.begin(), op.name.end());
  const bool user = name.starts_with("user.");
  require(!name.empty() && name.find('\0') == std::string::npos, Code::invalid);
  require(user || name.starts_with("trusted.") || name.starts_with("security."),
          Code::not_supported);
  require(name.back() != '.' || name.find('.') + 1 != name.size(), Code::invalid);
  Node& node = nodes_.at(walk(op.target));
  require(user || who_.uid == 0, Code::not_permitted);
  if (user) {
    require(node.a.type == FileType::regular || is_directory(node.a), Code::not_permitted);
    if (is_directory(node.a) && (node.a.mode & 01000) != 0)
      require(mine(node), Code::not_permitted);
    require(allowed(node, 2), Code::access_denied);
  }
  require(node.xattrs.erase(op.name) == 1, Code::no_attribute);
  node.a.xattr_count = static_cast<std::uint32_t>(node.xattrs.size());
  touch(node);
}

void Model::run(const schema::Hold& op) {
  if (op.release) {
    const auto it = nodes_.find(op.ino);
    require(it != nodes_.end() && it->second.holds.erase(env_.session) == 1, Code::no_entry);
    return;
  }
  require(!env_.rules.strict, Code::not_permitted);
  require(nodes_.contains(op.ino), Code::stale_handle);
  Node& node = nodes_.at(op.ino);
  require(!is_directory(node.a), Code::is_directory);
  require(node.a.type != FileType::symlink, Code::invalid);
  require(mine(node) || allowed(node, 1) || allowed(node, 2) || allowed(node, 4),
          Code::access_denied);
  std::size_t held = 0;
  for (const auto& [ino, other] : nodes_)
    if (other.holds.contains(env_.session)) ++held;
  require(node.holds.contains(env_.session) || held < limits::kMaxHoldsPerSession, Code::no_space);
  node.holds.insert(env_.session);
}

void Model::run(const schema::RegisterClient& op) {
  const config::Client& client = op.body.client;
  if (!op.body.remove) {
    require(!client.name.empty(), Code::invalid);
    require(client.rules.uid_first <= client.rules.uid_last, Code::invalid);
    require(crypto::valid_public_key(client.sign_key), Code::invalid);
  }
  const StatementId statement = check_statement(tags::kAdmin, op);
  if (op.body.remove) {
    require(principals_.erase(client.sign_key) == 1, Code::no_entry);
    return note_statement(statement);
  }
  schema::Principal& p = principals_[client.sign_key];
  p = {schema::kRecordFormat, client.name, client.link_key, client.rules, p.sessions};
  note_statement(statement);
}

void Model::begin_batch(std::uint64_t lease_step_us, std::size_t operations) {
  counters_.lease_time_us += lease_step_us;
  const std::uint64_t lease = counters_.lease_time_us;
  for (std::size_t i = 0; i < limits::kMaxExpiriesPerBatch + operations; ++i) {
    if (orphans_.empty() || orphans_.begin()->first > lease) break;
    const std::uint64_t ino = orphans_.begin()->second;
    orphans_.erase(orphans_.begin());
    if (nodes_.at(ino).holds.empty())
      destroy(ino);
    else
      orphans_.insert({lease + limits::kOrphanGraceUs, ino});
  }
  std::set<std::uint64_t> queue;
  for (const auto& [ino, from] : purges_) queue.insert(ino);
  for (const auto& [ino, rest] : remains_) queue.insert(ino);
  std::size_t budget = limits::kPurgePerBatch;
  std::size_t handled = 0;
  for (const std::uint64_t ino : queue) {
    if (budget == 0 || ++handled > limits::kPurgePerBatch) break;
    if (const auto it = remains_.find(ino); it != remains_.end()) {
      for (; budget > 0 && !it->second.empty(); --budget) it->second.erase(it->second.begin());
      if (it->second.empty()) remains_.erase(it);
      continue;
    }
    auto& blocks = nodes_.at(ino).blocks;
    auto block = blocks.lower_bound(purges_.at(ino));
    for (; budget > 0 && block != blocks.end(); --budget)
      block = block->second.dead ? blocks.erase(block) : std::next(block);
    if (block == blocks.end())
      purges_.erase(ino);
    else
      purges_[ino] = block->first;
  }
}

void Model::end_session(const Id16& session) {
  for (auto& [ino, node] : nodes_) node.holds.erase(session);
}

LeafMap Model::leaves_of(std::uint64_t ino, const Node& node) const {
  namespace keys = schema::keys;
  LeafMap out;
  out[keys::attributes(ino)] = encode(node.a);
  for (const auto& [name, child] : node.entries)
    out[keys::dirent(ino, keys::name_hash(node.a.salt, name))] =
        encode(schema::Dirent{schema::kRecordFormat, child, nodes_.at(child).a.type, name});
  for (const auto& [name, value] : node.xattrs)
    out[keys::xattr(ino, keys::name_hash(node.a.salt, name))] =
        encode(schema::Xattr{schema::kRecordFormat, name, value});
  for (const auto& [offset, block] : node.blocks)
    out[keys::extent(ino, offset)] = encode(block.extent);
  if (!node.content.empty())
    out[node.a.type == FileType::symlink ? keys::symlink(ino) : keys::inline_data(ino)] =
        encode(schema::Content{schema::kRecordFormat, node.content});
  for (const Id16& session : node.holds) out[keys::hold(ino, session)] = encode(schema::Marker{});
  return out;
}

LeafMap Model::leaves() const {
  namespace keys = schema::keys;
  LeafMap out;
  for (const auto& [ino, node] : nodes_) {
    out.merge(leaves_of(ino, node));
    for (const Id16& session : node.holds)
      out[keys::session_hold(session, ino)] = encode(schema::Marker{});
  }
  for (const auto& [ino, rest] : remains_) {
    out.insert(rest.begin(), rest.end());
    out[keys::garbage(ino)] = encode(schema::Garbage{schema::kRecordFormat, true, 0});
  }
  for (const auto& [ino, from] : purges_)
    out[keys::garbage(ino)] = encode(schema::Garbage{schema::kRecordFormat, false, from});
  for (const auto& [expiry, ino] : orphans_)
    out[keys::orphan(expiry, ino)] = encode(schema::Marker{});
  for (const auto& [key, principal] : principals_) out[keys::principal(key)] = encode(principal);
  out[keys::counters()] = encode(counters_);
  out[keys::config(config_.epoch)] = encode(schema::ConfigRecord{schema::kRecordFormat, config_});
  for (const config::Config& c : past_)
    out[keys::config(c.epoch)] = encode(schema::ConfigRecord{schema::kRecordFormat, c});
  if (change_) out[keys::pending_change()] = encode(*change_);
  for (const PublicKey& key : retired_) out[keys::retired(key)] = encode(schema::Marker{});
  for (const auto& [valid_until_us, digest] : statements_)
    out[keys::used_statement(valid_until_us, digest)] = encode(schema::Marker{});
  return out;
}

}  // namespace bftmeta::test
