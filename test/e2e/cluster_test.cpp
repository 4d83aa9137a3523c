// Real processes: what they do when nothing bad happens, and without one of them. More in
// chaos_test.cpp.
#include <doctest/doctest.h>

#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using test::catches_up;
using test::CreateLoad;
using test::ProcessCluster;

namespace {

void check_no_failure(const CreateLoad& load) {
  for (const std::string& failure : load.failures()) FAIL_CHECK(failure);
}

}  // namespace

TEST_CASE("two clients see each other's writes; SIGTERM stops every replica cleanly") {
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  {
    const auto one = cluster.open(0);
    const auto two = cluster.open(1);
    for (int i = 0; i < 20; ++i) {
      const std::string name = "shared-" + std::to_string(i);
      const auto made = one->execute(test::create_file(name));
      REQUIRE_MESSAGE(made.has_value(), made.error().message);
      REQUIRE(made->code == schema::Code::ok);
      const auto read = two->read({test::stat_file(name)}, client::ReadMode::linearizable);
      REQUIRE_MESSAGE(read.has_value(), read.error().message);
      CHECK(read->answers.at(0).code == schema::Code::ok);
      const auto again = two->execute(test::create_file(name));
      REQUIRE_MESSAGE(again.has_value(), again.error().message);
      CHECK(again->code == schema::Code::exists);
    }
    REQUIRE(two->execute(test::create_file("of two"))->code == schema::Code::ok);
    CHECK(one->read({test::stat_file("of two")}, client::ReadMode::linearizable)
              ->answers.at(0)
              .code == schema::Code::ok);
    // Nothing is ordered for it: the newest root stays the one that it is.
    const auto root = one->root(client::ReadMode::linearizable);
    const auto again = two->root(client::ReadMode::linearizable);
    REQUIRE(root.has_value());
    REQUIRE(again.has_value());
    CHECK(root->body == again->body);
    CHECK(one->close().has_value());
    const Status closed = two->close();
    CHECK_MESSAGE(closed.has_value(), closed.error().message);
  }
  for (std::uint32_t r = 0; r < cluster.n(); ++r) {
    CHECK(cluster.stop(r) == 0);
    const std::string errors = cluster.errors(r);
    INFO(errors);
    CHECK(errors.find("[error]") == std::string::npos);
    CHECK(errors.find("replica " + std::to_string(r) + " stops at sequence number") !=
          std::string::npos);
  }
}

TEST_CASE("kill -9 of a backup under load: no error; it catches up when it is back") {
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  {
    CreateLoad load(*client, "f");
    REQUIRE(load.wait_acknowledged(200, 20s));
    cluster.kill(2);
    load.run_for(3s);
    CHECK(load.wait_acknowledged(200, 20s));
    cluster.start(2);
    const auto others = client->status(1, 5s);
    REQUIRE(others.has_value());
    CHECK(catches_up(*client, 2, others->executed_seq, 20s));
    load.stop();
    check_no_failure(load);
    CHECK(test::missing(*client, load.acknowledged()).empty());
  }
  const auto end = client->root();
  REQUIRE(end.has_value());
  CHECK(catches_up(*client, 2, end->body.seq, 20s));
}
