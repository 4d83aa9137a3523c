// bftmetad with a strategy in its one seam: a test target that no release build contains. At a
// clean stop it prints how often it lied.
#include <cstdio>

#include "adversary/strategies.hpp"
#include "replica/main.hpp"

using namespace bftmeta;

int main(int argc, char** argv) {
  std::shared_ptr<const std::atomic<std::uint64_t>> lies;
  const int code = replica::run_main(
      argc, argv,
      [&lies](const std::string& name,
              const replica::Setup& setup) -> Result<std::unique_ptr<consensus::Interceptor>> {
        const adversary::Maker make = adversary::find_strategy(name);
        if (make == nullptr) {
          std::string known;
          for (const adversary::Named& n : adversary::all_strategies())
            known += std::string(" ") + n.name;
          return fail(Errc::invalid_argument,
                      "--strategy '" + name + "': unknown; there are:" + known);
        }
        auto strategy = make({setup.settings.id, setup.genesis.cluster_id(), setup.genesis.config,
                              setup.signer.get()});
        lies = strategy->lies();
        return strategy;
      });
  if (lies) std::printf("lies: %llu\n", static_cast<unsigned long long>(lies->load()));
  return code;
}
