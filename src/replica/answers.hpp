// Who waits for which answer, and the answers themselves: REPLY messages that prove themselves with
// a certificate at or behind their batch (protocol §4.2). A session's bundles are answered on the
// links that subscribed to it, a SESSION-OPEN on the links that brought it. Bounded: the oldest
// registration gives way, among sessions as among the links of one. Thread-safety: one thread.
#pragma once

#include <deque>

#include "messages/client.hpp"
#include "net/auth.hpp"
#include "replica/machine.hpp"

namespace bftmeta::replica {

class Answers {
 public:
  static constexpr std::size_t kMaxLinksPerSession = 8;
  static constexpr std::size_t kMaxOpens = 4096;

  using Sink = std::function<void(const net::Route& to, messages::Reply reply)>;

  explicit Answers(const Machine& machine) : machine_(machine) {}

  void subscribe(const Id16& session, const net::Route& route);
  void expect_open(const Hash& request, const net::Route& route);
  // Whether one of these results will be answered from here.
  bool awaited(const std::vector<execution::ItemResult>& results) const;

  // Answers of all batches in (answered, cert seq] that were executed. Called for each certificate.
  void certified(const messages::RootCert& cert, const Sink& sink);
  // Of an executed bundle whose batch is still known.
  struct Place {
    Seq seq = 0;
    std::size_t index = 0;
  };
  std::optional<Place> find(const Id16& session, std::uint64_t bundle_no) const;
  // Its certificate has not come: certified() will answer it.
  bool to_come(const Place& place) const { return !cert_ || place.seq > cert_->body.seq; }
  // nullopt: the certificate is too far ahead, or to come.
  std::optional<messages::Reply> build(const Place& place) const;
  // After a restart: nobody waits for what is below.
  void skip_to(Seq seq) { answered_ = seq; }

 private:
  using Routes = std::vector<net::Route>;  // the newest last, at most kMaxLinksPerSession
  static void add(Routes& routes, const net::Route& route);
  const Routes* routes_of(const execution::ItemResult& result) const;

  const Machine& machine_;
  std::optional<messages::RootCert> cert_;
  Seq answered_ = 0;
  std::map<Id16, Routes> subscribers_;
  std::deque<Id16> subscribed_;  // oldest first
  std::map<Hash, Routes> opens_;
  std::deque<Hash> open_order_;
};

}  // namespace bftmeta::replica
