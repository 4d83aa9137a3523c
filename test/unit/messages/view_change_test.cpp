// verify_view_change and verify_new_view: one defect anywhere voids the whole message.
#include <doctest/doctest.h>

#include <functional>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

namespace {

struct ViewChanges {
  Cluster c{4};

  bool holds(const ViewChange& vc) const {
    return verify_view_change(c.verifier, c.context, c.config(), vc).has_value();
  }
  bool holds(const NewView& nv) const {
    return verify_new_view(c.verifier, c.context, c.config(), nv).has_value();
  }
  // Signed again after the change: only the rule itself can refuse it.
  bool holds_resigned(ViewChange vc, const std::function<void(ViewChange&)>& change) const {
    change(vc);
    if (vc.replica < c.config().n()) sign_view_change(*c.replicas[vc.replica], c.context, vc);
    return holds(vc);
  }
  bool holds_resigned(NewView nv, const std::function<void(NewView&)>& change) const {
    change(nv);
    sign_new_view(c.primary(nv.view), c.context, nv);
    return holds(nv);
  }
};

}  // namespace

TEST_CASE_FIXTURE(ViewChanges, "VIEW-CHANGE: what is valid") {
  const ViewChange good = sample_view_change(c);
  REQUIRE(holds(good));
  CHECK(holds_resigned(good, [](ViewChange& v) { v.prepared.clear(); }));
  CHECK(holds_resigned(good, [](ViewChange& v) { v.base.reset(); }));
  CHECK(holds_resigned(good, [](ViewChange& v) { v.reason = Reason::joined; }));
  CHECK(holds_resigned(good, [&](ViewChange& v) {
    v.prepared[1] =
        c.prepared({1, v.base_seq() + limits::kWindow, pattern(2)}, c.backups_bitmap(1));
  }));
}

TEST_CASE_FIXTURE(ViewChanges, "VIEW-CHANGE: what is not") {
  const ViewChange good = sample_view_change(c);
  using Change = std::function<void(ViewChange&)>;
  const std::vector<std::pair<const char*, Change>> defects = {
      {"sender is no member", [](ViewChange& v) { v.replica = 4; }},
      {"view 0",
       [](ViewChange& v) {
         v.new_view = 0;
         v.prepared.clear();
       }},
      {"base below quorum", [&](ViewChange& v) { v.base = c.certify(v.base->body, 0b0011); }},
      {"base above quorum", [&](ViewChange& v) { v.base = c.certify(v.base->body, 0b1111); }},
      {"base with a broken signature", [](ViewChange& v) { v.base->signatures[2][0] ^= 1; }},
      {"base of sequence number 0",
       [&](ViewChange& v) {
         v.base->body.seq = 0;
         v.base = c.certify(v.base->body, c.quorum_bitmap());
       }},
      {"entry at the base",
       [&](ViewChange& v) {
         v.prepared[0] = c.prepared({0, 4, pattern(1)}, c.backups_bitmap(0));
       }},
      {"entries descending", [](ViewChange& v) { std::swap(v.prepared[0], v.prepared[1]); }},
      {"entry twice", [](ViewChange& v) { v.prepared[1] = v.prepared[0]; }},
      {"two entries for one sequence number",
       [&](ViewChange& v) {
         v.prepared[1] = c.prepared({1, 5, pattern(2)}, c.backups_bitmap(1));
       }},
      {"entry beyond the window",
       [&](ViewChange& v) {
         v.prepared[1] = c.prepared({1, 4 + limits::kWindow + 1, pattern(2)}, c.backups_bitmap(1));
       }},
      {"entry of the new view",
       [&](ViewChange& v) {
         v.prepared[1] = c.prepared({2, 7, pattern(2)}, c.backups_bitmap(2));
       }},
      {"entry of a later view",
       [&](ViewChange& v) {
         v.prepared[1] = c.prepared({9, 7, pattern(2)}, c.backups_bitmap(9));
       }},
      {"entry with too few votes",
       [&](ViewChange& v) {
         v.prepared[0] = c.prepared({0, 5, pattern(1)}, 0b0010);
       }},
      {"entry with the primary among the backups",
       [&](ViewChange& v) {
         v.prepared[0] = c.prepared({0, 5, pattern(1)}, 0b0011);
       }},
      {"entry with one broken vote among valid ones",
       [](ViewChange& v) { v.prepared[1].signatures[1][9] ^= 1; }},
      {"entry with a broken PRE-PREPARE",
       [](ViewChange& v) { v.prepared[0].primary_signature[9] ^= 1; }},
  };
  for (const auto& [what, change] : defects) {
    CAPTURE(what);
    CHECK_FALSE(holds_resigned(good, change));
  }
}

TEST_CASE_FIXTURE(ViewChanges,
                  "VIEW-CHANGE: the signature covers everything, and only its sender's") {
  const ViewChange good = sample_view_change(c);
  ViewChange x = good;
  x.reason = Reason::none;
  CHECK_FALSE(holds(x));
  x = good;
  x.prepared.pop_back();
  CHECK_FALSE(holds(x));
  x = good;
  x.new_view = 3;
  CHECK_FALSE(holds(x));
  x = good;
  x.replica = 2;
  CHECK_FALSE(holds(x));
  x = good;
  x.signature[0] ^= 1;
  CHECK(x.body_digest() == good.body_digest());
  CHECK(x.digest() != good.digest());
  CHECK_FALSE(holds(x));
}

TEST_CASE_FIXTURE(ViewChanges, "NEW-VIEW: shape and signatures") {
  const NewView good = sample_new_view(c);
  REQUIRE(holds(good));
  CHECK(good.max_seq() == 6);
  CHECK(holds_resigned(good, [](NewView& n) { n.proposals.clear(); }));

  using Change = std::function<void(NewView&)>;
  const std::vector<std::pair<const char*, Change>> defects = {
      {"a vote too few", [](NewView& n) { n.votes.pop_back(); }},
      {"a vote too many",
       [](NewView& n) {
         n.votes.push_back({3, pattern(9)});
       }},
      {"a voter twice", [](NewView& n) { n.votes[1] = n.votes[0]; }},
      {"votes out of order", [](NewView& n) { std::swap(n.votes[0], n.votes[1]); }},
      {"a voter that is no member", [](NewView& n) { n.votes[2].replica = 4; }},
      {"a gap", [](NewView& n) { n.proposals.erase(n.proposals.begin()); }},
      {"a sequence number twice", [](NewView& n) { n.proposals[1] = n.proposals[0]; }},
      {"another base", [](NewView& n) { n.base_seq += 1; }},
      {"a broken proposal", [](NewView& n) { n.proposals[0].signature[3] ^= 1; }},
      {"a proposal of another digest", [](NewView& n) { n.proposals[0].digest[3] ^= 1; }},
      {"proposals of another view", [](NewView& n) { n.view = 5; }},  // the same primary
  };
  for (const auto& [what, change] : defects) {
    CAPTURE(what);
    CHECK_FALSE(holds_resigned(good, change));
  }
  NewView x = good;
  x.view = 0;
  CHECK_FALSE(holds(x));
  x = good;
  sign_new_view(*c.replicas[2], c.context, x);  // not the primary
  CHECK_FALSE(holds(x));
}
