#include "admin/cluster.hpp"

#include <doctest/doctest.h>

using namespace bftmeta;
using admin::Health;

namespace {

using Replies = std::vector<std::optional<messages::StatusReply>>;

config::Config four() {
  config::Config config;
  config.replicas.resize(4);
  return config;
}

Replies replies(std::initializer_list<messages::View> views) {
  Replies all;
  for (const messages::View view : views) {
    messages::StatusReply r;
    r.view = view;
    r.active = true;
    r.executed_seq = r.certified_seq = 1000;
    r.condition = "ok";
    all.emplace_back(r);
  }
  return all;
}

}  // namespace

TEST_CASE("health: all well, one silent, two silent") {
  Replies all = replies({5, 5, 5, 5});
  const auto ok = admin::judge(four(), all);
  CHECK(ok.health == Health::ok);
  CHECK(ok.primary == 1);
  all[2].reset();
  CHECK(admin::judge(four(), all).health == Health::warn);
  CHECK(admin::judge(four(), all).reason == "replica 2 does not answer");
  all[3].reset();
  CHECK(admin::judge(four(), all).health == Health::err);
  CHECK(admin::judge(four(), Replies(4)).answered == 0);
}

TEST_CASE("health: one replica cannot claim a view alone, f+1 can") {
  CHECK(admin::judge(four(), replies({9, 5, 5, 5})).view == 5);
  CHECK(admin::judge(four(), replies({9, 9, 5, 5})).view == 9);
}

TEST_CASE("health: behind by more than the window, between views, in bad condition") {
  Replies all = replies({0, 0, 0, 0});
  all[1]->executed_seq = 1000 - limits::kWindow;
  CHECK(admin::judge(four(), all).health == Health::ok);
  all[1]->executed_seq -= 1;
  CHECK(admin::judge(four(), all).health == Health::warn);
  all = replies({0, 0, 0, 0});
  all[0]->active = false;
  CHECK(admin::judge(four(), all).health == Health::warn);
  all = replies({0, 0, 0, 0});
  all[3]->condition = "disk is full";
  CHECK(admin::judge(four(), all).reason == "replica 3: disk is full");
}

TEST_CASE("status: the pass over the blocks, and a state transfer when there is one") {
  Replies all = replies({0, 0, 0, 0});
  all[1].reset();
  all[2]->blocks = {true, false, 255, 10, 3, 4, 4096, 2048, 5'000'000, 1'700'000'000};
  admin::Report report = admin::status_report(admin::judge(four(), all));
  std::string json = admin::to_json(report);
  CHECK(json.find("\"transfers\": []") != std::string::npos);
  CHECK(admin::to_text(report).find("target") == std::string::npos);
  REQUIRE(report.tables.size() == 4);
  REQUIRE(report.tables[1].rows.size() == 3);
  const std::vector<admin::Value> expected = {std::uint64_t{2},
                                              "looking",
                                              25.5,
                                              std::uint64_t{10},
                                              std::uint64_t{3},
                                              std::uint64_t{4},
                                              std::uint64_t{4096},
                                              std::uint64_t{2048},
                                              std::uint64_t{5'000'000},
                                              "2023-11-14T22:13:20.000000Z"};
  CHECK(report.tables[1].rows[1] == expected);
  CHECK(report.tables[1].rows[0][1] == admin::Value("idle"));
  CHECK(report.tables[1].rows[0][9] == admin::Value("never"));

  all[3]->transfer = {true, 70, 5, 0, 600, 60};
  report = admin::status_report(admin::judge(four(), all));
  json = admin::to_json(report);
  CHECK(json.find("\"target_seq\": 70") != std::string::npos);
  CHECK(json.find("\"target_leaves\": \"unknown\"") != std::string::npos);
  CHECK(json.find("\"left_us\": \"unknown\"") != std::string::npos);
  CHECK(admin::to_text(report).find("target seq") != std::string::npos);
}

TEST_CASE("status: who is to become a member, each number as the middle of a quorum has it") {
  Replies all = replies({0, 0, 0, 0});
  CHECK(admin::to_json(admin::status_report(admin::judge(four(), all))).find("\"joining\": []") !=
        std::string::npos);
  const messages::Learning fetches{false, 0, {true, 70, 5, 50, 600, 60, 9'000'000}, {}};
  messages::Learning before = fetches;
  before.transfer.received_bytes = 500;
  const messages::Learning has{true, 70, {}, {false, true, 1000, 8, 0, 7, 4096}};
  messages::Learning half_a_lie = fetches;  // next to a true one, if accounts were put in order
  half_a_lie.ready = true;
  half_a_lie.transfer.left_us = 1;
  all[0]->joining = {{3, half_a_lie}, {3, {true, 98, {}, {}}}, {6, has}, {9, has}};
  all[1]->joining = {{3, before}, {5, has}, {6, has}};  // 6: two say so, and one may lie
  all[2]->joining = {{3, fetches}, {5, has}};
  all[3]->joining = {{3, fetches}, {5, has}};
  const admin::Report report = admin::status_report(admin::judge(four(), all));
  const admin::Table& table = report.tables.back();
  REQUIRE(table.rows.size() == 2);
  const auto number = [](std::uint64_t n) { return admin::Value(n); };
  CHECK(table.rows[0] == std::vector<admin::Value>{number(3), "no", number(0), number(5),
                                                   number(50), number(600), number(60),
                                                   number(9'000'000), number(0), number(0),
                                                   number(0), number(0)});
  CHECK(table.rows[1] == std::vector<admin::Value>{number(5), "yes", number(70), number(0),
                                                   "unknown", number(0), number(0), number(0),
                                                   number(8), number(0), number(4096), number(0)});
  CHECK(admin::to_text(report).find("blocks checked") != std::string::npos);
}

TEST_CASE("paths: absolute, without dots, within the limits") {
  CHECK(admin::parse_path("/")->path.empty());
  CHECK(admin::parse_path("//a//b/")->path.size() == 2);
  for (const std::string& bad : {std::string(""), std::string("a"), std::string("/a/../b"),
                                 std::string("/./b"), "/" + std::string(256, 'x')})
    CHECK_FALSE(admin::parse_path(bad));
  std::string deep;
  for (int i = 0; i < 65; ++i) deep += "/d";
  CHECK_FALSE(admin::parse_path(deep));
  CHECK(admin::parse_path(deep.substr(2)));
}
