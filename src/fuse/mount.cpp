#include "fuse/mount.hpp"

#include "fuse/log.hpp"
#include "net/context.hpp"

namespace bftmeta::fuse {

namespace {

constexpr std::size_t kUploadThreads = 4;
// Well inside the grace of an unlinked file (limits::kOrphanGraceUs, 120 s).
constexpr auto kSweepInterval = std::chrono::seconds(30);
constexpr auto kNameAgain = std::chrono::seconds(1);

std::int64_t wall_clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void pause_before_retry(unsigned attempt) {
  std::this_thread::sleep_for(
      std::chrono::milliseconds(std::min(2U << std::min(attempt, 7U), 250U)));
}

}  // namespace

Result<std::unique_ptr<Mount>> Mount::connect(const MountOptions& options) {
  std::unique_ptr<Mount> mount(new Mount(options));
  BFTMETA_TRY(mount->start());
  return mount;
}

Status Mount::start() {
  auto passphrase = crypto::PassphraseSource::terminal();
  BFTMETA_ASSIGN(client::Options client_options,
                 client::load_options(options.client_toml, passphrase));
  context = std::make_shared<net::Context>();
  client_options.context = context;
  client_options.timeout = options.timeout;
  client_options.on_fault = [](const client::Fault& fault) {
    log_line("replica " + std::to_string(fault.replica) + " was caught at seq " +
             std::to_string(fault.seq) + ": " + fault.why + "; it is not asked for ten minutes");
  };
  client_options.on_unsaved = [](const Error& why) {
    log_line(why.message +
             "; a later mount may be shown what is older than what this one has seen");
  };
  const crypto::LinkKey link_key = client_options.link_key;
  const std::vector<config::EndpointOverride> endpoints = client_options.endpoints;
  // Blocks are the same in every epoch, and so are the frames that carry them.
  const crypto::Context cluster{client_options.genesis.cluster_id(),
                                client_options.genesis.config.epoch};
  BFTMETA_ASSIGN(client, client::Client::connect(std::move(client_options)));
  BFTMETA_TRY(client->wait_ready(options.timeout));
  BFTMETA_ASSIGN(const client::Membership members, client->membership());
  blocks::ReplicaStoreOptions store_options;
  store_options.timeout = options.timeout;
  store_options.report = log_line;
  BFTMETA_ASSIGN(replicas, blocks::ReplicaStore::open(*context, link_key,
                                                      config::reached_at(members.config, endpoints),
                                                      cluster, std::move(store_options)));

  metadata = std::make_unique<ClusterMetadata>(*client, options.read_mode);
  const auto root = metadata->inode({}, {});
  if (!root)
    return fail(
        root.error().error == EACCES || root.error().error == EPERM ? Errc::permission : Errc::io,
        "the root directory cannot be read: " +
            (root.error().reason.empty() ? std::generic_category().message(root.error().error)
                                         : root.error().reason));

  cache = std::make_unique<blocks::BlockCache>(*replicas, options.block_cache);
  uploader = std::make_unique<Uploader>(*replicas, kUploadThreads);
  services = std::make_unique<FileServices>(
      FileServices{*metadata, *cache, *uploader, budget, wall_clock_ns, pause_before_retry});
  files = std::make_unique<OpenFiles>(*services);
  sweeper_ = std::thread([this] { look_after_files(); });
  client->watch_members([this, endpoints](const config::Config& now) {
    members_changed(config::reached_at(now, endpoints));
  });
  return {};
}

Mount::~Mount() {
  {
    std::lock_guard lock(sweep_mutex_);
    stopping_ = true;
  }
  sweep_wanted_.notify_all();
  if (sweeper_.joinable()) sweeper_.join();
  files.reset();
  uploader.reset();
  if (client) {
    if (const Status closed = client->close(); !closed) log_line(closed.error().message);
  }
}

Outcome<void> Mount::flush_all() {
  Outcome<void> first;
  for (const OpenFilePtr& file : files->all()) {
    if (file->gone) continue;
    const Outcome<void> flushed = file->data.flush();
    if (flushed) continue;
    log_line("inode " + std::to_string(file->ino) +
             ": written data is lost at unmount: " + flushed.error().reason);
    if (first) first = flushed;
  }
  return first;
}

void Mount::look_for_unlinked() {
  {
    std::lock_guard lock(sweep_mutex_);
    sweep_now_ = true;
  }
  sweep_wanted_.notify_all();
}

void Mount::members_changed(config::Config now) {
  if (now.epoch == replicas->holders()) return;
  log_line("the cluster is in epoch " + std::to_string(now.epoch) + " now, with " +
           std::to_string(now.n()) + " replicas");
  replicas->follow(std::move(now));
  {
    std::lock_guard lock(sweep_mutex_);
    members_changed_ = true;
  }
  sweep_wanted_.notify_all();
}

void Mount::look_after_files() {
  std::unique_lock lock(sweep_mutex_);
  bool unnamed = false;
  while (!stopping_) {
    sweep_wanted_.wait_for(lock, unnamed ? kNameAgain : kSweepInterval,
                           [this] { return sweep_now_ || members_changed_ || stopping_; });
    if (stopping_) return;
    const bool changed = std::exchange(members_changed_, false);
    const bool sweep = std::exchange(sweep_now_, false) || !changed;
    lock.unlock();
    if (changed || unnamed) unnamed = !name_blocks();
    if (sweep) keep_unlinked();
    lock.lock();
  }
}

// Replicas that join fetch what files name. False: not all could be named.
bool Mount::name_blocks() {
  bool all = true;
  for (const OpenFilePtr& file : files->all()) {
    const Outcome<void> flushed = file->data.flush_unnamed();
    if (flushed) continue;
    all = false;
    log_line("inode " + std::to_string(file->ino) +
             ": what was written is not committed yet: " + flushed.error().reason);
  }
  return all;
}

// Another client, or a rename over it, may have unlinked a file that is open here.
void Mount::keep_unlinked() {
  const std::vector<OpenFilePtr> open = files->all();
  for (std::size_t at = 0; at < open.size(); at += limits::kMaxQueriesPerRead) {
    const std::size_t end = std::min(open.size(), at + limits::kMaxQueriesPerRead);
    std::vector<std::uint64_t> inos;
    for (std::size_t i = at; i < end; ++i) inos.push_back(open[i]->ino);
    const auto found = metadata->inodes({}, inos);
    if (!found) return;  // next time; the grace is longer
    for (std::size_t i = at; i < end; ++i) {
      const auto& attributes = (*found)[i - at];
      if (!attributes || attributes->nlink > 0) continue;
      open[i]->gone = true;
      hold(*open[i], {});
    }
  }
}

void Mount::hold(OpenFile& file, const schema::Caller& caller) {
  const auto held = metadata->apply(caller, schema::Hold{file.ino, false});
  if (held)
    file.held = true;
  else
    log_line("inode " + std::to_string(file.ino) +
             " is open and unlinked, and could not be kept: " + held.error().reason);
}

void Mount::let_go(OpenFile& file, const schema::Caller& caller) {
  if (!file.held) return;
  const auto released = metadata->apply(caller, schema::Hold{file.ino, true});
  // The hold of a session that has ended went with it.
  if (!released && released.error().code != schema::Code::no_entry)
    log_line("inode " + std::to_string(file.ino) +
             ": its hold could not be released: " + released.error().reason);
}

}  // namespace bftmeta::fuse
