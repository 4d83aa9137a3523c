// bftmetad with a strategy in its one seam: a test target that no release build contains. At a
// clean stop it prints how often it lied, and how many blocks were not what they should be.
#include <cstdio>

#include "adversary/strategies.hpp"
#include "base/assert.hpp"
#include "replica/machine.hpp"
#include "replica/main.hpp"

using namespace bftmeta;

namespace {

std::string known_names() {
  std::string known;
  for (const adversary::Named& n : adversary::all_strategies())
    if (!n.simulator_only) known += std::string(" ") + n.name;
  return known;
}

// A key that nobody has registered: the client in the plot.
std::shared_ptr<const crypto::Signer> stranger() {
  return std::make_shared<crypto::Ed25519Signer>(crypto::sha256(view("a stranger")));
}

adversary::Identity identity_of(const replica::Setup& setup) {
  static const crypto::Ed25519Verifier verifier;
  adversary::Identity id;
  id.self = setup.settings.id;
  id.cluster_id = setup.genesis.cluster_id();
  id.config = setup.genesis.config;
  id.signer = setup.signer.get();
  id.seed = id.self + 1;
  id.verifier = &verifier;
  id.fresh_machine = [genesis = setup.genesis] {
    auto engine = execution::Engine::from_genesis(genesis, verifier);
    BFTMETA_ASSERT(engine.has_value());  // the replica itself runs on this genesis
    return std::make_unique<replica::Machine>(std::move(*engine));
  };
  id.conspiracy->members[id.self] = id.signer;
  id.conspiracy->client->signer = stranger();
  return id;
}

// A source of a state that lies about the state lies about file data, too: another byte in each
// block, or an end that is missing. Nobody asks for it, so it is no strategy of the core's seam.
std::function<void(Bytes&)> wrong_block(std::atomic<std::uint64_t>& blocks) {
  return [&blocks](Bytes& content) {
    const std::uint64_t n = blocks++;
    if (content.empty()) return;
    if (n % 4 == 0)
      content.resize(content.size() / 2);
    else
      content[n * 4099 % content.size()] ^= 1;
  };
}

}  // namespace

int main(int argc, char** argv) {
  std::shared_ptr<const std::atomic<std::uint64_t>> lies;
  std::atomic<std::uint64_t> blocks{0};
  const int code = replica::run_main(
      argc, argv,
      [&](const std::string& name,
          replica::Setup& setup) -> Result<std::unique_ptr<consensus::Interceptor>> {
        const adversary::Named* found = adversary::find_strategy(name);
        if (found == nullptr || found->simulator_only)
          return fail(Errc::invalid_argument,
                      "--strategy '" + name + "': unknown; there are:" + known_names());
        auto strategy = found->make(identity_of(setup));
        lies = strategy->lies();
        if (found->transfer) setup.bend_block = wrong_block(blocks);
        return strategy;
      });
  if (lies)
    std::printf("lies: %llu\nwrong blocks: %llu\n", static_cast<unsigned long long>(lies->load()),
                static_cast<unsigned long long>(blocks.load()));
  return code;
}
