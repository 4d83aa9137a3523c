#include "adversary/strategies/bent_views.hpp"

namespace bftmeta::adversary {

using messages::NewView;
using messages::ViewChange;

namespace {

View view_of(const ViewChange& m) { return m.new_view; }
View view_of(const NewView& m) { return m.view; }

}  // namespace

void BentViews::serve(const ViewChange& vc) {
  served_.insert_or_assign(vc.digest(), vc);
  if (served_.size() > kMaxRemembered) served_.erase(served_.begin());
}

// False: nothing is sent.
template <class M>
bool BentViews::replace(ReplicaId to, M& message,
                        std::map<std::pair<View, ReplicaId>, std::optional<M>>& told) {
  const auto key = std::pair{view_of(message), to};
  auto it = told.find(key);
  if (it == told.end()) {
    std::optional<M> bent = bend(to, message);
    if (bent && *bent != message) {
      PeerMessage again = std::move(*bent);
      forge::sign_again(id_, again);
      bent = std::get<M>(std::move(again));
    }
    if (told.size() >= kMaxRemembered) told.erase(told.begin());
    it = told.emplace(key, std::move(bent)).first;
  }
  if (it->second && *it->second == message) return true;
  lie();
  if (!it->second) return false;
  message = *it->second;
  return true;
}

void BentViews::send(ReplicaId to, Messages& messages) {
  std::erase_if(messages, [&](PeerMessage& m) {
    if (auto* vc = std::get_if<ViewChange>(&m); vc && vc->replica == self()) {
      if (!replace(to, *vc, told_view_changes_)) return true;
      serve(*vc);
    } else if (auto* nv = std::get_if<NewView>(&m); nv && id_.is_primary(nv->view)) {
      name_own(to, *nv);
      return !replace(to, *nv, told_new_views_);
    }
    return false;
  });
}

bool BentViews::receive(ReplicaId from, const PeerMessage& message) {
  const auto* fetch = std::get_if<messages::FetchViewChange>(&message);
  if (fetch == nullptr) return true;
  const auto it = served_.find(fetch->digest);
  if (it == served_.end()) return true;
  say(from, it->second);
  return false;
}

void Unsettling::send(ReplicaId to, Messages& messages) {
  BentViews::send(to, messages);
  for (const PeerMessage& m : messages)
    if (const auto* commit = std::get_if<messages::Commit>(&m);
        commit != nullptr && commit->proposal.seq > witness().certified())
      return unsettle();
}

void Unsettling::leave(View view) {
  for (const ReplicaId to : victims()) {
    Messages one{forge::view_change(id_, view + 1)};
    BentViews::send(to, one);
    for (PeerMessage& m : one) say(to, std::move(m));
  }
}

// The own core's NEW-VIEW names the own VIEW-CHANGE as it was before it was bent.
void BentViews::name_own(ReplicaId to, NewView& nv) const {
  const auto told = told_view_changes_.find({nv.view, to});
  if (told == told_view_changes_.end() || !told->second) return;
  std::vector<ViewChange> votes;
  for (const messages::NewViewVote& vote : nv.votes) {
    if (vote.replica == self()) {
      if (vote.digest == told->second->digest()) return;
      votes.push_back(*told->second);
    } else if (const ViewChange* vc = id_.conspiracy->witness.view_change(vote.digest)) {
      votes.push_back(*vc);
    } else {
      return;
    }
  }
  if (auto other = forge::new_view(id_, nv.view, std::move(votes))) nv = std::move(*other);
}

}  // namespace bftmeta::adversary
