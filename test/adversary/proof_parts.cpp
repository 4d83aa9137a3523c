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

}  // namespace bftmeta::adversary
