// get-root: the newest certificate that this client could verify.
#include "admin/cluster.hpp"
#include "crypto/files.hpp"

namespace bftmeta::admin {

namespace {

Result<ExitCode> run(const std::string& out, const Globals& globals) {
  BFTMETA_ASSIGN(const auto client, connect(globals));
  BFTMETA_ASSIGN(const messages::RootCert cert, client->root());
  if (!out.empty())
    BFTMETA_TRY(crypto::write_new_file(out, encode(cert), crypto::FileMode::public_file));
  print(globals.output, {{{"seq", cert.body.seq},
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
  auto out = std::make_shared<std::string>();
  syntax.option("--out", *out, "Also write the certificate, as its canonical bytes");
  return [=, &globals] { return run(*out, globals); };
}

}  // namespace bftmeta::admin
