#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "model.hpp"
#include "tree/recorder.hpp"

// The frozen files of test/vectors/tree, which were made by an implementation that shares no code
// with this one. Syntax: docs/formats/tree.md.
namespace bftmeta::tree::test {
namespace {

using Line = std::vector<std::string>;
using Block = std::vector<Line>;

std::vector<Block> read_blocks(const std::string& name) {
  std::ifstream file(std::string(BFTMETA_VECTORS) + "/tree/" + name);
  REQUIRE(file.is_open());
  std::vector<Block> blocks(1);
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    Line line;
    for (std::string word; words >> word;) line.push_back(word);
    if (line.empty() || line[0] == "#") continue;
    if (line[0] == "end")
      blocks.emplace_back();
    else
      blocks.back().push_back(line);
  }
  REQUIRE(blocks.back().empty());
  blocks.pop_back();
  return blocks;
}

Bytes bytes_of(const std::string& word) {
  if (word == "-") return {};
  const auto bytes = from_hex(word);
  REQUIRE(bytes);
  return *bytes;
}
Key key_of(const std::string& word) { return Key(bytes_of(word)); }

Model leaves_of(const Block& block) {
  Model model;
  for (const Line& line : block)
    if (line[0] == "leaf") model[key_of(line[1])] = bytes_of(line[2]);
  return model;
}

// The answer to a query line as the rest of that line.
std::string ask(const Reader& reader, const Line& line) {
  if (line[0] == "get") {
    Bytes value;
    switch (reader.get(key_of(line[1]), value)) {
      case Found::value: return "value " + (value.empty() ? "-" : to_hex(value));
      case Found::absent: return "absent";
      case Found::unknown: return "unknown";
    }
  }
  if (line[0] == "list") {
    std::string keys = "complete";
    std::optional<Key> to;
    if (line[2] != "end") to = key_of(line[2]);
    const bool known = reader.scan(key_of(line[1]), to, [&](const Key& key, ByteView) {
      keys += ' ' + to_hex(key);
      return true;
    });
    return known ? keys : "unknown";
  }
  const auto n = reader.count(key_of(line[1]));
  return n ? std::to_string(*n) : "unknown";
}

bool is_query(const Line& line) {
  return line[0] == "get" || line[0] == "list" || line[0] == "leaves";
}

std::string expected_answer(const Line& line) {
  std::string text;
  for (std::size_t i = line[0] == "list" ? 3 : 2; i < line.size(); ++i)
    text += (text.empty() ? "" : " ") + line[i];
  return text;
}

const Line& line_of(const Block& block, const std::string& word) {
  for (const Line& line : block)
    if (line[0] == word) return line;
  FAIL("no such line: " << word);
  return block.front();
}

TEST_CASE("vectors: roots of trees") {
  const std::vector<Block> blocks = read_blocks("trees.txt");
  CHECK(blocks.size() >= 10);
  for (const Block& block : blocks) {
    CAPTURE(block[0][1]);
    const Result<Version> v = Version::empty().apply(updates_of(leaves_of(block)));
    REQUIRE(v);
    CHECK(to_hex(v->root_hash()) == line_of(block, "root")[1]);
    const Line& state = line_of(block, "state");
    Hash cluster;
    std::ranges::copy(bytes_of(state[1]), cluster.begin());
    CHECK(to_hex(v->state_root(cluster, static_cast<std::uint32_t>(std::stoul(state[2])))) ==
          state[3]);
  }
}

TEST_CASE("vectors: proofs are made byte by byte as they are frozen, and answer what they prove") {
  const std::vector<Block> blocks = read_blocks("proofs.txt");
  CHECK(blocks.size() >= 80);
  for (const Block& block : blocks) {
    CAPTURE(block[0][1]);
    const Result<Version> v = Version::empty().apply(updates_of(leaves_of(block)));
    REQUIRE(v);
    const Recorder recorder(*v);
    for (const Line& line : block)
      if (is_query(line)) CHECK(ask(recorder, line) == expected_answer(line));
    const Result<Bytes> proof = prove(recorder);
    REQUIRE(proof);
    CHECK(to_hex(*proof) == line_of(block, "bytes")[1]);
    const Result<PartialTree> partial = PartialTree::parse(bytes_of(line_of(block, "bytes")[1]));
    REQUIRE(partial);
    CHECK(to_hex(partial->root_hash()) == line_of(block, "root")[1]);
    for (const Line& line : block)
      if (is_query(line)) CHECK(ask(*partial, line) == expected_answer(line));
  }
}

TEST_CASE("vectors, T7.8: forged proofs are refused, have another root, or show nothing") {
  const std::vector<Block> blocks = read_blocks("forged.txt");
  CHECK(blocks.size() >= 50);
  for (const Block& block : blocks) {
    CAPTURE(block[0][1]);
    const Result<PartialTree> partial = PartialTree::parse(
        bytes_of(line_of(block, "bytes").size() == 1 ? "-" : line_of(block, "bytes")[1]));
    const std::string& certified = line_of(block, "certified")[1];
    const Line& expected = block[3];
    if (expected[0] == "refused") {
      std::string reason;
      for (std::size_t i = 1; i < expected.size(); ++i) reason += (i == 1 ? "" : " ") + expected[i];
      REQUIRE_FALSE(partial);
      CHECK(partial.error().code == Errc::unverified);
      CHECK_MESSAGE(partial.error().message.find(reason) != std::string::npos,
                    partial.error().message);
    } else if (expected[0] == "other-root") {
      REQUIRE(partial);
      CHECK(to_hex(partial->root_hash()) != certified);
    } else {
      REQUIRE(expected[0] == "root");
      REQUIRE(partial);
      CHECK(to_hex(partial->root_hash()) == certified);
      REQUIRE(block.size() > 4);
      for (std::size_t i = 4; i < block.size(); ++i)
        CHECK(ask(*partial, block[i]) == expected_answer(block[i]));
    }
  }
}

}  // namespace
}  // namespace bftmeta::tree::test
