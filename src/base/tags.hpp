// The registry of every signature tag and hash domain byte (protocol §1.2, §7.3). One place, so
// that no two uses can collide; test/unit/base checks uniqueness and length.
#pragma once

#include <array>
#include <cstdint>

namespace bftmeta::tags {

using Tag = std::array<char, 16>;

constexpr Tag make(const char (&s)[16]) {
  Tag t{};
  for (std::size_t i = 0; i < 16; ++i) t[i] = s[i];
  return t;
}

// Signature preimage = tag || cluster_id || epoch || body (protocol §1.2).
constexpr Tag kPrePrepare = make("mdfs.v1.preprep");
constexpr Tag kPrepare = make("mdfs.v1.prepare");
constexpr Tag kRootShare = make("mdfs.v1.rootcrt");
constexpr Tag kViewChange = make("mdfs.v1.viewchg");
constexpr Tag kNewView = make("mdfs.v1.newview");
constexpr Tag kRequest = make("mdfs.v1.request");
constexpr Tag kSessionOpen = make("mdfs.v1.sesopen");
constexpr Tag kConfig = make("mdfs.v1.config_");
constexpr Tag kReady = make("mdfs.v1.readyj_");
constexpr Tag kEvidence = make("mdfs.v1.evidenc");
constexpr Tag kAdmin = make("mdfs.v1.adminop");

inline constexpr std::array kAll = {kPrePrepare, kPrepare,  kRootShare,   kViewChange,
                                    kNewView,    kRequest,  kSessionOpen, kConfig,
                                    kReady,      kEvidence, kAdmin};

// First byte of every hashed preimage.
enum class Domain : std::uint8_t {
  trie_leaf = 0x00,
  trie_node = 0x01,
  trie_empty = 0x02,
  state_root = 0x03,
  trie_value = 0x04,
  proof_file = 0x05,
  trie_record = 0x06,  // check sum of a stored node record
  reply_leaf = 0x08,
  reply_node = 0x09,
  reply_results = 0x0a,
  history_leaf = 0x0b,  // RFC 6962 tree over BatchHeaders
  history_node = 0x0c,
  history_chain = 0x0d,
  batch = 0x10,
  batch_items = 0x11,
  request = 0x12,
  session_open = 0x13,
  session_id = 0x14,
  cert_body = 0x15,
  view_change = 0x16,
  request_body = 0x17,
  new_view = 0x18,
  admin_statement = 0x19,
  proposal = 0x1a,
  name = 0x20,  // directory entry and xattr names under a salt
  salt = 0x21,
  genesis = 0x30,
  config = 0x31,
  key_fingerprint = 0x32,
  log_group = 0x38,
  block = 0x40,  // reserved: blocks are named by plain SHA-256 of their content
};

inline constexpr std::array kAllDomains = {
    Domain::trie_leaf,     Domain::trie_node,    Domain::trie_empty,
    Domain::state_root,    Domain::trie_value,   Domain::trie_record,
    Domain::proof_file,    Domain::reply_leaf,   Domain::reply_node,
    Domain::reply_results, Domain::history_leaf, Domain::history_node,
    Domain::history_chain, Domain::batch,        Domain::batch_items,
    Domain::request,       Domain::session_open, Domain::session_id,
    Domain::cert_body,     Domain::view_change,  Domain::request_body,
    Domain::new_view,      Domain::name,         Domain::salt,
    Domain::genesis,       Domain::config,       Domain::key_fingerprint,
    Domain::log_group,     Domain::block,        Domain::admin_statement,
    Domain::proposal};

}  // namespace bftmeta::tags
