// The state of before the first batch.
#include <algorithm>
#include <limits>

#include "namespace/apply.hpp"
#include "schema/keys.hpp"

namespace bftmeta::ns {

void make_genesis(tree::Overlay& overlay, const config::Genesis& genesis) {
  Context context;
  context.exec_time_us = genesis.time_us;
  schema::Attributes root;
  root.type = schema::FileType::directory;
  root.mode = 0755;
  root.nlink = 2;
  root.parent = schema::kRootIno;
  root.salt = inode_salt(genesis.cluster_id(), schema::kRootIno, Hash{});
  root.atime_ns = root.mtime_ns = root.ctime_ns = root.btime_ns = context.now_ns();
  overlay.put(schema::keys::attributes(schema::kRootIno), encode(root));
  overlay.put(schema::keys::counters(), encode(schema::Counters{}));
  overlay.put(schema::keys::config(genesis.config.epoch),
              encode(schema::ConfigRecord{schema::kRecordFormat, genesis.config}));
  for (const config::Client& client : genesis.clients) {
    schema::Principal principal;
    principal.name = client.name;
    principal.link_key = client.link_key;
    principal.rules = client.rules;
    overlay.put(schema::keys::principal(client.sign_key), encode(principal));
  }
}

}  // namespace bftmeta::ns
