#include "admin/load.hpp"

#include "admin/cluster.hpp"

namespace bftmeta::admin {

using schema::FileType;

// Only callbacks write, and all of one client's run on its thread; read when no slot runs.
struct Load::Worker {
  client::Client* client = nullptr;
  Histogram latency;
  std::uint64_t errors = 0;
  std::string first_error;
  std::vector<std::uint64_t> inodes;  // made in this run, when they are wanted
  std::atomic<std::uint64_t> done{0};
};

struct Load::Slot {
  Worker* worker = nullptr;
  std::uint64_t id = 0;
  LoadKind kind = LoadKind::create;
  std::minstd_rand random;
  std::uint64_t names = 0;  // how many it has made
  Clock::time_point sent;
  bool keep_inode = false;
  // Its own file, which is renamed from directory to directory.
  std::uint64_t file_directory = 0;
  schema::Name file_name;
};

namespace {

constexpr std::uint32_t kPreloadOutstanding = 2048;  // one full batch
constexpr std::chrono::milliseconds kTick{100};

schema::Name name_of(char kind, std::uint64_t slot, std::uint64_t number) {
  return {to_bytes(kind + std::to_string(slot) + "-" + std::to_string(number))};
}

schema::Target inode(std::uint64_t ino) { return {ino, {}}; }

// Of ten: six stats, two creates, one mkdir, one rename.
LoadKind pick(std::uint32_t random) {
  const std::uint32_t ten = random / 16 % 10;
  if (ten < 6) return LoadKind::stat;
  if (ten < 8) return LoadKind::create;
  return ten == 8 ? LoadKind::mkdir : LoadKind::rename;
}

}  // namespace

Load::Load(std::vector<client::Client*> clients, schema::Caller caller)
    : clients_(std::move(clients)), caller_(std::move(caller)) {}

Load::~Load() = default;

Result<std::unique_ptr<Load>> Load::make(std::vector<client::Client*> clients,
                                         schema::Caller caller, const std::string& name) {
  std::unique_ptr<Load> load(new Load(std::move(clients), std::move(caller)));
  BFTMETA_ASSIGN(const std::uint64_t top, load->make_directory(schema::kRootIno, name));
  for (std::uint32_t i = 0; i < kDirectories; ++i) {
    BFTMETA_ASSIGN(const std::uint64_t ino, load->make_directory(top, "d" + std::to_string(i)));
    load->directories_.push_back(ino);
  }
  return load;
}

Result<std::uint64_t> Load::make_directory(std::uint64_t parent, const std::string& name) {
  schema::MakeNode op;
  op.parent = inode(parent);
  op.name.bytes = to_bytes(name);
  op.type = FileType::directory;
  op.mode = 0755;
  BFTMETA_ASSIGN(const schema::OpResult result, clients_[0]->execute({caller_, op}));
  if (result.code == schema::Code::ok && result.inode) return result.inode->ino;
  return tl::make_unexpected(operation_error("directory " + name, result.code));
}

schema::OperationBody Load::make_node(Slot& slot, FileType type) {
  const std::uint64_t number = slot.names++;
  schema::MakeNode op;
  op.parent = inode(directories_[(slot.id + number) % directories_.size()]);
  op.name = name_of(type == FileType::directory ? 'm' : 'f', slot.id, number);
  op.type = type;
  op.mode = type == FileType::directory ? 0755 : 0644;
  return op;
}

schema::OperationBody Load::rename(Slot& slot) {
  const std::uint64_t number = slot.names++;
  schema::Rename op;
  op.from_parent = inode(slot.file_directory);
  op.from_name = slot.file_name;
  slot.file_directory = directories_[(slot.id + number) % directories_.size()];
  slot.file_name = name_of('r', slot.id, number);
  op.to_parent = inode(slot.file_directory);
  op.to_name = slot.file_name;
  return op;
}

void Load::submit(Slot& slot, schema::OperationBody body) {
  slot.worker->client->submit(
      {caller_, std::move(body)}, [this, &slot](Result<schema::OpResult> result) {
        if (!result) return finished(slot, result.error().message, 0);
        if (result->code != schema::Code::ok)
          return finished(slot, std::string(schema::code_name(result->code)), 0);
        finished(slot, "", result->inode ? result->inode->ino : 0);
      });
}

void Load::read_random(Slot& slot) {
  const std::uint64_t ino =
      inodes_[(std::uint64_t{slot.random()} << 16 ^ slot.random()) % inodes_.size()];
  slot.worker->client->read(
      {{caller_, schema::GetInode{inode(ino), false}}}, client::ReadMode::verified,
      [this, &slot](Result<client::ReadResult> result) {
        if (!result) return finished(slot, result.error().message, 0);
        const ns::QueryResult& answer = result->answers.front();
        finished(slot,
                 answer.code == schema::Code::ok ? "" : std::string(schema::code_name(answer.code)),
                 0);
      });
}

void Load::issue(Slot& slot) {
  slot.sent = Clock::now();
  const LoadKind kind =
      slot.kind == LoadKind::mixed ? pick(static_cast<std::uint32_t>(slot.random())) : slot.kind;
  switch (kind) {
    case LoadKind::create: return submit(slot, make_node(slot, FileType::regular));
    case LoadKind::mkdir: return submit(slot, make_node(slot, FileType::directory));
    case LoadKind::rename: return submit(slot, rename(slot));
    default: return read_random(slot);
  }
}

void Load::finished(Slot& slot, const std::string& error, std::uint64_t new_ino) {
  Worker& worker = *slot.worker;
  const Phase phase = phase_.load(std::memory_order_relaxed);
  // An error counts whenever it happens.
  if (!error.empty()) {
    if (worker.errors++ == 0) worker.first_error = error;
    failed_ = true;
  }
  if (phase == Phase::measured) {
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - slot.sent);
    worker.latency.add(static_cast<std::uint64_t>(took.count()));
  }
  if (slot.keep_inode && new_ino != 0) worker.inodes.push_back(new_ino);
  worker.done.fetch_add(1, std::memory_order_relaxed);
  const bool more = limit_ == 0 ? phase != Phase::ending : !failed_ && issued_++ < limit_;
  if (more) return issue(slot);
  const std::lock_guard lock(mutex_);
  if (--running_ == 0) ended_.notify_all();
}

void Load::start_slots(LoadKind kind, std::uint32_t count) {
  slots_.clear();
  workers_.clear();
  failed_ = false;
  issued_ = count;
  running_ = count;
  for (client::Client* client : clients_) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->client = client;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->worker = workers_[i % workers_.size()].get();
    slot->id = next_slot_id_++;
    slot->kind = kind;
    slot->keep_inode = limit_ != 0;
    slot->random.seed(static_cast<std::uint32_t>(slot->id + 1));
    slots_.push_back(std::move(slot));
  }
}

void Load::wait_for_slots() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_ == 0; });
}

Status Load::preload(std::uint64_t count, const std::function<void(std::uint64_t)>& progress) {
  if (count == 0) return {};
  limit_ = count;
  start_slots(LoadKind::create,
              static_cast<std::uint32_t>(std::min<std::uint64_t>(count, kPreloadOutstanding)));
  for (const auto& slot : slots_) issue(*slot);
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kTick, [this] { return running_ == 0; })) {
    std::uint64_t done = 0;
    for (const auto& worker : workers_) done += worker->done;
    progress(done);
  }
  for (const auto& worker : workers_) {
    if (worker->errors > 0) return fail(Errc::io, "preload: " + worker->first_error);
    inodes_.insert(inodes_.end(), worker->inodes.begin(), worker->inodes.end());
  }
  return {};
}

// One file for each slot, whose first name it knows.
Status Load::add_rename_files() {
  for (const auto& slot : slots_) {
    slot->file_directory = directories_[slot->id % directories_.size()];
    slot->file_name = name_of('o', slot->id, 0);
    schema::MakeNode op;
    op.parent = inode(slot->file_directory);
    op.name = slot->file_name;
    op.mode = 0644;
    BFTMETA_ASSIGN(const schema::OpResult result, slot->worker->client->execute({caller_, op}));
    if (result.code != schema::Code::ok)
      return tl::make_unexpected(operation_error("file to rename", result.code));
  }
  return {};
}

Result<LoadResult> Load::run(LoadKind kind, std::uint32_t outstanding,
                             std::chrono::milliseconds warm_up,
                             std::chrono::milliseconds measured) {
  if ((kind == LoadKind::stat || kind == LoadKind::mixed) && inodes_.empty())
    return fail(Errc::invalid_argument, "bench: stat needs inodes; preload some");
  limit_ = 0;
  start_slots(kind, outstanding);
  if (kind == LoadKind::rename || kind == LoadKind::mixed) BFTMETA_TRY(add_rename_files());
  phase_ = Phase::warm_up;
  for (const auto& slot : slots_) issue(*slot);
  std::this_thread::sleep_for(warm_up);
  const auto start = Clock::now();
  phase_ = Phase::measured;
  std::this_thread::sleep_for(measured);
  phase_ = Phase::ending;
  LoadResult result;
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  wait_for_slots();
  for (const auto& worker : workers_) {
    result.latency.add(worker->latency);
    result.errors += worker->errors;
    if (result.first_error.empty()) result.first_error = worker->first_error;
  }
  result.done = result.latency.count();
  return result;
}

}  // namespace bftmeta::admin
