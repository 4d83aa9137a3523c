#include "admin/change_progress.hpp"

#include <doctest/doctest.h>

using namespace bftmeta;
using namespace bftmeta::admin;

namespace {

// Four, of which the last is replaced, or with three more.
struct Step {
  explicit Step(std::uint32_t n) {
    for (std::uint32_t id = 0; id < 4; ++id) now.replicas.push_back(member(id, id));
    next = now;
    next.epoch = 1;
    next.replicas.pop_back();
    for (std::uint32_t id = 3; id < n; ++id) next.replicas.push_back(member(id, n == 4 ? 9 : id));
    status.config = now;
    for (int i = 0; i < 4; ++i) {
      messages::StatusReply reply;
      reply.executed_seq = 1000;
      status.replicas.emplace_back(reply);
    }
    heard.emplace();
    heard->pending.emplace();
    heard->pending->next = next;
  }
  static config::Replica member(std::uint32_t id, std::uint32_t key) {
    config::Replica r;
    r.id = id;
    r.vote_key[0] = static_cast<std::uint8_t>(key + 1);
    return r;
  }
  bool says(const std::string& part) const {
    const std::string text = change_progress(now, next, heard, status);
    CAPTURE(text);
    CHECK(text.find("quorum 3 of 4 before, " + quorum_text(next) + " after") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
    const bool found = text.find(part) != std::string::npos;
    if (!found) MESSAGE(text);
    return found;
  }

  config::Config now;
  config::Config next;
  std::optional<ns::MembershipAnswer> heard;
  ClusterStatus status;
};

}  // namespace

TEST_CASE("a change that is not scheduled names who is not ready, and who does not answer") {
  Step seven(7);
  seven.heard->pending->ready = 0b0100111;
  seven.status.replicas[3].reset();
  CHECK(seven.says("joining replicas that are not ready: 4, 6; others that are not: 3"));
  CHECK(seven.says("needed are all that join, and 5 of 7"));
  CHECK(seven.says("members of now that do not answer: 3"));
  for (const int member : {0, 1, 2})
    seven.status.replicas[member]->joining = {
        {4, {false, 0, {true, 900, 10, 40, 8000, 800, 6'500'000}, {}}}};
  CHECK(seven.says(
      "not ready: 4 (fetches the state: 8000 bytes, 10 of 40 leaves, about 6 s left), 6;"));
  for (const int member : {0, 1, 2})
    seven.status.replicas[member]->joining = {{6, {false, 900, {}, {true, true, 10, 5, 2, 3, 99}}}};
  CHECK(seven.says(
      "6 (has the state of 900; blocks: 5 looked for, 2 missing, 99 bytes fetched); others"));
  for (const int member : {0, 1, 2})
    seven.status.replicas[member]->joining[0].learning.transfer.running = true;
  CHECK(seven.says("6 (has the state of 900, fetches a newer one; blocks:"));
  Step one(4);
  one.heard->pending->ready = 0b0111;
  CHECK(one.says("joining replicas that are not ready: 3; others that are not: none"));
}

TEST_CASE("a change that is scheduled names who has not come to its end") {
  Step one(4);
  one.heard->pending->ready = 0b1101;
  one.heard->pending->epoch_end_seq = 1001;
  one.status.replicas[0]->executed_seq = 1001;
  one.status.replicas[1].reset();
  CHECK(one.says("sign the last batch, number 1001"));
  CHECK(one.says("do not answer: 1; that have not executed it: 2, 3"));
  CHECK(one.says("joining replicas that are not ready: none; others that are not: 1"));
}

TEST_CASE("a change of which the end is certified, or of which nothing was heard") {
  Step one(4);
  one.status.replicas[2].reset();
  one.heard->next.emplace();
  one.heard->pending.reset();
  CHECK(one.says(
      "a quorum of both has to sign the last batch; members of now that do not answer: 2"));
  one.heard.reset();
  CHECK(one.says("nothing was heard of it; members of now that do not answer: 2"));
}
