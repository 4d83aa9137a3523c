#include "random_operations.hpp"

#include "crypto/hash.hpp"

namespace bftmeta::test {

using schema::FileType;
namespace mask = schema::set_mask;

namespace {
constexpr std::size_t kKnown = 48;
constexpr std::size_t kRegistrations = 8;
constexpr std::uint64_t kBlock = limits::kBlockSize;
}  // namespace

Signature IdealVerifier::sign(const PublicKey& key, ByteView preimage) {
  Bytes all(key.begin(), key.end());
  all.insert(all.end(), preimage.begin(), preimage.end());
  const Hash h = crypto::sha256(all);
  Signature s;
  std::ranges::copy(h, s.begin());
  std::ranges::copy(h, s.begin() + h.size());
  return s;
}

RandomOperations::RandomOperations(std::uint64_t seed, const config::Genesis& genesis)
    : random_(seed), genesis_(genesis), known_{{schema::kRootIno, 1, FileType::directory}} {
  for (std::uint8_t i = 1; i <= 3; ++i) {
    std::array<std::uint8_t, 32> key_seed{};
    key_seed[0] = i;
    clients_.push_back(crypto::Ed25519Signer(key_seed).public_key());
  }
  clients_.push_back(PublicKey{});  // not a point that is accepted
}

config::ClientRules RandomOperations::rules() {
  config::ClientRules r;
  r.gateway = !one_in(8);
  r.root_squash = one_in(8);
  r.strict = one_in(32);
  r.uid_first = r.gateway ? 0 : id();
  r.uid_last = one_in(16) ? 1000 : 5000;
  r.gid = id();
  if (one_in(2)) r.groups.push_back(id());
  return r;
}

Id16 RandomOperations::session() {
  Id16 s{};
  s[0] = static_cast<std::uint8_t>(below(4));
  return s;
}

std::uint32_t RandomOperations::id() {
  constexpr std::uint32_t kIds[] = {0, 0, 0, 1000, 1000, 1001};
  return one_in(200) ? 70'000 : kIds[below(std::size(kIds))];
}

schema::Operation RandomOperations::next(std::uint64_t time_us) {
  schema::Operation op;
  op.caller.uid = id();
  op.caller.gid = id();
  for (std::uint64_t n = below(3); n > 0; --n) op.caller.groups.push_back(id());
  op.body = body(time_us);
  return op;
}

void RandomOperations::learn(const schema::OpResult& result) {
  if (!result.inode) return;
  const schema::Attributes& a = result.inode->attributes;
  const Known seen{result.inode->ino, a.version, a.type};
  const auto it = std::ranges::find(known_, seen.ino, &Known::ino);
  if (it != known_.end()) {
    *it = seen;
    // Unlinked files stay interesting for a while.
    if (a.nlink == 0 && (a.is_directory() || one_in(2))) known_.erase(it);
  } else if (a.nlink > 0 && known_.size() < kKnown) {
    known_.push_back(seen);
  } else if (a.nlink > 0) {
    known_[1 + below(kKnown - 1)] = seen;
  }
}

std::uint64_t RandomOperations::ino() {
  if (one_in(6)) return schema::kRootIno;
  if (one_in(200)) return below(2000);
  return known_[below(known_.size())].ino;
}

// Nearly always something of that type.
std::uint64_t RandomOperations::ino_of(FileType type) {
  if (one_in(30)) return ino();
  const std::uint64_t from = below(known_.size());
  for (std::size_t i = 0; i < known_.size(); ++i) {
    const Known& k = known_[(from + i) % known_.size()];
    if (k.type == type) return k.ino;
  }
  return ino();
}

// Stays with one file for a while: truncates meet the purges of earlier ones.
std::uint64_t RandomOperations::file() {
  if (file_ == 0 || one_in(30)) file_ = ino_of(FileType::regular);
  return file_;
}

std::uint64_t RandomOperations::version(std::uint64_t ino) {
  if (!one_in(4)) return 0;
  for (const Known& k : known_)
    if (k.ino == ino) return k.version;
  return below(5);
}

schema::Name RandomOperations::name() {
  constexpr std::string_view kBad[] = {"", ".", "..", "a/b", std::string_view("x\0", 2)};
  if (one_in(100)) return {to_bytes(kBad[below(std::size(kBad))])};
  return {Bytes{static_cast<std::uint8_t>('a' + below(7))}};
}

schema::Target RandomOperations::target() {
  schema::Target t;
  t.base = ino();
  for (std::uint64_t n = one_in(4) ? 1 + below(2) : 0; n > 0; --n) t.path.push_back(name());
  return t;
}

schema::Target RandomOperations::directory() {
  schema::Target t = target();
  if (t.path.empty()) t.base = ino_of(FileType::directory);
  return t;
}

Bytes RandomOperations::bytes(std::uint64_t max) {
  return Bytes(below(max + 1), static_cast<std::uint8_t>(1 + below(255)));
}

Bytes RandomOperations::xattr_name() {
  constexpr std::string_view kNames[] = {"user.a",     "user.a",     "user.b", "user.",
                                         "trusted.t",  "security.s", "",       "system.posix_acl",
                                         "user\0.bad", "plain"};
  if (one_in(3)) return to_bytes("user." + std::to_string(below(70)));
  return to_bytes(kNames[below(std::size(kNames))]);
}

std::uint64_t RandomOperations::size() {
  if (one_in(100)) return limits::kMaxFileSize - 1 + below(3);
  if (one_in(4)) return below(2000);
  if (one_in(3)) return below(400) * kBlock;
  return below(400 * kBlock);
}

schema::SetAttributes RandomOperations::set_attributes() {
  schema::SetAttributes op;
  op.target = target();
  if (one_in(2)) op.target = {file(), {}};
  constexpr std::uint32_t kOften[] = {mask::kMode, mask::kUid,  mask::kGid,
                                      mask::kSize, mask::kSize, mask::kAtimeNow | mask::kMtimeNow,
                                      mask::kMtime};
  op.mask = one_in(4) ? static_cast<std::uint32_t>(below(600)) : kOften[below(std::size(kOften))];
  op.mode = static_cast<std::uint16_t>(one_in(100) ? below(65536) : below(010000));
  // Most of a tree stays open, so that things happen in it.
  if (!one_in(8)) op.mode |= 0777;
  op.uid = one_in(300) ? ~std::uint32_t{0} : id();
  op.gid = id();
  op.size = size();
  op.atime_ns = static_cast<std::int64_t>(below(1000));
  op.mtime_ns = -static_cast<std::int64_t>(below(1000));
  op.expected_version = version(op.target.base);
  return op;
}

schema::MakeNode RandomOperations::make_node() {
  schema::MakeNode op;
  op.parent = directory();
  op.name = name();
  constexpr FileType kTypes[] = {FileType::regular, FileType::regular,      FileType::regular,
                                 FileType::regular, FileType::directory,    FileType::directory,
                                 FileType::symlink, FileType::block_device, FileType::fifo};
  op.type = kTypes[below(std::size(kTypes))];
  op.mode = static_cast<std::uint16_t>(one_in(100) ? below(65536) : below(010000));
  if (!one_in(8)) op.mode |= 0777;
  op.rdev = below(10);
  if (op.type == FileType::symlink || one_in(100)) op.symlink = bytes(20);
  if (one_in(50)) op.symlink = Bytes{0};
  op.exclusive = !one_in(4);
  return op;
}

schema::Rename RandomOperations::rename() {
  schema::Rename op{directory(), name(), directory(), name(), 0};
  if (one_in(3)) op.to_parent = op.from_parent;
  if (one_in(3)) op.flags = static_cast<std::uint32_t>(below(4));
  if (one_in(200)) op.flags = 4;
  return op;
}

schema::CommitData RandomOperations::commit_data() {
  schema::CommitData op;
  op.ino = file();
  op.expected_version = version(op.ino);
  op.mtime_ns = one_in(2) ? 0 : 77;
  if (one_in(4)) {
    op.inline_data.emplace();
    op.inline_data->bytes = bytes(one_in(20) ? 1600 : 40);
    op.new_size = op.inline_data->bytes.size();
    if (one_in(10)) op.new_size = below(100);
    return op;
  }
  op.new_size = size();
  const std::uint64_t blocks = op.new_size / kBlock;
  std::uint64_t at = blocks == 0 ? 0 : below(blocks);
  for (std::uint64_t n = below(one_in(3) ? 150 : 10); n > 0 && at <= blocks;
       --n, at += 1 + below(3) / 2) {
    schema::ExtentChange e;
    e.offset = at * kBlock;
    e.length = one_in(6) ? 0 : static_cast<std::uint32_t>(std::min(kBlock, op.new_size - e.offset));
    if (one_in(400)) ++e.offset;
    if (one_in(400)) e.length += 1;
    e.digest[0] = static_cast<std::uint8_t>(below(256));
    op.extents.push_back(e);
  }
  if (one_in(200)) op.inline_data.emplace();
  return op;
}

// Often one that somebody saw, perhaps with other signatures of the same admins.
schema::RegisterClient RandomOperations::register_client(std::uint64_t time_us) {
  if (registrations_.size() == kRegistrations && one_in(2)) {
    schema::RegisterClient again = registrations_[below(kRegistrations)];
    if (one_in(2)) std::ranges::reverse(again.signatures);
    return again;
  }
  if (registrations_.size() == kRegistrations) registrations_.erase(registrations_.begin());
  registrations_.push_back(registration(time_us));
  return registrations_.back();
}

schema::RegisterClient RandomOperations::registration(std::uint64_t time_us) {
  schema::RegisterClient op;
  op.body.client.name = one_in(20) ? "" : "client";
  op.body.client.sign_key = clients_[below(clients_.size())];
  op.body.client.rules = rules();
  op.body.remove = one_in(3);
  op.body.valid_until_us = time_us + below(3'700'000'000) - std::min<std::uint64_t>(time_us, 1000);
  const Bytes body = encode(op.body);
  for (std::uint64_t n = below(4); n > 0; --n) {
    const auto admin = static_cast<std::uint32_t>(below(genesis_.config.admins.size() + 1));
    const PublicKey key =
        admin < genesis_.config.admins.size() ? genesis_.config.admins[admin].key : PublicKey{};
    auto signature =
        IdealVerifier::sign(key, crypto::preimage(tags::kAdmin, {genesis_.cluster_id(), 0}, body));
    if (one_in(8)) signature[0] ^= 1;
    op.signatures.push_back({admin, signature});
  }
  return op;
}

schema::OperationBody RandomOperations::body(std::uint64_t time_us) {
  const std::uint64_t dice = below(100);
  if (dice < 26) return make_node();
  if (dice < 44) return schema::Remove{directory(), name(), one_in(4)};
  if (dice < 57) return rename();
  if (dice < 63) return schema::Link{target(), directory(), name()};
  if (dice < 77) return set_attributes();
  if (dice < 83)
    return schema::SetXattr{target(), xattr_name(), bytes(20),
                            one_in(3) ? static_cast<std::uint32_t>(below(5)) : 0};
  if (dice < 86) return schema::RemoveXattr{target(), xattr_name()};
  if (dice < 95) return commit_data();
  if (dice < 97) return schema::Hold{ino_of(FileType::regular), one_in(3)};
  if (dice < 99) return register_client(time_us);
  if (one_in(2)) return schema::CloseSession{};
  return schema::Noop{};
}

}  // namespace bftmeta::test
