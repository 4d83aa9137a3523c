#include <bftmeta/client.hpp>

#include <bit>
#include <condition_variable>

#include "client/io_thread.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"

namespace bftmeta::client {

namespace {

// Where a caller waits for one result. The I/O thread answers every call it has taken.
template <class T>
class Waiter {
 public:
  std::function<void(Result<T>)> callback() {
    return [state = state_](Result<T> result) {
      const std::lock_guard lock(state->mutex);
      state->result = std::move(result);
      state->changed.notify_one();
    };
  }
  Result<T> wait() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return state_->result.has_value(); });
    return std::move(*state_->result);
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<T>> result;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Why there is no session: what the replicas say of it, or what the links do.
Error not_ready(const IoThread& io, const std::optional<Error>& refusal,
                std::chrono::milliseconds timeout) {
  const config::Genesis& genesis = io.options().genesis;
  const std::string cluster = "cluster '" + genesis.name + "': ";
  if (refusal) return {refusal->code, cluster + refusal->message};
  if (const auto why = turned_away(io.members(), io.refused()))
    return {Errc::permission, cluster + *why};
  return {Errc::unreachable,
          cluster + "no session within " + std::to_string(timeout.count()) + " ms (connected to " +
              std::to_string(std::popcount(io.connected())) + " of " +
              std::to_string(io.members()) +
              " replicas); are the replicas running (bftadm status), and is the genesis theirs?"};
}

Error closed_error() { return {Errc::invalid_argument, "client: it is closed"}; }

}  // namespace

class Client::Impl {
 public:
  explicit Impl(std::unique_ptr<IoThread> io) : io_(std::move(io)) {}

  IoThread& io() { return *io_; }

  // Hands `task` over, or answers `done` with an error when the client is closed.
  template <class T>
  void post(IoThread::Task task, const std::function<void(Result<T>)>& done) {
    if (!io_->post(std::move(task)) && done) done(tl::make_unexpected(closed_error()));
  }

 private:
  std::unique_ptr<IoThread> io_;
};

Result<Options> load_options(const std::string& client_toml, crypto::PassphraseSource& passphrase) {
  BFTMETA_ASSIGN(const config::ClientSettings settings, config::load_client(client_toml));
  return load_options(settings, passphrase);
}

Result<Options> load_options(const config::ClientSettings& settings,
                             crypto::PassphraseSource& passphrase) {
  Options options;
  BFTMETA_ASSIGN(options.genesis, config::load_genesis(settings.genesis));
  BFTMETA_ASSIGN(auto signer, crypto::load_sign_key(settings.sign_key, passphrase));
  options.signer = std::move(signer);
  BFTMETA_ASSIGN(options.link_key, crypto::load_link_key(settings.link_key, passphrase));
  options.endpoints = settings.endpoints;
  options.state_file = settings.state_file;
  options.timeout = std::chrono::milliseconds(settings.timeout_ms);
  return options;
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::connect(Options options) {
  BFTMETA_ASSIGN(auto transport, connect_transport(options));
  return connect_over(std::move(options), std::move(transport));
}

Result<std::unique_ptr<Client>> connect_over(Options options,
                                             std::unique_ptr<Transport> transport) {
  if (!options.signer) return fail(Errc::invalid_argument, "client: options have no sign key");
  BFTMETA_TRY(config::validate(options.genesis));
  BFTMETA_ASSIGN(auto io, IoThread::start(std::move(options), std::move(transport)));
  return std::unique_ptr<Client>(new Client(std::make_unique<Client::Impl>(std::move(io))));
}

Status Client::wait_ready(std::chrono::milliseconds timeout) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
    std::optional<Error> refusal;
  };
  auto state = std::make_shared<State>();
  const bool posted = impl_->io().post([](Engine& e, const Now&) { e.open_sessions(); });
  if (!posted) return tl::make_unexpected(closed_error());
  impl_->io().watch([state](const Engine& engine) {
    const std::lock_guard lock(state->mutex);
    state->ready = engine.ready();
    state->refusal = engine.refusal();
    if (state->ready) state->changed.notify_one();
    return state->ready;
  });
  std::unique_lock lock(state->mutex);
  if (state->changed.wait_for(lock, timeout, [&] { return state->ready; })) return {};
  return tl::make_unexpected(not_ready(impl_->io(), state->refusal, timeout));
}

void Client::submit(schema::Operation operation, OperationDone done, std::uint32_t stream) {
  impl_->post<schema::OpResult>(
      [operation = std::move(operation), done, stream](Engine& engine, const Now& now) mutable {
        engine.submit(std::move(operation), std::move(done), stream, now);
      },
      done);
}

Result<schema::OpResult> Client::execute(schema::Operation operation, std::uint32_t stream) {
  Waiter<schema::OpResult> waiter;
  submit(std::move(operation), waiter.callback(), stream);
  return waiter.wait();
}

void Client::read(std::vector<schema::Query> queries, ReadMode mode, ReadDone done) {
  impl_->post<ReadResult>(
      [queries = std::move(queries), mode, done](Engine& engine, const Now& now) mutable {
        engine.read(std::move(queries), mode, std::move(done), now);
      },
      done);
}

Result<ReadResult> Client::read(std::vector<schema::Query> queries, ReadMode mode) {
  Waiter<ReadResult> waiter;
  read(std::move(queries), mode, waiter.callback());
  return waiter.wait();
}

Result<Bytes> Client::prove(schema::Caller caller, schema::Target target) {
  Waiter<Bytes> waiter;
  impl_->post<Bytes>(
      [caller = std::move(caller), target = std::move(target), done = waiter.callback()](
          Engine& engine, const Now& now) { engine.prove(caller, target, done, now); },
      waiter.callback());
  return waiter.wait();
}

Result<messages::RootCert> Client::root(ReadMode mode) {
  Waiter<messages::RootCert> waiter;
  impl_->post<messages::RootCert>(
      [mode, done = waiter.callback()](Engine& engine, const Now& now) {
        engine.root(mode, done, now);
      },
      waiter.callback());
  return waiter.wait();
}

Result<Membership> Client::membership() {
  Waiter<Membership> waiter;
  impl_->post<Membership>(
      [done = waiter.callback()](Engine& engine, const Now&) {
        done(Membership{engine.config(), engine.certificates().steps()});
      },
      waiter.callback());
  return waiter.wait();
}

void Client::watch_members(std::function<void(const config::Config&)> changed) {
  impl_->io().watch_members(std::move(changed));
}

Result<messages::StatusReply> Client::status(messages::ReplicaId replica,
                                             std::chrono::milliseconds timeout,
                                             std::uint64_t scrub_bytes_per_s) {
  Waiter<messages::StatusReply> waiter;
  const auto micros = static_cast<Micros>(timeout.count()) * 1000;
  impl_->post<messages::StatusReply>(
      [=, done = waiter.callback()](Engine& engine, const Now& now) {
        engine.status(replica, scrub_bytes_per_s, micros, done, now);
      },
      waiter.callback());
  return waiter.wait();
}

Result<messages::EvidenceReply> Client::evidence(messages::ReplicaId replica, std::uint32_t index,
                                                 std::chrono::milliseconds timeout) {
  Waiter<messages::EvidenceReply> waiter;
  const auto micros = static_cast<Micros>(timeout.count()) * 1000;
  impl_->post<messages::EvidenceReply>(
      [replica, index, micros, done = waiter.callback()](Engine& engine, const Now& now) {
        engine.evidence(replica, index, micros, done, now);
      },
      waiter.callback());
  return waiter.wait();
}

Status Client::close() {
  return impl_->io().drain(static_cast<Micros>(impl_->io().options().timeout.count()) * 1000);
}

const config::Genesis& Client::genesis() const { return impl_->io().options().genesis; }

}  // namespace bftmeta::client
