#include "sim/trace.hpp"

#include <algorithm>
#include <set>

namespace bftmeta::sim {

namespace {

std::string name_of(Endpoint who) {
  return who < kFirstClient ? "R" + std::to_string(who) : "C" + std::to_string(who - kFirstClient);
}

std::uint32_t first_bytes(const Hash& h) {
  return static_cast<std::uint32_t>(h[0]) << 24 | static_cast<std::uint32_t>(h[1]) << 16 |
         static_cast<std::uint32_t>(h[2]) << 8 | h[3];
}

MessageSummary proposal(const messages::Proposal& p) {
  return {"", p.view, p.seq, first_bytes(p.digest)};
}

// The fields worth seeing; most messages have none.
struct Summary {
  MessageSummary operator()(const messages::PrePrepare& m) const { return proposal(m.proposal); }
  MessageSummary operator()(const messages::Prepare& m) const { return proposal(m.proposal); }
  MessageSummary operator()(const messages::Commit& m) const { return proposal(m.proposal); }
  MessageSummary operator()(const messages::RootShare& m) const { return body(m.body); }
  MessageSummary operator()(const messages::RootCert& m) const { return body(m.body); }
  MessageSummary operator()(const messages::ViewChange& m) const {
    return {"", m.new_view, m.base_seq(), {}};
  }
  MessageSummary operator()(const messages::NewView& m) const {
    return {"", m.view, m.base_seq, {}};
  }
  MessageSummary operator()(const messages::PeerStatus& m) const {
    return {"", m.view, m.executed, {}};
  }
  MessageSummary operator()(const messages::FetchBatch& m) const {
    return {"", {}, m.seq, first_bytes(m.digest)};
  }
  MessageSummary operator()(const messages::BatchData& m) const {
    return {"", {}, m.batch.seq, {}};
  }
  MessageSummary operator()(const messages::FetchHistory& m) const {
    return {"", {}, m.executed, {}};
  }
  MessageSummary operator()(const messages::HistoryData& m) const { return {"", {}, m.first, {}}; }
  MessageSummary operator()(const messages::FetchPrepared& m) const {
    return {"", {}, m.first, {}};
  }
  MessageSummary operator()(const messages::PreparedData& m) const { return {"", {}, m.first, {}}; }
  MessageSummary operator()(const messages::Reply& m) const {
    return {"", {}, m.cert.body.seq, first_bytes(m.request_digest)};
  }
  MessageSummary operator()(const messages::Read& m) const { return {"", {}, m.min_seq, {}}; }
  MessageSummary operator()(const messages::ReadReply& m) const { return {"", {}, m.seq, {}}; }
  template <class Other>
  MessageSummary operator()(const Other&) const {
    return {};
  }

  static MessageSummary body(const messages::CertBody& b) {
    return {"", {}, b.seq, first_bytes(b.state_root)};
  }
};

template <class Message>
MessageSummary named(const Message& message) {
  MessageSummary s = std::visit(Summary{}, message);
  s.type = messages::message_name(message);
  return s;
}

}  // namespace

MessageSummary summarize(const messages::PeerMessage& m) { return named(m); }
MessageSummary summarize(const messages::ClientMessage& m) { return named(m); }
MessageSummary summarize(const messages::ReplicaMessage& m) { return named(m); }

void Trace::add(Event event) {
  events_.push_back(std::move(event));
  if (events_.size() > kCapacity) events_.pop_front();
}

void Trace::message(std::uint64_t at_us, Endpoint from, Endpoint to, const MessageSummary& what,
                    bool arrived) {
  add({at_us, from, to, what, arrived, {}});
}

void Trace::note(std::uint64_t at_us, Endpoint where, std::string what) {
  add({at_us, where, where, {}, true, std::move(what)});
}

std::string Trace::label(const MessageSummary& what) {
  std::string out = what.type;
  if (what.view) out += " v" + std::to_string(*what.view);
  if (what.seq) out += " s" + std::to_string(*what.seq);
  if (what.digest) {
    char hex[16];
    std::snprintf(hex, sizeof hex, " %08x", *what.digest);
    out += hex;
  }
  return out;
}

std::string Trace::text(std::size_t last) const {
  std::string out;
  for (std::size_t i = events_.size() - std::min(last, events_.size()); i < events_.size(); ++i) {
    const Event& e = events_[i];
    out += std::to_string(e.at_us) + " us  " + name_of(e.from);
    if (e.note.empty())
      out += (e.arrived ? " -> " : " -x ") + name_of(e.to) + "  " + label(e.what);
    else
      out += "  " + e.note;
    out += "\n";
  }
  return out;
}

// STATUS would fill the picture and says what other messages show; it is left out.
std::string Trace::mermaid(std::size_t last) const {
  std::deque<const Event*> shown;
  for (auto it = events_.rbegin(); it != events_.rend() && shown.size() < last; ++it)
    if (std::string_view(it->what.type) != "STATUS") shown.push_front(&*it);
  std::set<Endpoint> who;
  for (const Event* e : shown) who.insert({e->from, e->to});
  std::string out = "sequenceDiagram\n";
  for (const Endpoint w : who) out += "  participant " + name_of(w) + "\n";
  for (const Event* e : shown) {
    if (!e->note.empty()) {
      std::string line = e->note;
      std::ranges::replace(line, ';', ',');  // Mermaid ends a statement there
      out += "  Note over " + name_of(e->from) + ": " + line + "\n";
      continue;
    }
    out += "  " + name_of(e->from) + (e->arrived ? "->>" : "-x") + name_of(e->to) + ": " +
           label(e->what) + "\n";
  }
  return out;
}

}  // namespace bftmeta::sim
