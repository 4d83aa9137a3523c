// The network between replicas and clients: frames are delayed, reordered, lost, doubled, held back
// and let go at once, throttled, and, of senders without link authentication, bent. Endpoints are
// replica ids, and kFirstClient + c for client c. Everything follows from the Random that it gets.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "sim/faults.hpp"
#include "sim/scheduler.hpp"
#include "sim/trace.hpp"

namespace bftmeta::sim {

using Frame = std::shared_ptr<const Bytes>;

// A rule for messages of one type (empty: of all) on some links, for tests that need a certain
// schedule. The first rule that matches decides.
struct LinkRule {
  std::set<Endpoint> from;
  std::set<Endpoint> to;
  std::string type;                        // as message_name() has it
  std::optional<std::uint64_t> delay_us;   // nullopt: the message is lost
  std::optional<std::uint64_t> remaining;  // so many messages, then the rule is void
};

class Network {
 public:
  using Deliver = std::function<void(Endpoint from, Endpoint to, const Bytes& frame)>;

  Network(Scheduler& scheduler, Random random, NetworkFaults faults, Trace& trace, Deliver deliver);

  void send(Endpoint from, Endpoint to, const Frame& frame, const MessageSummary& what);

  // Rates apply only while faults are on; cuts, stalls and rules always.
  void set_faults(bool on) { faults_on_ = on; }
  NetworkFaults& faults() { return faults_; }
  // Frames of this sender are bent after authentication, at the rate of NetworkFaults::corrupt.
  void corrupt_sender(Endpoint sender) { corrupt_.insert(sender); }

  void cut(Endpoint from, Endpoint to) { ++cut_[{from, to}]; }
  void mend(Endpoint from, Endpoint to);
  void stall(Endpoint from, Endpoint to) { ++stalled_[{from, to}]; }
  void flow(Endpoint from, Endpoint to);
  void add_rule(LinkRule rule) { rules_.push_back(std::move(rule)); }
  void clear_rules() { rules_.clear(); }
  // Ends every cut and stall.
  void heal();

  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t corrupted() const { return corrupted_; }
  // Messages of a type that were sent on a link, whatever became of them.
  std::uint64_t sent(Endpoint from, Endpoint to, std::string_view type) const;

 private:
  using Link = std::pair<Endpoint, Endpoint>;
  // What waits on a stalled link; more is lost, as at a socket's high-water mark.
  static constexpr std::size_t kMaxStalled = 20'000;
  // A throttled link drops what would wait longer: the sender's queue is bounded.
  static constexpr std::uint64_t kMaxQueueUs = 2'000'000;

  LinkRule* matching(const Link& link, const char* type);
  void transmit(const Link& link, const Frame& frame, const MessageSummary& what);
  void arrive(const Link& link, const Frame& frame, const MessageSummary& what);
  void drop(const Link& link, const MessageSummary& what);
  std::optional<std::uint64_t> queueing_us(const Link& link, std::size_t bytes);
  Frame bent(const Frame& frame);

  Scheduler& scheduler_;
  Random random_;
  NetworkFaults faults_;
  Trace& trace_;
  Deliver deliver_;
  bool faults_on_ = false;
  std::set<Endpoint> corrupt_;
  std::map<Link, std::uint32_t> cut_;
  std::map<Link, std::uint32_t> stalled_;
  std::map<Link, std::vector<std::pair<Frame, MessageSummary>>> waiting_;
  std::map<Link, std::uint64_t> free_at_us_;  // of throttled links
  std::vector<LinkRule> rules_;
  std::map<std::pair<Link, std::string_view>, std::uint64_t> sent_;  // names are static
  std::uint64_t delivered_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t corrupted_ = 0;
};

}  // namespace bftmeta::sim
