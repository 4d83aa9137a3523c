#include "verify/trust.hpp"

#include "base/assert.hpp"
#include "base/mutant.hpp"

namespace bftmeta::verify {

namespace {

// State file of a client: which epoch and which certificate it has seen last.
struct SavedState {
  std::uint8_t format = 2;
  Hash cluster_id{};
  std::vector<messages::EpochStep> steps;  // from the genesis to the newest epoch that was seen
  messages::RootCert cert;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("cluster_id", s.cluster_id);
    v.field("steps", s.steps, Cap{limits::kMaxEpochs});
    v.field("cert", s.cert);
  }
};

}  // namespace

TrustAnchor TrustAnchor::of(const config::Genesis& genesis) {
  return {genesis.cluster_id(), genesis.config};
}

Result<TrustAnchor> TrustAnchor::from_genesis(ByteView canonical) {
  BFTMETA_ASSIGN(const config::Genesis genesis, config::decode_genesis(canonical));
  return of(genesis);
}

Status TrustAnchor::follow(const crypto::Verifier& verifier, const messages::EpochStep& step) {
  if (!mutant(Mutant::epoch_step_unverified))
    BFTMETA_TRY(messages::verify_joint_cert(verifier, cluster_id, config, step.next, step.cert));
  if (auto possible = config::check_step(config, step.next); !possible)
    return fail(Errc::unverified, "chain of epochs: " + possible.error().message);
  config = step.next;
  return {};
}

Certificates::Certificates(const crypto::Verifier& verifier, TrustAnchor anchor,
                           std::size_t capacity)
    : verifier_(&verifier), anchor_(std::move(anchor)), capacity_(capacity) {
  BFTMETA_ASSERT(capacity_ > 0);
}

Status Certificates::check(const messages::RootCert& cert) {
  const messages::RootCert* known = find(cert.body.seq);
  if (known != nullptr && known->body == cert.body) return {};
  BFTMETA_TRY(messages::verify_cert(*verifier_, anchor_.cluster_id, anchor_.config, cert));
  if (known != nullptr) return two_roots(cert.body.seq);
  remember(cert);
  return {};
}

Status Certificates::follow(std::span<const messages::EpochStep> steps) {
  if (steps_.size() + steps.size() > limits::kMaxEpochs)
    return fail(Errc::limit, "chain of epochs: longer than " + std::to_string(limits::kMaxEpochs));
  TrustAnchor anchor = anchor_;
  for (const messages::EpochStep& step : steps) {
    BFTMETA_TRY(anchor.follow(*verifier_, step));
    if (const auto* known = find(step.cert.body.seq);
        known != nullptr && known->body != step.cert.body)
      return two_roots(step.cert.body.seq);
  }
  anchor_ = std::move(anchor);
  steps_.insert(steps_.end(), steps.begin(), steps.end());
  for (const messages::EpochStep& step : steps) remember(messages::plain(step.cert));
  return {};
}

void Certificates::remember(const messages::RootCert& cert) {
  checked_.emplace(cert.body.seq, cert);
  if (checked_.size() > capacity_) checked_.erase(checked_.begin());
}

tl::unexpected<Error> Certificates::two_roots(messages::Seq seq) const {
  return fail(Errc::unverified,
              "certificate of sequence number " + std::to_string(seq) +
                  ": another root of this number is certified too, which proves more than " +
                  std::to_string(anchor_.config.f()) +
                  " faulty replicas; stop writing and compare the replicas' states");
}

const messages::RootCert* Certificates::find(messages::Seq seq) const {
  const auto at = checked_.find(seq);
  return at == checked_.end() ? nullptr : &at->second;
}

const messages::RootCert* Certificates::newest() const {
  return checked_.empty() ? nullptr : &checked_.rbegin()->second;
}

Bytes Certificates::save() const {
  if (newest() == nullptr) return {};
  return encode(SavedState{SavedState{}.format, anchor_.cluster_id, steps_, *newest()});
}

bool Certificates::newer(ByteView saved, ByteView than) {
  const auto place = [](ByteView bytes) {
    const auto state = decode<SavedState>(bytes, "state file");
    return state ? std::pair(state->cert.body.seq, state->steps.size())
                 : std::pair<messages::Seq, std::size_t>(0, 0);
  };
  return place(saved) > place(than);
}

Status Certificates::restore(ByteView saved) {
  if (saved.empty()) return {};
  BFTMETA_ASSIGN(const SavedState state, decode<SavedState>(saved, "state file"));
  if (state.format != SavedState{}.format)
    return fail(Errc::malformed, "state file: unknown format " + std::to_string(state.format));
  if (state.cluster_id != anchor_.cluster_id)
    return fail(Errc::unverified, "state file: it is of cluster " + short_hex(state.cluster_id) +
                                      ", the genesis says " + short_hex(anchor_.cluster_id));
  BFTMETA_TRY(follow(state.steps));
  return check(state.cert);
}

}  // namespace bftmeta::verify
