// Where in the certified order a client's operation took effect, which the client library does not
// tell its callers: read off the client's own messages, verified anew. For histories
// (linearizability.hpp). Thread-safety: all functions from any thread; the recorder must outlive
// the client.
#pragma once

#include <mutex>

#include "client/transport.hpp"
#include "crypto/signer.hpp"
#include "verify/reply.hpp"

namespace bftmeta::test {

struct Place {
  messages::Seq seq = 0;
  std::uint32_t position = 0;  // of the bundle in its batch

  friend bool operator==(const Place&, const Place&) = default;
};

class PlaceRecorder {
 public:
  explicit PlaceRecorder(const config::Genesis& genesis);

  // The next new bundle that holds this operation and nothing else is the one asked for. So a
  // client has one operation outstanding at a time.
  void expect(const schema::Operation& operation);
  // Of the bundle asked for. nullopt: no verified reply said it, so the client learned the outcome
  // from the record of its session; `question` asks that for the sequence number.
  std::optional<Place> place() const;
  schema::GetSession question() const;
  // Replies that verify and put one bundle at two places: no correct cluster makes them.
  std::vector<std::string> problems() const;

  // What the client sends and gets.
  void sent(ByteView frame);
  void received(ByteView frame);

 private:
  const crypto::Ed25519Verifier verifier_;
  const crypto::Context context_;
  mutable std::mutex mutex_;
  verify::Certificates certificates_;
  schema::Operation operation_;
  std::optional<verify::Expected> expected_;
  std::optional<Place> place_;
  std::vector<std::string> problems_;
};

// Client::connect, with every message shown to the recorder.
Result<std::unique_ptr<client::Client>> connect_recorded(client::Options options,
                                                         PlaceRecorder& recorder);

}  // namespace bftmeta::test
