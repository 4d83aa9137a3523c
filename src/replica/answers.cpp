#include "replica/answers.hpp"

namespace bftmeta::replica {

using messages::Reply;
using messages::RootCert;

// A client that connects anew comes by another route each time; its old ones lead nowhere.
void Answers::add(Routes& routes, const net::Route& route) {
  std::erase(routes, route);
  if (routes.size() == kMaxLinksPerSession) routes.erase(routes.begin());
  routes.push_back(route);
}

void Answers::subscribe(const Id16& session, const net::Route& route) {
  const auto [it, fresh] = subscribers_.try_emplace(session);
  add(it->second, route);
  if (!fresh) return;
  subscribed_.push_back(session);
  if (subscribed_.size() <= limits::kMaxSessions) return;
  subscribers_.erase(subscribed_.front());
  subscribed_.pop_front();
}

void Answers::expect_open(const Hash& request, const net::Route& route) {
  const auto [it, fresh] = opens_.try_emplace(request);
  add(it->second, route);
  if (!fresh) return;
  open_order_.push_back(request);
  if (open_order_.size() <= kMaxOpens) return;
  opens_.erase(open_order_.front());
  open_order_.pop_front();
}

const Answers::Routes* Answers::routes_of(const execution::ItemResult& result) const {
  if (result.bundle_no == 0) {
    const auto it = opens_.find(result.request_digest);
    return it == opens_.end() ? nullptr : &it->second;
  }
  const auto it = subscribers_.find(result.session_id);
  return it == subscribers_.end() ? nullptr : &it->second;
}

bool Answers::awaited(const std::vector<execution::ItemResult>& results) const {
  return std::ranges::any_of(results, [this](const auto& r) { return routes_of(r) != nullptr; });
}

void Answers::certified(const RootCert& cert, const Sink& sink) {
  if (cert_ && cert.body.seq < cert_->body.seq) return;
  cert_ = cert;
  const Seq last = std::min(cert.body.seq, machine_.executed_seq());
  for (; answered_ < last; ++answered_) {
    const Machine::Entry* entry = machine_.entry(answered_ + 1);
    if (entry == nullptr) continue;
    const auto& results = entry->executed.results;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Routes* routes = routes_of(results[i]);
      if (routes == nullptr) continue;
      const auto reply = build({answered_ + 1, i});
      if (!reply) continue;
      for (const net::Route& route : *routes) sink(route, *reply);
    }
  }
}

std::optional<Reply> Answers::build(const Place& place) const {
  const auto& [seq, index] = place;
  const Machine::Entry* entry = machine_.entry(seq);
  if (entry == nullptr || !cert_ || cert_->body.seq < seq ||
      cert_->body.seq - seq >= limits::kMaxHeaderChain)
    return std::nullopt;
  const execution::ItemResult& item = entry->executed.results[index];
  Reply reply;
  reply.request_digest = item.request_digest;
  reply.session_id = item.session_id;
  reply.bundle_no = item.bundle_no;
  reply.results = item.result;
  reply.leaf_index = static_cast<std::uint32_t>(index);
  reply.path = execution::reply_path(entry->executed, index);
  reply.history_before = entry->executed.history_before;
  for (Seq s = seq; s <= cert_->body.seq; ++s) {
    const Machine::Entry* link = machine_.entry(s);
    if (link == nullptr) return std::nullopt;
    reply.headers.push_back(link->executed.header);
  }
  reply.cert = *cert_;
  return reply;
}

std::optional<Answers::Place> Answers::find(const Id16& session, std::uint64_t bundle_no) const {
  for (Seq seq = machine_.executed_seq(); machine_.entry(seq) != nullptr; --seq) {
    const auto& results = machine_.entry(seq)->executed.results;
    for (std::size_t i = 0; i < results.size(); ++i)
      if (results[i].first_time && results[i].session_id == session &&
          results[i].bundle_no == bundle_no)
        return Place{seq, i};
  }
  return std::nullopt;
}

}  // namespace bftmeta::replica
