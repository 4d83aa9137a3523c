// bftmetad with a strategy in its one seam: a test target that no release build contains. At a
// clean stop it prints how often it lied.
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

}  // namespace

int main(int argc, char** argv) {
  std::shared_ptr<const std::atomic<std::uint64_t>> lies;
  const int code = replica::run_main(
      argc, argv,
      [&lies](const std::string& name,
              const replica::Setup& setup) -> Result<std::unique_ptr<consensus::Interceptor>> {
        const adversary::Named* found = adversary::find_strategy(name);
        if (found == nullptr || found->simulator_only)
          return fail(Errc::invalid_argument,
                      "--strategy '" + name + "': unknown; there are:" + known_names());
        auto strategy = found->make(identity_of(setup));
        lies = strategy->lies();
        return strategy;
      });
  if (lies) std::printf("lies: %llu\n", static_cast<unsigned long long>(lies->load()));
  return code;
}
