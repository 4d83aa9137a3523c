#include "verify/epoch_chain.hpp"

namespace bftmeta::verify {

namespace {

struct ChainFile {
  std::array<std::uint8_t, 8> magic = {'B', 'F', 'T', 'E', 'P', 'O', 'C', 'H'};
  std::uint8_t version = 1;
  Hash cluster_id{};
  std::vector<messages::EpochStep> steps;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("magic", s.magic);
    v.field("version", s.version);
    v.field("cluster_id", s.cluster_id);
    v.field("steps", s.steps, Cap{limits::kMaxEpochs});
  }
};

}  // namespace

Bytes encode_chain_file(const Hash& cluster_id, std::span<const messages::EpochStep> steps) {
  ChainFile file;
  file.cluster_id = cluster_id;
  file.steps.assign(steps.begin(), steps.end());
  return encode(file);
}

bool is_chain_file(ByteView bytes) {
  constexpr ChainFile none;
  return bytes.size() >= none.magic.size() && equal(bytes.first(none.magic.size()), none.magic);
}

Result<std::vector<messages::EpochStep>> decode_chain_file(const Hash& cluster_id, ByteView bytes) {
  BFTMETA_ASSIGN(ChainFile file, decode<ChainFile>(bytes, "chain of epochs"));
  if (file.magic != ChainFile{}.magic) return fail(Errc::malformed, "chain of epochs: it is none");
  if (file.version != ChainFile{}.version)
    return fail(Errc::malformed,
                "chain of epochs: unknown version " + std::to_string(file.version));
  if (file.cluster_id != cluster_id)
    return fail(Errc::identity, "chain of epochs: it is of cluster " + short_hex(file.cluster_id) +
                                    ", not " + short_hex(cluster_id));
  return std::move(file.steps);
}

Result<TrustAnchor> follow_chain(const crypto::Verifier& verifier, TrustAnchor anchor,
                                 std::span<const messages::EpochStep> steps) {
  for (const messages::EpochStep& step : steps) BFTMETA_TRY(anchor.follow(verifier, step));
  return anchor;
}

messages::Seq start_of_epoch(std::span<const messages::EpochStep> steps) {
  return steps.empty() ? 0 : steps.back().cert.body.seq;
}

std::optional<Epoch> epoch_at(const TrustAnchor& genesis,
                              std::span<const messages::EpochStep> steps, std::uint64_t epoch) {
  if (epoch > steps.size()) return std::nullopt;
  const config::Config& config = epoch == 0 ? genesis.config : steps[epoch - 1].next;
  return Epoch{{{genesis.cluster_id, epoch}, start_of_epoch(steps.first(epoch))}, config};
}

}  // namespace bftmeta::verify
