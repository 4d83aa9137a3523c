// Questions to one named replica, not to the cluster: what comes back is that replica's word, and
// whoever asks judges it. Asked once; a silent replica costs the time-out. Thread-safety: one
// thread.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "client/core.hpp"

namespace bftmeta::client {

// Reply has a request_id; `what` names the question in errors.
template <class Reply>
class Questions {
 public:
  using Done = std::function<void(Result<Reply>)>;
  Questions(Core& core, const char* what)
      : core_(core), what_(what), next_id_(core.first_request) {}

  template <class Query>
  void ask(ReplicaId replica, Query query, Micros deadline, Done done) {
    if (replica >= core_.replicas.n()) return answer(std::move(done), nobody(replica));
    query.request_id = next_id_++;
    core_.send(replica, query);
    asked_.emplace(query.request_id, Asked{replica, query, deadline, std::move(done)});
  }

  // Asks again whoever stands there now.
  void follow() {
    for (auto it = asked_.begin(); it != asked_.end();) {
      const auto at = it++;
      if (at->second.replica < core_.replicas.n()) {
        core_.send(at->second.replica, at->second.query);
        continue;
      }
      answer(std::move(at->second.done), nobody(at->second.replica));
      asked_.erase(at);
    }
  }

  void on_reply(ReplicaId from, const Reply& reply) {
    const auto at = asked_.find(reply.request_id);
    if (at == asked_.end() || at->second.replica != from) return;
    answer(std::move(at->second.done), reply);
    asked_.erase(at);
  }

  void poll(const Now& now) {
    for (auto it = asked_.begin(); it != asked_.end();) {
      const auto at = it++;
      if (now.mono < at->second.deadline) continue;
      answer(std::move(at->second.done),
             fail(Errc::unreachable, std::string(what_) + ": " + name(at->second.replica) +
                                         " did not answer in time"));
      asked_.erase(at);
    }
  }

  Micros next_wake() const {
    Micros wake = kNever;
    for (const auto& [id, a] : asked_) wake = std::min(wake, a.deadline);
    return wake;
  }

  void fail_all(const Error& error) {
    for (auto& [id, a] : std::exchange(asked_, {}))
      answer(std::move(a.done), tl::make_unexpected(error));
  }

 private:
  struct Asked {
    ReplicaId replica = 0;
    messages::ClientMessage query;
    Micros deadline = 0;
    Done done;
  };

  static std::string name(ReplicaId replica) { return "replica " + std::to_string(replica); }
  tl::unexpected<Error> nobody(ReplicaId replica) const {
    return fail(Errc::invalid_argument, std::string(what_) + ": there is no " + name(replica));
  }
  void answer(Done done, Result<Reply> result) {
    core_.ready.emplace_back(
        [done = std::move(done), result = std::move(result)] { done(result); });
  }

  Core& core_;
  const char* what_;
  std::map<std::uint64_t, Asked> asked_;
  std::uint64_t next_id_;
};

}  // namespace bftmeta::client
