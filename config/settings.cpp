#include "config/settings.hpp"

namespace bftmeta::config {

Config reached_at(Config config, const std::vector<EndpointOverride>& endpoints) {
  for (const EndpointOverride& endpoint : endpoints) {
    if (endpoint.replica >= config.n()) continue;
    config.replicas[endpoint.replica].host = endpoint.host;
    config.replicas[endpoint.replica].port = endpoint.port;
  }
  return config;
}

}  // namespace bftmeta::config
