// VIEW-CHANGEs and NEW-VIEWs that differ from those of the own core, by receiver if wanted. What
// was told is kept to: it is repeated, served to who asks for it by digest, and named in the own
// NEW-VIEWs. Thread-safety: as Strategy.
#pragma once

#include "adversary/forge.hpp"
#include "adversary/strategies.hpp"

namespace bftmeta::adversary {

class BentViews : public Strategy {
 public:
  using Strategy::Strategy;

 protected:
  // What `to` gets instead of the own core's message; signed again afterwards. nullopt: nothing.
  virtual std::optional<messages::ViewChange> bend(ReplicaId, const messages::ViewChange& honest) {
    return honest;
  }
  virtual std::optional<messages::NewView> bend(ReplicaId, const messages::NewView& honest) {
    return honest;
  }
  // Hands this VIEW-CHANGE to whoever asks for it.
  void serve(const messages::ViewChange& vc);

  void send(ReplicaId to, Messages& messages) override;
  bool receive(ReplicaId from, const PeerMessage& message) override;

 private:
  template <class M>
  bool replace(ReplicaId to, M& message,
               std::map<std::pair<View, ReplicaId>, std::optional<M>>& told);
  void name_own(ReplicaId to, messages::NewView& nv) const;

  std::map<std::pair<View, ReplicaId>, std::optional<messages::ViewChange>> told_view_changes_;
  std::map<std::pair<View, ReplicaId>, std::optional<messages::NewView>> told_new_views_;
  std::map<Hash, messages::ViewChange> served_;
};

// Sees to it that there are views to bend, and in the worst moment: when something is prepared and
// not certified.
class Unsettling : public BentViews {
 public:
  using BentViews::BentViews;

 protected:
  void send(ReplicaId to, Messages& messages) override;

 private:
  void leave(View view) override;
};

}  // namespace bftmeta::adversary
