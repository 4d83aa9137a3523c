// bftmetad with a strategy in its one seam: a test target that no release build contains.
#include "adversary/strategies.hpp"
#include "replica/main.hpp"

using namespace bftmeta;

int main(int argc, char** argv) {
  return replica::run_main(
      argc, argv,
      [](const std::string& name,
         const replica::Setup& setup) -> Result<std::unique_ptr<consensus::Interceptor>> {
        const adversary::Maker make = adversary::find_strategy(name);
        if (make == nullptr) {
          std::string known;
          for (const adversary::Named& n : adversary::all_strategies())
            known += std::string(" ") + n.name;
          return fail(Errc::invalid_argument,
                      "--strategy '" + name + "': unknown; there are:" + known);
        }
        return make({setup.settings.id, setup.genesis.cluster_id(), setup.genesis.config,
                     setup.signer.get()});
      });
}
