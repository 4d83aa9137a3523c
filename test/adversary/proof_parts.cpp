#include "adversary/proof_parts.hpp"

#include "tree/hashing.hpp"

namespace bftmeta::adversary {

namespace {

using tree::Token;

struct Part {
  Token token;
  Bytes bytes;  // with the token
};

std::size_t read_le(ByteView in, std::size_t at, std::size_t size) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::size_t{in[at + i]} << (8 * i);
  return value;
}

// Behind the version byte. Of an honest replica's proof, so nothing is checked.
std::vector<Part> split(ByteView proof) {
  std::vector<Part> parts;
  ByteView in = proof.subspan(1);
  while (!in.empty()) {
    const auto token = static_cast<Token>(in[0]);
    std::size_t size = 1;
    switch (token) {
      case Token::empty: break;
      case Token::node: size += 2 + 8; break;
      case Token::pruned: size += 32; break;
      case Token::stub: size += 2 + (read_le(in, 1, 2) + 7) / 8 + 8 + 64; break;
      case Token::leaf: size += 1 + std::size_t{in[1]} + 4 + read_le(in, 2 + in[1], 4); break;
      case Token::redacted: size += 1 + std::size_t{in[1]} + 32; break;
    }
    parts.push_back({token, to_bytes(in.first(size))});
    in = in.subspan(size);
  }
  return parts;
}

Bytes join(std::uint8_t version, const std::vector<Part>& parts) {
  Bytes out{version};
  for (const Part& part : parts) out.insert(out.end(), part.bytes.begin(), part.bytes.end());
  return out;
}

// One behind the last of the part that begins there.
std::size_t end_of(const std::vector<Part>& parts, std::size_t begin) {
  std::size_t open = 1;
  for (; open > 0; ++begin) open = parts[begin].token == Token::node ? open + 1 : open - 1;
  return begin;
}

Hash hash_of(std::uint8_t version, const std::vector<Part>& parts, std::size_t begin) {
  const Part& root = parts[begin];
  Hash hash{};
  if (root.token == Token::pruned) {
    std::copy_n(root.bytes.begin() + 1, hash.size(), hash.begin());
    return hash;
  }
  const auto at = [&](std::size_t i) { return parts.begin() + static_cast<std::ptrdiff_t>(i); };
  const auto tree = tree::PartialTree::parse(join(version, {at(begin), at(end_of(parts, begin))}));
  return tree ? tree->root_hash() : hash;
}

// Key bytes that begin with the prefix of the node that these parts are of.
ByteView path_below(const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    if (part.token == Token::leaf || part.token == Token::redacted)
      return ByteView(part.bytes).subspan(2, part.bytes[1]);
    if (part.token == Token::stub)
      return ByteView(part.bytes).subspan(3, (read_le(part.bytes, 1, 2) + 7) / 8);
  }
  return {};
}

void redact(Part& leaf) {
  const std::size_t key_size = leaf.bytes[1];
  const Hash value = tree::value_hash(ByteView(leaf.bytes).subspan(2 + key_size + 4));
  leaf.token = Token::redacted;
  leaf.bytes[0] = static_cast<std::uint8_t>(Token::redacted);
  leaf.bytes.resize(2 + key_size);
  leaf.bytes.insert(leaf.bytes.end(), value.begin(), value.end());
}

}  // namespace

std::optional<Bytes> forge_proof(const Bytes& proof, ProofLie lie, sim::Random& random) {
  if (proof.size() < 2) return std::nullopt;
  if (lie == ProofLie::flip) {
    Bytes flipped = proof;
    flipped[random.below(flipped.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
    return flipped;
  }
  std::vector<Part> parts = split(proof);
  std::vector<std::size_t> leaves;
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].token == Token::leaf) leaves.push_back(i);
    if (parts[i].token == Token::node) nodes.push_back(i);
  }
  if (leaves.empty() || nodes.empty()) return std::nullopt;
  const std::size_t leaf = leaves[random.below(leaves.size())];
  switch (lie) {
    case ProofLie::flip: break;
    case ProofLie::truncate: redact(parts[leaf]); break;
    case ProofLie::omit:  // the node right in front of a leaf is its parent
      if (parts[leaf - 1].token != Token::node) return std::nullopt;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(leaf) - 1,
                  parts.begin() + static_cast<std::ptrdiff_t>(leaf) + 1);
      break;
    case ProofLie::transplant: {
      const std::size_t other = leaves[random.below(leaves.size())];
      if (other == leaf) return std::nullopt;
      std::swap(parts[leaf], parts[other]);
      break;
    }
    case ProofLie::prefix: parts[nodes[random.below(nodes.size())]].bytes[1] ^= 1; break;
    case ProofLie::absent: parts[leaf].bytes[1 + parts[leaf].bytes[1]] ^= 1; break;
  }
  return join(proof[0], parts);
}

std::optional<Bytes> altered_leaf(const Bytes& proof, sim::Random& random) {
  if (proof.size() < 2) return std::nullopt;
  std::vector<Part> parts = split(proof);
  std::vector<Part*> leaves;
  for (Part& part : parts)
    if (part.token == Token::leaf && part.bytes.size() > 6U + part.bytes[1])
      leaves.push_back(&part);
  if (leaves.empty()) return std::nullopt;
  leaves[random.below(leaves.size())]->bytes.back() ^= 1;
  return join(proof[0], parts);
}

std::optional<Bytes> closed_partial_tree(const Bytes& proof) {
  if (proof.size() < 2) return std::nullopt;
  const std::vector<Part> parts = split(proof);
  const Bytes& node = parts[0].bytes;  // token, bitlen, leaf count
  if (parts[0].token != Token::node) return std::nullopt;
  const std::size_t bits = read_le(node, 1, 2);
  const ByteView path = path_below(parts);
  Bytes prefix = to_bytes(path.first(std::min(path.size(), (bits + 7) / 8)));
  if (bits % 8 != 0) prefix.back() &= static_cast<std::uint8_t>(0xff00U >> bits % 8);
  Bytes out{proof[0], static_cast<std::uint8_t>(Token::stub), node[1], node[2]};
  const auto put = [&out](ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); };
  put(prefix);
  put(ByteView(node).subspan(3));
  put(hash_of(proof[0], parts, 1));
  put(hash_of(proof[0], parts, end_of(parts, 1)));
  return out;
}

}  // namespace bftmeta::adversary
