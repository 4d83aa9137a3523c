#include "support/place_recorder.hpp"

namespace bftmeta::test {

namespace {

class RecordedTransport final : public client::Transport {
 public:
  RecordedTransport(std::unique_ptr<client::Transport> inner, PlaceRecorder& recorder)
      : inner_(std::move(inner)), recorder_(recorder) {}

  void send(client::ReplicaId to, ByteView message) override {
    recorder_.sent(message);
    inner_->send(to, message);
  }
  client::ReplicaSet connected() const override { return inner_->connected(); }
  client::ReplicaSet refused() const override { return inner_->refused(); }
  void follow(const config::Config& config) override { inner_->follow(config); }
  void wait(client::Micros timeout) override { inner_->wait(timeout); }
  // The recorder knows before the client does, hence before whoever waits for the outcome.
  void receive(const Sink& sink) override {
    inner_->receive([&](client::ReplicaId from, ByteView message) {
      recorder_.received(message);
      sink(from, message);
    });
  }
  void flush() override { inner_->flush(); }
  void wake() override { inner_->wake(); }

 private:
  std::unique_ptr<client::Transport> inner_;
  PlaceRecorder& recorder_;
};

std::string describe(const Place& place) {
  return "sequence number " + std::to_string(place.seq) + ", position " +
         std::to_string(place.position);
}

}  // namespace

PlaceRecorder::PlaceRecorder(const config::Genesis& genesis)
    : context_{genesis.cluster_id(), genesis.config.epoch},
      certificates_(verifier_, verify::TrustAnchor::of(genesis)) {}

void PlaceRecorder::expect(const schema::Operation& operation) {
  const std::lock_guard lock(mutex_);
  operation_ = operation;
  expected_.reset();
  place_.reset();
}

std::optional<Place> PlaceRecorder::place() const {
  const std::lock_guard lock(mutex_);
  return place_;
}

schema::GetSession PlaceRecorder::question() const {
  const std::lock_guard lock(mutex_);
  if (!expected_) return {};
  return {expected_->session_id, expected_->bundle_no};
}

std::vector<std::string> PlaceRecorder::problems() const {
  const std::lock_guard lock(mutex_);
  return problems_;
}

void PlaceRecorder::sent(ByteView frame) {
  const auto message = messages::decode_client_frame(context_, frame);
  const auto* submit = message ? std::get_if<messages::Submit>(&*message) : nullptr;
  if (submit == nullptr) return;
  const auto item = messages::parse_item(submit->item);
  const messages::Bundle* bundle = item ? item->bundle() : nullptr;
  const std::lock_guard lock(mutex_);
  if (bundle == nullptr || expected_ || bundle->operations.size() != 1 ||
      bundle->operations[0] != operation_)
    return;
  expected_ = {item->digest, bundle->session_id, bundle->bundle_no};
}

void PlaceRecorder::received(ByteView frame) {
  const auto message = messages::decode_replica_frame(context_, frame);
  const auto* reply = message ? std::get_if<messages::Reply>(&*message) : nullptr;
  if (reply == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (!expected_ || reply->request_digest != expected_->request_digest) return;
  const auto verified = verify::verify_reply(*reply, *expected_, certificates_);
  if (!verified || verified->result.outcome != schema::BundleOutcome::done) return;
  const Place place{verified->seq, reply->leaf_index};
  if (place_ && *place_ != place)
    problems_.push_back("bundle " + std::to_string(expected_->bundle_no) + " was done at " +
                        describe(*place_) + " and at " + describe(place));
  place_ = place;
}

Result<std::unique_ptr<client::Client>> connect_recorded(client::Options options,
                                                         PlaceRecorder& recorder) {
  BFTMETA_ASSIGN(auto transport, client::connect_transport(options));
  return client::connect_over(std::move(options),
                              std::make_unique<RecordedTransport>(std::move(transport), recorder));
}

}  // namespace bftmeta::test
