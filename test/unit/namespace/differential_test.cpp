// T10.7: production code over the authenticated map against the reference model: equal results,
// equal state roots. Usage: differential [operations] [seed].
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "model/model.hpp"
#include "namespace/apply.hpp"
#include "random_operations.hpp"
#include "tree/version.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

namespace {

constexpr std::size_t kOperationsPerCheck = 1000;
// Then from a new genesis: a tree that only grows would be compared more than changed.
constexpr std::size_t kOperationsPerState = 20'000;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

config::Genesis make_genesis() {
  config::Genesis g;
  g.time_us = 1'000'000;
  for (std::uint8_t i = 1; i <= 3; ++i) {
    PublicKey key{};
    key[0] = i;
    g.config.admins.push_back({"admin", key});
  }
  g.config.admin_threshold = 2;
  return g;
}

tree::Version version_of(const LeafMap& leaves) {
  std::vector<tree::Update> updates;
  for (const auto& [key, value] : leaves) updates.push_back({key, value});
  auto version = tree::Version::empty().apply(updates);
  if (!version) stop("tree: " + version.error().message);
  return *version;
}

LeafMap leaves_of(const tree::Reader& reader) {
  LeafMap out;
  reader.scan(Key(), std::nullopt, [&](const Key& key, ByteView value) {
    out[key] = to_bytes(value);
    return true;
  });
  return out;
}

std::string difference(const LeafMap& production, const LeafMap& model) {
  std::string out;
  const auto show = [&](const char* side, const Key& key, const Bytes& value) {
    out += std::string("\n  ") + side + " " + to_hex(key) + " = " + to_hex(value);
  };
  for (const auto& [key, value] : production)
    if (const auto it = model.find(key); it == model.end() || it->second != value)
      show("production", key, value);
  for (const auto& [key, value] : model)
    if (const auto it = production.find(key); it == production.end() || it->second != value)
      show("model     ", key, value);
  return out;
}

class Differential {
 public:
  explicit Differential(std::uint64_t seed)
      : genesis_(make_genesis()), random_(seed, genesis_), model_(genesis_) {
    tree::Overlay overlay(version_);
    ns::make_genesis(overlay, genesis_);
    advance(overlay);
  }

  void run(std::size_t operations) {
    for (std::size_t done = 0, checked = 0; done < operations;) {
      done += batch(done);
      if (done - checked < kOperationsPerCheck && done < operations) continue;
      checked = done;
      check(done);
    }
  }
  const std::map<schema::Code, std::size_t>& codes() const { return codes_; }
  std::uint64_t leaf_count() const { return version_.leaf_count(); }

 private:
  std::size_t batch(std::size_t done) {
    const std::size_t operations = 1 + random_.below(40);
    tree::Overlay overlay(version_);
    ns::Context context;
    context.cluster_id = genesis_.cluster_id();
    context.history_hash[0] = static_cast<std::uint8_t>(done);
    context.config = &genesis_.config;
    context.verifier = &verifier_;
    time_us_ += 1 + random_.below(5'000'000);
    context.exec_time_us = time_us_;
    start(overlay, context, operations);
    config::ClientRules rules;
    for (std::size_t i = 0; i < operations; ++i) {
      if (i % 8 == 0) rules = random_.rules();
      context.rules = &rules;
      context.session_id = random_.session();
      one(overlay, context, done + i);
    }
    advance(overlay);
    return operations;
  }

  // Lease time, a session that ends, due work: in execution's order.
  void start(tree::Overlay& overlay, const ns::Context& context, std::size_t operations) {
    const std::uint64_t step =
        random_.one_in(8) ? random_.below(60'000'000) : random_.below(2'000'000);
    Bytes value;
    overlay.get(schema::keys::counters(), value);
    auto counters = *schema::decode_record<schema::Counters>(value, "counters");
    counters.lease_time_us += step;
    overlay.put(schema::keys::counters(), encode(counters));
    if (random_.one_in(10)) {
      const Id16 session = random_.session();
      ns::release_holds(overlay, session);
      model_.end_session(session);
    }
    ns::housekeeping(overlay, context, operations);
    model_.begin_batch(step, operations);
  }

  void one(tree::Overlay& overlay, const ns::Context& context, std::size_t index) {
    const schema::Operation op = random_.next(time_us_);
    const schema::OpResult production = ns::apply(overlay, context, op);
    const schema::OpResult model =
        model_.apply({context.exec_time_us, context.session_id, *context.rules,
                      context.history_hash, context.verifier},
                     op);
    if (production != model) {
      codec::Printer o, p, m;
      o.print(op);
      p.print(production);
      m.print(model);
      stop("operation " + std::to_string(index) + ": " + o.out + "\n  production " + p.out +
           "\n  model      " + m.out);
    }
    ++codes_[production.code];
    random_.learn(production);
  }

  void advance(tree::Overlay& overlay) {
    if (overlay.fault()) stop("a read failed");
    auto next = version_.apply(overlay.take_updates());
    if (!next) stop("tree: " + next.error().message);
    version_ = std::move(*next);
  }

  void check(std::size_t done) {
    const LeafMap model = model_.leaves();
    if (version_of(model).root_hash() == version_.root_hash()) return;
    stop("after operation " + std::to_string(done) +
         " the states differ:" + difference(leaves_of(version_), model));
  }

  config::Genesis genesis_;
  RandomOperations random_;
  Model model_;
  IdealVerifier verifier_;
  tree::Version version_ = tree::Version::empty();
  std::uint64_t time_us_ = 2'000'000;
  std::map<schema::Code, std::size_t> codes_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const auto start = std::chrono::steady_clock::now();
  std::map<schema::Code, std::size_t> codes;
  std::uint64_t leaves = 0;
  for (std::size_t done = 0; done < operations; done += kOperationsPerState) {
    Differential differential(seed * 1'000'000 + done / kOperationsPerState);
    differential.run(std::min(kOperationsPerState, operations - done));
    for (const auto& [code, count] : differential.codes()) codes[code] += count;
    leaves = std::max(leaves, differential.leaf_count());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%zu operations, at most %llu leaves, %.1f s: equal\n", operations,
              static_cast<unsigned long long>(leaves), took.count());
  for (const auto& [code, count] : codes)
    std::printf("  %-18s %zu\n", std::string(schema::code_name(code)).c_str(), count);
  // A stream in which little succeeds would prove little.
  return codes[schema::Code::ok] * 5 > operations ? 0 : 1;
}
