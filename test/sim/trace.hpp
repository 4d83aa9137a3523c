// The last events of a run, and pictures of them: a text, and a Mermaid sequence diagram
// (https://mermaid.js.org/syntax/sequenceDiagram.html). Bounded; recording an event costs no
// formatting. Thread-safety: one thread.
#pragma once

#include <deque>

#include "messages/frame.hpp"

namespace bftmeta::sim {

using Endpoint = std::uint32_t;
// Replica ids are below it.
constexpr Endpoint kFirstClient = 100;

// What a picture shows of a message.
struct MessageSummary {
  const char* type = "";
  std::optional<messages::View> view;
  std::optional<messages::Seq> seq;
  std::optional<std::uint32_t> digest;  // its first bytes
};
MessageSummary summarize(const messages::PeerMessage& message);
MessageSummary summarize(const messages::ClientMessage& message);
MessageSummary summarize(const messages::ReplicaMessage& message);

class Trace {
 public:
  static constexpr std::size_t kCapacity = 20'000;  // events, about 2 MB

  void message(std::uint64_t at_us, Endpoint from, Endpoint to, const MessageSummary& what,
               bool arrived);
  // Something that happened at an endpoint: a crash, an execution, a violation.
  void note(std::uint64_t at_us, Endpoint where, std::string what);

  std::string text(std::size_t last) const;
  std::string mermaid(std::size_t last) const;

 private:
  struct Event {
    std::uint64_t at_us = 0;
    Endpoint from = 0;
    Endpoint to = 0;
    MessageSummary what;
    bool arrived = true;
    std::string note;  // not empty: no message
  };
  void add(Event event);
  static std::string label(const MessageSummary& what);

  std::deque<Event> events_;
};

}  // namespace bftmeta::sim
