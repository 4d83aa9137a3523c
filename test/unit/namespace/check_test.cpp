// The checker finds what it is there for (T10.8); bytes of strangers trip nothing (T10.9); clients
// are registered by admins only.
#include <doctest/doctest.h>

#include "fixture.hpp"
#include "namespace/check.hpp"
#include "random_operations.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;
namespace keys = schema::keys;

namespace {

struct Sound : World {
  Sound() {
    d = directory(kRootIno, "d");
    f = file(d, "f");
    u = file(d, "u");
    run(schema::SetXattr{at(f), to_bytes("user.a"), to_bytes("v"), 0});
    run(schema::Hold{u, false});
    run(schema::Remove{at(d), named("u"), false});
  }
  std::size_t problems() const { return ns::check(overlay, {false}).problems.size(); }
  Key entry(std::uint64_t directory, std::string_view name) const {
    return keys::dirent(directory, keys::name_hash(stat(directory)->salt, view(name)));
  }
  template <class Change>
  void change(std::uint64_t ino, Change apply) {
    schema::Attributes a = *stat(ino);
    apply(a);
    overlay.put(keys::attributes(ino), encode(a));
  }
  std::uint64_t d, f, u;
};

}  // namespace

TEST_CASE("T10.8 a sound state has no problems, each damage has one") {
  Sound sound;
  const auto report = ns::check(sound.overlay, {false});
  CHECK(report.clean());
  CHECK(report.inodes == 4);
  CHECK(report.entries == 2);
  CHECK_FALSE(ns::check(sound.overlay).clean());  // the holder has no session record

  const auto damage = [](auto&& harm) {
    Sound s;
    harm(s);
    return s.problems() > 0;
  };
  using A = schema::Attributes;
  CHECK(damage([](Sound& s) { s.overlay.erase(keys::attributes(s.f)); }));
  CHECK(damage([](Sound& s) { s.overlay.erase(s.entry(s.d, "f")); }));
  CHECK(damage([](Sound& s) { s.change(s.f, [](A& a) { a.nlink = 2; }); }));
  CHECK(damage([](Sound& s) { s.change(s.d, [](A& a) { a.nlink = 3; }); }));
  CHECK(damage([](Sound& s) { s.change(s.d, [](A& a) { a.size = 0; }); }));
  CHECK(damage([](Sound& s) { s.change(s.d, [&](A& a) { a.parent = s.d; }); }));
  CHECK(damage([](Sound& s) { s.change(s.f, [](A& a) { a.xattr_count = 0; }); }));
  CHECK(damage([](Sound& s) { s.change(s.f, [](A& a) { a.size = 1; }); }));
  CHECK(damage([](Sound& s) { s.change(s.d, [](A& a) { a.salt[0] ^= 1; }); }));
  CHECK(damage(
      [](Sound& s) { s.change(s.f, [](A& a) { a.data = schema::DataKind::inline_leaf; }); }));
  CHECK(damage([](Sound& s) { s.overlay.erase(keys::hold(s.u, s.context.session_id)); }));
  CHECK(damage([](Sound& s) { s.overlay.erase(keys::session_hold(s.context.session_id, s.u)); }));
  CHECK(damage([](Sound& s) { s.overlay.erase(keys::orphan(limits::kOrphanGraceUs, s.u)); }));
  CHECK(damage([](Sound& s) {
    schema::Counters c = s.counters();
    c.next_ino = s.u;
    s.overlay.put(keys::counters(), encode(c));
  }));
  CHECK(damage([](Sound& s) {
    schema::Counters c = s.counters();
    ++c.inodes;
    s.overlay.put(keys::counters(), encode(c));
  }));
  CHECK(damage([](Sound& s) {
    schema::Extent e;
    e.generation = 5;
    s.overlay.put(keys::extent(s.f, 0), encode(e));
  }));
}

TEST_CASE("a cycle that the root does not reach is found") {
  World w;
  const auto a = w.directory(kRootIno, "a");
  const auto b = w.directory(a, "b");
  // What a forgotten cycle check would leave: a moved into b.
  schema::Attributes attributes = *w.stat(a);
  attributes.parent = b;
  w.overlay.put(keys::attributes(a), encode(attributes));
  attributes = *w.stat(b);
  attributes.size = 1;
  attributes.nlink = 3;
  w.overlay.put(keys::attributes(b), encode(attributes));
  schema::Dirent entry;
  entry.ino = a;
  entry.type = FileType::directory;
  entry.name = to_bytes("a");
  w.overlay.put(keys::dirent(b, keys::name_hash(attributes.salt, entry.name)), encode(entry));
  schema::Attributes root = *w.stat(kRootIno);
  w.overlay.erase(keys::dirent(kRootIno, keys::name_hash(root.salt, entry.name)));
  root.size = 0;
  root.nlink = 2;
  w.overlay.put(keys::attributes(kRootIno), encode(root));
  const auto report = ns::check(w.overlay);
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].find("does not reach") != std::string::npos);
}

TEST_CASE("T10.9 whatever decodes is executed without a trip, and leaves a sound state") {
  World w;
  IdealVerifier verifier;
  w.context.verifier = &verifier;
  w.genesis.config.admins.push_back({"a", PublicKey{}});
  RandomOperations random(7, w.genesis);
  std::size_t executed = 0;
  for (int i = 0; i < 60'000; ++i) {
    Bytes bytes = encode(random.next(w.context.exec_time_us));
    for (std::uint64_t n = random.below(4); n > 0; --n)
      bytes[random.below(bytes.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
    const auto op = decode<schema::Operation>(bytes, "operation");
    if (!op) continue;
    ++executed;
    const config::ClientRules rules = random.rules();
    w.context.rules = &rules;
    ++w.context.exec_time_us;
    random.learn(ns::apply(w.overlay, w.context, *op));
    if (i % 100 != 0) continue;
    w.settle();
    w.advance_lease_time(10'000'000);
    ns::housekeeping(w.overlay, w.context, 100);
  }
  CHECK(executed > 30'000);
  const auto report = ns::check(w.overlay, {false});
  for (const std::string& p : report.problems) MESSAGE(p);
  CHECK(report.clean());
}

TEST_CASE("clients are registered by enough admins, in time") {
  World w;
  IdealVerifier verifier;
  w.context.verifier = &verifier;
  w.genesis.config.admins = {{"a", PublicKey{1}}, {"b", PublicKey{2}}};
  w.genesis.config.admin_threshold = 2;
  schema::RegisterClient op;
  op.body.client.name = "c";
  op.body.client.sign_key = crypto::Ed25519Signer({7}).public_key();
  op.body.valid_until_us = w.context.exec_time_us + 1'000'000;
  const auto sign = [&](std::uint32_t admin) {
    const Bytes body = encode(op.body);
    op.signatures.push_back(
        {admin,
         IdealVerifier::sign(w.genesis.config.admins[admin].key,
                             crypto::preimage(tags::kAdmin, {w.context.cluster_id, 0}, body))});
  };
  const Key key = keys::principal(op.body.client.sign_key);
  sign(0);
  sign(0);
  CHECK(w.run(op).code == Code::not_permitted);
  sign(1);
  op.signatures[2].signature[5] ^= 1;
  CHECK(w.run(op).code == Code::not_permitted);
  op.signatures[2].signature[5] ^= 1;
  CHECK(w.run(op).code == Code::ok);
  CHECK(*w.overlay.count(key) == 1);
  CHECK(w.run(op).code == Code::exists);
  op.signatures.erase(op.signatures.begin());  // others of the same admins
  std::ranges::reverse(op.signatures);
  CHECK(w.run(op).code == Code::exists);
  op.body.client.name = "d";
  CHECK(w.run(op).code == Code::not_permitted);
  const auto again = [&](bool remove, std::uint64_t valid_until, const PublicKey& sign_key) {
    op.body.remove = remove;
    op.body.valid_until_us = valid_until;
    op.body.client.sign_key = sign_key;
    op.signatures.clear();
    sign(0);
    sign(1);
    return w.run(op).code;
  };
  const PublicKey good = op.body.client.sign_key;
  const std::uint64_t now = w.context.exec_time_us;
  CHECK(again(false, now - 1, good) == Code::invalid);
  CHECK(again(false, now + 3'700'000'000, good) == Code::invalid);
  CHECK(again(false, now + 1000, PublicKey{}) == Code::invalid);
  CHECK(again(true, now + 1000, good) == Code::ok);
  CHECK(*w.overlay.count(key) == 0);
  CHECK(again(true, now + 1000, good) == Code::exists);
  CHECK(again(true, now + 1001, good) == Code::no_entry);
}
