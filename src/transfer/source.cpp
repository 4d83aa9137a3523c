#include "transfer/source.hpp"

#include "tree/fragment.hpp"

namespace bftmeta::transfer {

using messages::FetchNodes;
using messages::NodesData;
using messages::SubtreeName;

void Source::expire(std::uint64_t now_us) {
  if (named_ && now_us - named_us_ >= limits::kServedStateUs) named_.reset();
}

std::optional<NodesData> Source::answer(ReplicaId from, const FetchNodes& question,
                                        const Served* newest, std::uint64_t now_us) {
  constexpr std::uint64_t kBurst = 4 * limits::kNodesBytes;
  Pace& pace = paces_.try_emplace(from, limits::kNodesBytesPerSecond, kBurst).first->second;
  if (!pace.open(now_us)) return std::nullopt;
  expire(now_us);
  NodesData data;
  data.id = question.id;
  if (question.subtrees.empty() && newest != nullptr && !named_) {
    named_ = *newest;
    named_us_ = now_us;
  }
  if (question.subtrees.empty() && named_) data.state = named_->state;
  // Less room than this is not worth a fragment.
  constexpr std::size_t kLeastRoom = 512;
  std::size_t used = 0;
  for (const SubtreeName& name : question.subtrees) {
    if (used + kLeastRoom > limits::kNodesBytes) break;
    Bytes bytes = fragment(name, question.levels, newest, limits::kNodesBytes - used);
    used += bytes.size();
    data.fragments.push_back({std::move(bytes)});
  }
  pace.spend(cost_of(encoded_size(data), question.subtrees.size()), now_us);
  return data;
}

Bytes Source::fragment(const SubtreeName& name, std::uint8_t levels, const Served* newest,
                       std::size_t room) {
  if (!name.canonical()) return {};
  const Served* const named = named_ ? &*named_ : nullptr;
  for (const Served* served : {named, newest})
    if (served != nullptr)
      if (auto bytes = fragment_of(*served, name, levels, room)) return std::move(*bytes);
  return {};
}

std::optional<Bytes> Source::fragment_of(const Served& served, const SubtreeName& name,
                                         std::uint8_t levels, std::size_t room) {
  Hash hash = name.hash;
  if (name.bits == 0) {
    if (hash != served.state.cert.body.state_root) return std::nullopt;
    hash = served.version.root_hash();
  }
  tree::NodeCache cache;
  const std::size_t depth = levels == kAllLevels ? tree::kMaxBits : levels;
  auto bytes =
      tree::fragment(served.version, {{name.prefix, name.bits}, hash}, {depth, room}, cache);
  if (bytes) return std::move(*bytes);
  if (!fault_) fault_ = std::move(bytes.error());
  return std::nullopt;
}

}  // namespace bftmeta::transfer
