#include "net/link_set.hpp"

#include <algorithm>

namespace bftmeta::net {

LinkSet::LinkSet(const Context& context, crypto::LinkKey key, LinkOptions pattern)
    : context_(context), key_(std::move(key)), pattern_(std::move(pattern)) {}

LinkSet::Led LinkSet::lead_to(const std::vector<std::optional<Destination>>& destinations) {
  Led led;
  std::vector<End> before = std::exchange(ends_, {});
  for (const std::optional<Destination>& destination : destinations) {
    End& end = ends_.emplace_back(End{destination, nullptr});
    std::optional<std::size_t>& old = led.kept.emplace_back();
    if (!destination) continue;
    const auto kept = std::ranges::find_if(
        before, [&](const End& e) { return e.link && e.destination == destination; });
    if (kept != before.end()) {
      end.link = std::move(kept->link);
      old = static_cast<std::size_t>(kept - before.begin());
      continue;
    }
    auto opened = open(*destination);
    if (opened)
      end.link = std::move(*opened);
    else if (led.status)
      led.status = tl::make_unexpected(opened.error());
  }
  for (const End& end : before)
    if (end.link) poller_.remove(*end.link);
  return led;
}

Result<std::unique_ptr<ClientLink>> LinkSet::open(const Destination& destination) {
  LinkOptions options = pattern_;
  options.host = destination.host;
  options.port = destination.port;
  options.server_key = destination.server_key;
  BFTMETA_ASSIGN(auto link, ClientLink::open(context_, key_, std::move(options), poller_.waker()));
  poller_.add(*link);
  return link;
}

LinkState LinkSet::state(std::size_t position) const {
  const auto& link = ends_[position].link;
  return link ? link->state() : LinkState::connecting;
}

bool LinkSet::send(std::size_t position, ByteView message) {
  const auto& link = ends_[position].link;
  return link && link->send(message);
}

void LinkSet::receive(const Sink& sink) {
  for (std::size_t i = 0; i < ends_.size(); ++i)
    if (ends_[i].link) ends_[i].link->receive([&](ByteView message) { sink(i, message); });
}

void LinkSet::flush() {
  for (const End& end : ends_)
    if (end.link) end.link->flush();
}

}  // namespace bftmeta::net
