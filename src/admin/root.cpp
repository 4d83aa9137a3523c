// get-root: the newest certificate that this client could verify.
#include "admin/cluster.hpp"
#include "crypto/files.hpp"
#include "verify/epoch_chain.hpp"

namespace bftmeta::admin {

namespace {

struct Options {
  std::string out;
  std::string chain;
};

Result<ExitCode> run(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const messages::RootCert cert, client->root());
  BFTMETA_ASSIGN(const client::Membership membership, client->membership());
  if (!o.out.empty())
    BFTMETA_TRY(crypto::write_new_file(o.out, encode(cert), crypto::FileMode::public_file));
  if (!o.chain.empty())
    BFTMETA_TRY(crypto::write_new_file(
        o.chain, verify::encode_chain_file(cert.body.cluster_id, membership.steps),
        crypto::FileMode::public_file));
  print(globals.output, {{{"seq", cert.body.seq},
                          {"epoch", cert.body.epoch},
                          {"state_root", to_hex(cert.body.state_root)},
                          {"history_root", to_hex(cert.body.history_root)},
                          {"time", utc_time(cert.body.time_us)},
                          {"time_us", cert.body.time_us},
                          {"signers", replica_list(cert.signers)},
                          {"genesis_digest", to_hex(cert.body.cluster_id)}},
                         {}});
  return ExitCode::ok;
}

}  // namespace

Run declare_get_root(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  syntax.option("--out", o->out, "Also write the certificate, as its canonical bytes");
  syntax.option("--chain", o->chain,
                "Also write what leads from the genesis to the members of today, for "
                "'bftadm verify'");
  return [=, &globals] { return run(*o, globals); };
}

}  // namespace bftmeta::admin
