#include "proof_vectors.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "filled.hpp"
#include "schema/keys.hpp"
#include "tree/recorder.hpp"

namespace bftmeta::verify::testing {

namespace {

namespace keys = schema::keys;

// One token of a partial tree with its bytes (tree/proof.hpp).
struct Part {
  tree::Token token;
  Bytes bytes;
};

std::size_t length_of(ByteView at) {
  const auto u16 = [&](std::size_t i) { return static_cast<std::size_t>(at[i] | at[i + 1] << 8); };
  switch (static_cast<tree::Token>(at[1 - 1])) {
    case tree::Token::empty: return 1;
    case tree::Token::node: return 1 + 2 + 8;
    case tree::Token::pruned: return 1 + 32;
    case tree::Token::stub: return 1 + 2 + (u16(1) + 7) / 8 + 8 + 64;
    case tree::Token::leaf: {
      const std::size_t key = at[1];
      return 1 + 1 + key + 4 + u16(2 + key);
    }
    case tree::Token::redacted: return 1 + 1 + std::size_t{at[1]} + 32;
  }
  return 0;
}

std::vector<Part> split(ByteView tree_bytes, Bytes& header) {
  std::vector<Part> parts;
  header = {tree_bytes[0]};  // version of the partial tree
  for (ByteView rest = tree_bytes.subspan(1); !rest.empty();) {
    const std::size_t n = length_of(rest);
    BFTMETA_ASSERT(n > 0 && n <= rest.size());
    parts.push_back({static_cast<tree::Token>(rest[0]), to_bytes(rest.first(n))});
    rest = rest.subspan(n);
  }
  return parts;
}

Bytes join(const Bytes& header, const std::vector<Part>& parts) {
  Bytes out = header;
  for (const Part& p : parts) out.insert(out.end(), p.bytes.begin(), p.bytes.end());
  return out;
}

// The honest proof with its tokens changed.
Bytes with_parts(const ProofFile& honest, const std::function<void(std::vector<Part>&)>& change) {
  Bytes header;
  auto parts = split(honest.proof, header);
  change(parts);
  ProofFile forged = honest;
  forged.proof = join(header, parts);
  return encode_proof_file(forged);
}

std::size_t first(const std::vector<Part>& parts, tree::Token token, std::size_t skip = 0) {
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i].token == token && skip-- == 0) return i;
  BFTMETA_ASSERT(false);
  return 0;
}

Key key_of(const Part& leaf) { return Key(ByteView(leaf.bytes).subspan(2, leaf.bytes[1])); }

std::size_t leaf_with(const std::vector<Part>& parts, const Key& key) {
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i].token == tree::Token::leaf && key_of(parts[i]) == key) return i;
  BFTMETA_ASSERT(false);
  return 0;
}

Part redacted(const Part& leaf) {
  const std::size_t key = leaf.bytes[1];
  Part r{tree::Token::redacted, {static_cast<std::uint8_t>(tree::Token::redacted)}};
  r.bytes.insert(r.bytes.end(), leaf.bytes.begin() + 1,
                 leaf.bytes.begin() + 2 + static_cast<std::ptrdiff_t>(key));
  const Hash h = crypto::Hasher(tags::Domain::trie_value)
                     .update(ByteView(leaf.bytes).subspan(2 + key + 4))
                     .finish();
  r.bytes.insert(r.bytes.end(), h.begin(), h.end());
  return r;
}

Part pruned(const Hash& hash) {
  Part p{tree::Token::pruned, {static_cast<std::uint8_t>(tree::Token::pruned)}};
  p.bytes.insert(p.bytes.end(), hash.begin(), hash.end());
  return p;
}

Key entry_key(const std::string& name) {
  return keys::dirent(schema::kRootIno, keys::name_hash(filled(0x11), view(name)));
}

void forge_certificates(const ProofWorld& world, const ProofFile& honest,
                        std::vector<ProofVector>& out) {
  const auto with = [&](const char* name, const std::function<void(ProofFile&)>& change) {
    ProofFile forged = honest;
    change(forged);
    out.push_back({name, false, encode_proof_file(forged)});
  };
  const test::Cluster& c = world.cluster;
  const auto signature = [&](const messages::CertBody& body, std::uint32_t r) {
    return messages::sign_share(*c.replicas[r], body, r).signature;
  };
  with("f-plus-one-signatures", [&](ProofFile& f) { f.cert = c.certify(f.cert.body, 0b11); });
  with("more-than-a-quorum", [&](ProofFile& f) { f.cert = c.certify(f.cert.body, 0b1111); });
  with("duplicate-signer", [&](ProofFile& f) { f.cert.signatures[1] = f.cert.signatures[0]; });
  with("duplicate-signer-short-bitmap", [&](ProofFile& f) {
    f.cert.signers = 0b11;
    f.cert.signatures = {signature(f.cert.body, 0), signature(f.cert.body, 1),
                         signature(f.cert.body, 1)};
  });
  with("signatures-out-of-order",
       [&](ProofFile& f) { std::swap(f.cert.signatures[0], f.cert.signatures[1]); });
  with("signer-outside-the-configuration", [&](ProofFile& f) { f.cert.signers = 0b10011; });
  with("other-epoch", [&](ProofFile& f) {
    f.cert.body.epoch = 1;
    f.cert = c.certify(f.cert.body, 0b111);
  });
  with("other-configuration", [&](ProofFile& f) {
    f.cert.body.config_hash = filled(9);
    f.cert = c.certify(f.cert.body, 0b111);
  });
  with("signed-for-another-cluster", [&](ProofFile& f) {
    f.cert.body.cluster_id = filled(9);
    f.cert = c.certify(f.cert.body, 0b111);
  });
  with("the-servers-word-for-the-cluster", [&](ProofFile& f) {
    test::Cluster other(4);
    other.genesis.nonce.fill(0x77);
    f.cert.body.cluster_id = other.genesis.cluster_id();
    f.cert.body.state_root = world.version.state_root(f.cert.body.cluster_id, limits::kSmVersion);
    f.cert = other.certify(f.cert.body, 0b111);
  });
  with("other-certified-root", [&](ProofFile& f) {
    f.cert.body.state_root = filled(0x33);
    f.cert = c.certify(f.cert.body, 0b111);
  });
  with("next-epoch-signatures", [&](ProofFile& f) {
    f.cert.next_signers = f.cert.signers;
    f.cert.next_signatures = f.cert.signatures;
  });
  with("sequence-number-raised", [&](ProofFile& f) { f.cert.body.seq += 1; });
}

void forge_trees(const ProofWorld& world, const ProofFile& honest, std::vector<ProofVector>& out) {
  const auto with = [&](const char* name, const std::function<void(std::vector<Part>&)>& change) {
    out.push_back({name, false, with_parts(honest, change)});
  };
  const Key docs = entry_key("docs");
  with("leaf-bit-flip", [&](auto& p) { p[leaf_with(p, docs)].bytes.back() ^= 1; });
  with("hash-bit-flip", [&](auto& p) { p[first(p, tree::Token::pruned)].bytes[7] ^= 1; });
  with("sibling-transplant", [&](auto& p) {
    std::swap(p[first(p, tree::Token::pruned)], p[first(p, tree::Token::pruned, 1)]);
  });
  with("both-children-filled", [&](auto& p) {
    // What was only a hash becomes a leaf of the attacker's choice (IAVL range proofs).
    p[first(p, tree::Token::pruned)] = p[leaf_with(p, docs)];
  });
  with("leaf-count-lie", [&](auto& p) { p[first(p, tree::Token::node)].bytes[3] ^= 1; });
  with("branch-bit-lie", [&](auto& p) { p[first(p, tree::Token::node)].bytes[1] ^= 1; });
  with("entry-redacted", [&](auto& p) {
    Part& leaf = p[leaf_with(p, docs)];
    leaf = redacted(leaf);
  });
  with("everything-pruned", [&](auto& p) { p = {pruned(world.version.root_hash())}; });
  with("not-canonical-pruning", [&](auto& p) {
    // One hash given as a node over two: another encoding of what could be the same tree.
    const std::size_t at = first(p, tree::Token::pruned);
    Part node{tree::Token::node, Bytes(11, 0)};
    node.bytes[0] = static_cast<std::uint8_t>(tree::Token::node);
    node.bytes[1] = 0x4f;  // branches at bit 335, the last one
    node.bytes[2] = 0x01;
    node.bytes[3] = 2;
    p.insert(p.begin() + static_cast<std::ptrdiff_t>(at), pruned(filled(1)));
    p.insert(p.begin() + static_cast<std::ptrdiff_t>(at), node);
  });
  with("empty-tree", [&](auto& p) {
    p = {Part{tree::Token::empty, {static_cast<std::uint8_t>(tree::Token::empty)}}};
  });
  with("node-as-leaf", [&](auto& p) {
    // Prefix confusion: the bytes of an inner node where a leaf's key is expected.
    Part& leaf = p[leaf_with(p, docs)];
    leaf.bytes[1] = 43;
  });
  with("trailing-token", [&](auto& p) { p.push_back(pruned(filled(2))); });
  with("truncated-tree", [&](auto& p) { p.pop_back(); });
}

void forge_chains(const ProofWorld& world, const ProofFile& honest, std::vector<ProofVector>& out) {
  const auto with = [&](const char* name, const std::function<void(ProofFile&)>& change) {
    ProofFile forged = honest;
    change(forged);
    out.push_back({name, false, encode_proof_file(forged)});
  };
  const config::Config& first = world.cluster.config();
  with("chain-left-out", [](ProofFile& f) { f.steps.clear(); });
  with("chain-without-its-start", [](ProofFile& f) { f.steps.erase(f.steps.begin()); });
  with("chain-without-its-end", [](ProofFile& f) { f.steps.pop_back(); });
  with("chain-out-of-order", [](ProofFile& f) { std::swap(f.steps[0], f.steps[1]); });
  with("chain-step-twice", [](ProofFile& f) { f.steps.push_back(f.steps[1]); });
  with("chain-other-next-configuration",
       [](ProofFile& f) { f.steps[1].next.replicas[2].port += 4; });
  with("chain-f-plus-one-of-those-before", [&](ProofFile& f) {
    const auto few = world.certify(first, f.steps[0].cert.body, 0b1001);
    f.steps[0].cert.signers = few.signers;
    f.steps[0].cert.signatures = few.signatures;
  });
  with("chain-not-signed-by-those-after", [](ProofFile& f) {
    f.steps[1].cert.next_signers = 0;
    f.steps[1].cert.next_signatures.clear();
  });
  with("chain-too-many-replaced-at-once", [&](ProofFile& f) {
    // As a quorum before and one after would sign, had a faulty state machine allowed it.
    f.steps = {world.step(first, {{3, 4}, {0, 5}}, 5)};
    f.cert.body.epoch = 1;
    f.cert.body.config_hash = f.steps[0].next.hash();
    f.cert = world.certify(f.steps[0].next, f.cert.body, 0b1011);
  });
  with("retired-keys", [&](ProofFile& f) { f.cert = world.certify(first, f.cert.body, 0b1011); });
  with("certificate-of-the-first-epoch-behind-a-chain",
       [&](ProofFile& f) { f.cert = world.certify(first, world.body(7), 0b1011); });
  with("joint-certificate", [](ProofFile& f) {
    f.cert = f.steps.back().cert;
    f.steps.pop_back();
  });
}

void forge_files(const ProofWorld& world, const ProofFile& honest, std::vector<ProofVector>& out) {
  const auto question = [&](const char* name, const std::vector<std::string>& names) {
    ProofFile forged = honest;
    forged.target = world.target(names);
    out.push_back({name, false, encode_proof_file(forged)});
  };
  question("another-question", {"f1"});
  question("impossible-name", {"docs", ".."});
  question("empty-name", {"docs", ""});
  const auto raw = [&](const char* name, const std::function<void(Bytes&)>& change) {
    Bytes bytes = encode_proof_file(honest);
    change(bytes);
    out.push_back({name, false, std::move(bytes)});
  };
  raw("trailing-byte", [](Bytes& b) { b.push_back(0); });
  raw("truncated", [](Bytes& b) { b.pop_back(); });
  raw("no-bytes", [](Bytes& b) { b.clear(); });
  raw("magic", [](Bytes& b) { b[0] ^= 0x20; });
  raw("check-sum", [](Bytes& b) { b.back() ^= 1; });
  const auto resummed = [&](const char* name, const std::function<void(Bytes&)>& change) {
    raw(name, [&](Bytes& b) {
      b.resize(b.size() - 32);
      change(b);
      const Hash sum = crypto::Hasher(tags::Domain::proof_file).update(b).finish();
      b.insert(b.end(), sum.begin(), sum.end());
    });
  };
  resummed("version-zero", [](Bytes& b) { b[8] = 0; });
  resummed("version-three", [](Bytes& b) { b[8] = 3; });
  resummed("first-epoch-as-version-two", [](Bytes& b) { b[8] = 2; });
  resummed("version-two-without-steps", [&](Bytes& b) {
    b[8] = 2;
    const auto at = b.begin() + 10 + static_cast<std::ptrdiff_t>(encoded_size(honest.target));
    b.insert(at, 4, 0);
  });
  resummed("kind-zero", [](Bytes& b) { b[9] = 0; });
  resummed("trailing-byte-under-the-sum", [](Bytes& b) { b.push_back(0); });
}

}  // namespace

ProofWorld::ProofWorld() {
  std::map<Key, Bytes> leaves;
  const auto inode = [&](std::uint64_t ino, schema::FileType type, std::uint8_t salt) {
    schema::Attributes a;
    a.type = type;
    a.mode = type == schema::FileType::directory ? 0755 : 0644;
    a.size = 10 * ino;
    a.salt = filled(salt);
    leaves[keys::attributes(ino)] = encode(a);
  };
  const auto entry = [&](std::uint64_t dir, std::uint8_t salt, const std::string& name,
                         std::uint64_t ino, schema::FileType type) {
    schema::Dirent d;
    d.ino = ino;
    d.type = type;
    d.name = to_bytes(std::string_view(name));
    leaves[keys::dirent(dir, keys::name_hash(filled(salt), view(name)))] = encode(d);
  };
  inode(1, schema::FileType::directory, 0x11);
  inode(2, schema::FileType::directory, 0x22);
  inode(3, schema::FileType::regular, 0x33);
  entry(1, 0x11, "docs", 2, schema::FileType::directory);
  entry(2, 0x22, "report.txt", 3, schema::FileType::regular);
  for (std::uint64_t i = 0; i < 20; ++i) {
    inode(4 + i, schema::FileType::regular, 0x44);
    entry(1, 0x11, "f" + std::to_string(i), 4 + i, schema::FileType::regular);
  }
  std::vector<tree::Update> updates;
  for (auto& [key, value] : leaves) updates.push_back({key, std::move(value)});
  version = *version.apply(updates);
}

schema::Target ProofWorld::target(const std::vector<std::string>& names) const {
  schema::Target t;
  for (const std::string& n : names) t.path.push_back({to_bytes(std::string_view(n))});
  return t;
}

messages::CertBody ProofWorld::body(messages::Seq seq) const {
  messages::CertBody b;
  b.cluster_id = cluster.genesis.cluster_id();
  b.config_hash = cluster.config().hash();
  b.seq = seq;
  b.time_us = 1'700'000'000'000'000 + seq;
  b.state_root = version.state_root(b.cluster_id, limits::kSmVersion);
  return b;
}

ProofFile ProofWorld::honest(const std::vector<std::string>& names) const {
  const tree::Recorder recorder(version);
  const schema::Target asked = target(names);
  BFTMETA_ASSERT(path_fact(recorder, asked).has_value());
  return {asked, {}, cluster.certify(body(7), 0b1011), *tree::prove(recorder)};
}

messages::RootCert ProofWorld::certify(const config::Config& config, const messages::CertBody& body,
                                       std::uint32_t signers) const {
  messages::RootCert cert;
  cert.body = body;
  cert.signers = signers;
  for (std::uint32_t r = 0; r < config.n(); ++r) {
    if ((signers >> r & 1) == 0) continue;
    const auto key = config::position_of(pool.config(), config.replicas[r].vote_key);
    cert.signatures.push_back(messages::sign_share(*pool.replicas[*key], body, r).signature);
  }
  return cert;
}

messages::EpochStep ProofWorld::step(const config::Config& from,
                                     const std::map<std::uint32_t, std::uint32_t>& replaced,
                                     messages::Seq end) const {
  messages::EpochStep step;
  step.next = from;
  ++step.next.epoch;
  for (const auto& [slot, replica] : replaced) {
    step.next.replicas[slot] = pool.config().replicas[replica];
    step.next.replicas[slot].id = slot;
  }
  messages::CertBody last = body(end);
  last.epoch = from.epoch;
  last.config_hash = from.hash();
  last.epoch_end_seq = end;
  last.next_config_hash = step.next.hash();
  step.cert = certify(from, last, 0b0111);
  const messages::RootCert theirs = certify(step.next, last, 0b1101);
  step.cert.next_signers = theirs.signers;
  step.cert.next_signatures = theirs.signatures;
  return step;
}

ProofFile ProofWorld::later(const std::vector<std::string>& names) const {
  ProofFile file = honest(names);
  file.steps.push_back(step(cluster.config(), {{3, 4}}, 3));
  file.steps.push_back(step(file.steps[0].next, {{0, 5}}, 5));
  const config::Config& now = file.steps[1].next;
  file.cert.body.epoch = now.epoch;
  file.cert.body.config_hash = now.hash();
  file.cert = certify(now, file.cert.body, 0b1011);
  return file;
}

std::vector<ProofVector> make_proof_vectors(const ProofWorld& world) {
  std::vector<ProofVector> out;
  const auto golden = [&](const char* name, const std::vector<std::string>& names) {
    out.push_back({name, true, encode_proof_file(world.honest(names))});
  };
  golden("file", {"docs", "report.txt"});
  golden("directory", {"docs"});
  golden("root-directory", {});
  golden("absent", {"docs", "nothing"});
  golden("absent-below-a-file", {"f3", "x"});
  for (const auto& names : {std::vector<std::string>{"docs", "report.txt"}, {"docs", "nothing"}})
    out.push_back({names[1] == "nothing" ? "absent-two-epochs-later" : "file-two-epochs-later",
                   true, encode_proof_file(world.later(names))});
  const ProofFile honest = world.honest({"docs", "report.txt"});
  forge_certificates(world, honest, out);
  forge_trees(world, honest, out);
  forge_files(world, honest, out);
  forge_chains(world, world.later({"docs", "report.txt"}), out);
  return out;
}

std::string proof_vectors_text(const ProofWorld& world) {
  std::string text = "genesis " + to_hex(encode(world.cluster.genesis)) + "\n";
  for (const ProofVector& v : make_proof_vectors(world))
    text += v.name + (v.verified ? " verified " : " refused ") +
            (v.bytes.empty() ? "-" : to_hex(v.bytes)) + "\n";
  return text;
}

}  // namespace bftmeta::verify::testing
