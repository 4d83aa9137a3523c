#include "storage/lmdb_check.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace bftmeta::storage {

namespace {

using PageNumber = std::uint64_t;

// Offsets and flags as LMDB has them, in the byte order of the machine.
constexpr std::size_t kPageHeader = 16;
constexpr std::size_t kPageFlags = 10;
constexpr std::size_t kPageLower = 12;  // of its free space; of an overflow page: how many
constexpr std::size_t kPageUpper = 14;
constexpr std::size_t kNodeHeader = 8;
constexpr std::size_t kTableRecord = 48;
// In a meta page: magic, version, the records of the tables of free pages and of tables (the first
// begins with the size of pages), the last page, the transaction.
constexpr std::size_t kMetaMagic = 16;
constexpr std::size_t kMetaVersion = 20;
constexpr std::size_t kMetaFree = 40;
constexpr std::size_t kMetaMain = kMetaFree + kTableRecord;
constexpr std::size_t kMetaLast = kMetaMain + kTableRecord;
constexpr std::size_t kMetaTransaction = kMetaLast + 8;
constexpr std::size_t kMetaSize = kMetaTransaction + 8;
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr PageNumber kNoRoot = std::numeric_limits<PageNumber>::max();
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxKey = 511;
constexpr std::size_t kMinPage = 512;
constexpr std::size_t kMaxPage = 32768;

enum PageFlags : std::uint16_t { kBranch = 1, kLeaf = 2, kOverflow = 4, kMeta = 8 };
enum NodeFlags : std::uint16_t { kBigData = 1, kSubTable = 2 };
// Of a table: integer keys are those of the free pages; the others change what a leaf means.
constexpr std::uint16_t kIntegerKey = 0x08;
constexpr std::uint16_t kOtherOrders = 0x02 | 0x04 | 0x10 | 0x20 | 0x40;

template <class T>
T load(ByteView bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

struct Table {
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  PageNumber root = kNoRoot;

  static Table parse(ByteView b) {
    return {load<std::uint16_t>(b, 4), load<std::uint16_t>(b, 6), load<PageNumber>(b, 40)};
  }
};

struct Node {
  std::uint16_t flags = 0;  // of a leaf
  ByteView key;
  ByteView data;         // of a leaf; of a big one the number of its page
  std::size_t size = 0;  // of the value
  PageNumber child = 0;  // of a branch
};

class Check {
 public:
  Check(File& file, std::string path) : file_(file), path_(std::move(path)) {}

  Status run() {
    BFTMETA_TRY(read_metas());
    used_.assign(last_ + 1, false);
    used_[0] = used_[1] = true;
    if ((free_.flags & kIntegerKey) == 0) return damaged(0, "wrong flags of the free pages' table");
    BFTMETA_TRY(walk(main_, &Check::on_table));
    for (const Table& table : std::exchange(tables_, {}))
      BFTMETA_TRY(walk(table, &Check::on_value));
    BFTMETA_TRY(walk(free_, &Check::on_free_pages));
    for (const PageNumber page : freed_) BFTMETA_TRY(take(page, "is free"));
    return {};
  }

 private:
  using OnLeaf = Status (Check::*)(PageNumber, const Node&);

  tl::unexpected<Error> damaged(PageNumber page, const std::string& what) const {
    return fail(Errc::corrupt, path_ + ": page " + std::to_string(page) + ": " + what);
  }

  Status read(std::uint64_t offset, std::span<std::uint8_t> out, PageNumber page) {
    BFTMETA_ASSIGN(const std::size_t got, file_.read_at(offset, out));
    if (got != out.size()) return damaged(page, "lies behind the end of the file");
    return {};
  }

  // Both must be readable; the newer one counts.
  Status read_metas() {
    std::uint64_t newest = 0;
    for (PageNumber page = 0; page < 2; ++page) {
      Bytes meta(kMetaSize);
      BFTMETA_TRY(read(page * page_size_, meta, page));
      if (load<std::uint16_t>(meta, kPageFlags) != kMeta ||
          load<std::uint32_t>(meta, kMetaMagic) != kMagic ||
          load<std::uint32_t>(meta, kMetaVersion) != kDataVersion)
        return damaged(page, "no meta page of LMDB");
      const auto size = load<std::uint32_t>(meta, kMetaFree);
      if (!std::has_single_bit(size) || size < kMinPage || size > kMaxPage ||
          (page == 1 && size != page_size_))
        return damaged(page, "wrong size of pages");
      page_size_ = size;
      const auto transaction = load<std::uint64_t>(meta, kMetaTransaction);
      if (page == 1 && transaction <= newest) continue;
      newest = transaction;
      free_ = Table::parse(ByteView(meta).subspan(kMetaFree, kTableRecord));
      main_ = Table::parse(ByteView(meta).subspan(kMetaMain, kTableRecord));
      last_ = load<PageNumber>(meta, kMetaLast);
    }
    BFTMETA_ASSIGN(const std::uint64_t size, file_.size());
    // Pages that were freed before they were ever written may lie behind the end.
    constexpr std::uint64_t kUnwritten = 1 << 20;
    if (last_ < 1 || last_ > size / page_size_ + kUnwritten)
      return damaged(0, "wrong number of pages");
    return {};
  }

  // Every page has one use.
  Status take(PageNumber page, const char* as) {
    if (page >= used_.size()) return damaged(page, std::string(as) + " and does not exist");
    if (used_[page]) return damaged(page, std::string(as) + " and is in use otherwise");
    used_[page] = true;
    return {};
  }

  Result<Bytes> page(PageNumber number, PageFlags flags) {
    BFTMETA_TRY(take(number, "is named by another page"));
    Bytes bytes(page_size_);
    BFTMETA_TRY(read(number * page_size_, bytes, number));
    if (load<PageNumber>(bytes, 0) != number || load<std::uint16_t>(bytes, kPageFlags) != flags)
      return damaged(number, "wrong number or kind in its header");
    return bytes;
  }

  Status walk(const Table& table, OnLeaf on_leaf) {
    integers_ = &table == &free_;
    last_key_.clear();
    last_separates_ = true;
    if ((table.flags & kOtherOrders) != 0 || (!integers_ && (table.flags & kIntegerKey) != 0))
      return damaged(table.root, "wrong flags of a table");
    if (table.root == kNoRoot && table.depth == 0) return {};
    if (table.depth == 0 || table.depth > kMaxDepth)
      return damaged(table.root, "wrong depth of a table");
    return walk(table.root, table.depth, on_leaf);
  }

  Status walk(PageNumber number, std::size_t height, OnLeaf on_leaf) {
    const bool leaf = height == 1;
    BFTMETA_ASSIGN(const Bytes bytes, page(number, leaf ? kLeaf : kBranch));
    BFTMETA_ASSIGN(const std::vector<Node> nodes, parse(number, bytes, leaf));
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      // What the first key of a branch page is has no meaning.
      if (leaf || i != 0) BFTMETA_TRY(in_order(number, nodes[i].key, leaf));
      if (leaf)
        BFTMETA_TRY((this->*on_leaf)(number, nodes[i]));
      else
        BFTMETA_TRY(walk(nodes[i].child, height - 1, on_leaf));
    }
    return {};
  }

  // Nodes fill the page from its upper bound to its end without a gap, in whatever order.
  Result<std::vector<Node>> parse(PageNumber number, ByteView page, bool leaf) const {
    const auto lower = load<std::uint16_t>(page, kPageLower);
    const auto upper = load<std::uint16_t>(page, kPageUpper);
    if (lower <= kPageHeader || lower % 2 != 0 || lower > upper || upper > page.size())
      return damaged(number, "wrong bounds of its free space");
    std::vector<Node> nodes;
    std::vector<std::pair<std::size_t, std::size_t>> places;
    for (std::size_t at = kPageHeader; at < lower; at += 2) {
      const auto offset = load<std::uint16_t>(page, at);
      if (offset < upper || offset % 2 != 0 || offset + kNodeHeader > page.size())
        return damaged(number, "a node lies outside");
      BFTMETA_ASSIGN(const Node node, parse_node(number, page.subspan(offset), leaf));
      const std::size_t size = kNodeHeader + node.key.size() + node.data.size();
      places.emplace_back(offset, size + size % 2);
      nodes.push_back(node);
    }
    std::ranges::sort(places);
    std::size_t end = upper;
    for (const auto& [offset, size] : places) {
      if (offset != end) return damaged(number, "nodes overlap or leave a gap");
      end += size;
    }
    if (end != page.size()) return damaged(number, "nodes overlap or leave a gap");
    return nodes;
  }

  Result<Node> parse_node(PageNumber number, ByteView from, bool leaf) const {
    const std::uint64_t low = load<std::uint16_t>(from, 0);
    const std::uint64_t high = load<std::uint16_t>(from, 2);
    const std::uint64_t flags = load<std::uint16_t>(from, 4);
    const std::size_t key = load<std::uint16_t>(from, 6);
    if (key > kMaxKey) return damaged(number, "wrong length of a key");
    Node node;
    std::size_t data = 0;
    if (leaf) {
      node.flags = static_cast<std::uint16_t>(flags);
      node.size = low | high << 16;
      const bool big = (flags & kBigData) != 0;
      // A page has to hold two of the largest.
      const std::size_t largest = ((page_size_ - kPageHeader) / 2 & ~std::size_t{1}) - 2;
      if (!big && kNodeHeader + key + node.size > largest)
        return damaged(number, "wrong length of a value");
      data = big ? sizeof(PageNumber) : node.size;
    } else {
      node.child = low | high << 16 | flags << 32;
    }
    if (kNodeHeader + key + data > from.size()) return damaged(number, "a node lies outside");
    node.key = from.subspan(kNodeHeader, key);
    node.data = from.subspan(kNodeHeader + key, data);
    return node;
  }

  // In the order of the walk: what a branch page says lies above all keys before, and not above
  // those behind it.
  Status in_order(PageNumber number, ByteView key, bool leaf) {
    if (key.empty() || (integers_ && key.size() != sizeof(std::uint64_t)))
      return damaged(number, "wrong length of a key");
    const auto below = [&](ByteView a, ByteView b) {
      if (integers_) return load<std::uint64_t>(a, 0) < load<std::uint64_t>(b, 0);
      return std::ranges::lexicographical_compare(a, b);
    };
    if (!last_key_.empty() &&
        (leaf && last_separates_ ? below(key, last_key_) : !below(last_key_, key)))
      return damaged(number, "keys in the wrong order");
    last_key_ = to_bytes(key);
    last_separates_ = !leaf;
    return {};
  }

  Status on_table(PageNumber number, const Node& node) {
    if (node.flags != kSubTable || node.size != kTableRecord)
      return damaged(number, "wrong record of a table");
    tables_.push_back(Table::parse(node.data));
    return {};
  }

  Status on_value(PageNumber number, const Node& node) {
    BFTMETA_TRY(place_of(number, node));
    return {};
  }

  // A count, and that many pages, the highest first.
  Status on_free_pages(PageNumber number, const Node& node) {
    BFTMETA_ASSIGN(const std::uint64_t offset, place_of(number, node));
    Bytes list(node.size);
    if (offset == 0)
      std::ranges::copy(node.data, list.begin());
    else
      BFTMETA_TRY(read(offset, list, number));
    const std::uint64_t room = list.size() / sizeof(PageNumber);
    const auto wrong = [&] { return damaged(number, "wrong list of free pages"); };
    if (room == 0 || load<std::uint64_t>(list, 0) >= room) return wrong();
    PageNumber above = kNoRoot;
    for (std::uint64_t i = 1; i <= load<std::uint64_t>(list, 0); ++i) {
      const auto page = load<PageNumber>(list, i * sizeof(PageNumber));
      if (page >= above) return wrong();
      freed_.push_back(above = page);
    }
    return {};
  }

  // Where in the file a big value begins; 0: it is in its node. Its pages are taken.
  Result<std::uint64_t> place_of(PageNumber number, const Node& node) {
    if ((node.flags & ~kBigData) != 0) return damaged(number, "wrong flags of a node");
    if ((node.flags & kBigData) == 0) return 0;
    const auto first = load<PageNumber>(node.data, 0);
    BFTMETA_ASSIGN(const Bytes bytes, page(first, kOverflow));
    const std::uint64_t count = load<std::uint32_t>(bytes, kPageLower);
    if (count == 0 || node.size + kPageHeader > count * page_size_ || count > used_.size())
      return damaged(first, "wrong number of pages of a value");
    for (std::uint64_t i = 1; i < count; ++i)
      BFTMETA_TRY(take(first + i, "belongs to a large value"));
    return first * page_size_ + kPageHeader;
  }

  File& file_;
  const std::string path_;
  std::size_t page_size_ = 0;
  Table free_;
  Table main_;
  PageNumber last_ = 0;
  std::vector<Table> tables_;
  std::vector<PageNumber> freed_;
  std::vector<bool> used_;
  // Of the walk through one table.
  bool integers_ = false;
  Bytes last_key_;
  bool last_separates_ = true;
};

}  // namespace

Status check_lmdb_file(FileSystem& fs, const std::string& directory) {
  const std::string path = directory + std::string(kLmdbDataFile);
  BFTMETA_ASSIGN(const bool present, fs.exists(path));
  if (!present) return {};
  BFTMETA_ASSIGN(const auto file, fs.open(path, OpenMode::read_write));
  return Check(*file, path).run();
}

}  // namespace bftmeta::storage
