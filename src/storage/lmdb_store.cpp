#include "storage/lmdb_store.hpp"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/codec.hpp"
#include "storage/file.hpp"
#include "storage/lmdb_check.hpp"
#include "storage/lmdb_guard.hpp"

namespace bftmeta::storage {

namespace {

constexpr std::uint32_t kStoreFormat = 1;
// Snapshots alive at once: those of the versions that are served, and of the requests on them.
constexpr unsigned kMaxReaders = 512;
const std::string kDataFile(kLmdbDataFile);

// The one record of table "meta".
struct GenerationRecord {
  std::uint32_t format = kStoreFormat;
  std::uint64_t generation = 0;
  Bytes root_record;
  Bytes meta;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("generation", s.generation);
    v.field("root_record", s.root_record, Cap{kMaxStoredValue});
    v.field("meta", s.meta, Cap{kMaxStoredValue});
  }
};

MDB_val to_val(ByteView bytes) { return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())}; }
ByteView to_view(const MDB_val& val) {
  return {static_cast<const std::uint8_t*>(val.mv_data), val.mv_size};
}

const ByteView kGenerationKey = view("generation");

// prefix || unused bits of its last byte: compact, keeps a subtree's nodes together, never empty.
Key node_key(const tree::NodeId& id) {
  return Key(id.prefix).append_u8(static_cast<std::uint8_t>(8 * id.prefix.size() - id.bitlen));
}

}  // namespace

class LmdbPageStore::Environment {
 public:
  explicit Environment(std::string directory) : directory_(std::move(directory)) {}
  ~Environment() {
    if (env_ != nullptr) mdb_env_close(env_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  Status open(const LmdbOptions& options);

  MDB_env* get() const { return env_; }
  MDB_dbi leaves() const { return leaves_; }
  MDB_dbi nodes() const { return nodes_; }

  tl::unexpected<Error> error(const char* action, int failed) const {
    const int rc = cause_of(failed);
    const std::lock_guard lock(broken_mutex_);
    // After a panic the file may be sound: a write has failed.
    auto failure = fail(code_of(rc), std::string("cannot ") + action + " the state store in " +
                                         directory_ + ": " + mdb_strerror(rc) + advice(rc));
    if (failure.value().code == Errc::corrupt && rc != MDB_PANIC && !broken_)
      broken_ = failure.value();
    return failure;
  }

  std::optional<Error> broken() const {
    const std::lock_guard lock(broken_mutex_);
    return broken_;
  }

  Result<GenerationRecord> generation(MDB_txn* txn) const {
    MDB_val key = to_val(kGenerationKey);
    MDB_val value{};
    const int rc = mdb_get(txn, meta_, &key, &value);
    if (rc == MDB_NOTFOUND) return GenerationRecord{};
    if (rc != MDB_SUCCESS) return error("read", rc);
    auto record = decode<GenerationRecord>(to_view(value), "generation record");
    if (!record || record->format != kStoreFormat)
      return fail(Errc::corrupt, "the state store in " + directory_ +
                                     " has no readable generation record: " +
                                     (record ? "unknown format" : record.error().message) +
                                     "; it is discarded and fetched from peers");
    return record;
  }

  int put_generation(MDB_txn* txn, const GenerationRecord& record) const {
    const Bytes encoded = encode(record);
    MDB_val key = to_val(kGenerationKey);
    MDB_val value = to_val(encoded);
    return mdb_put(txn, meta_, &key, &value, 0);
  }

 private:
  // A write that comes out short, which is what a full disk does first, is EIO to LMDB.
  int cause_of(int rc) const {
    constexpr std::uint64_t kFull = 1 << 20;
    struct statvfs fs {};
    if (rc != EIO || ::statvfs(directory_.c_str(), &fs) != 0) return rc;
    return fs.f_bavail * fs.f_frsize < kFull ? ENOSPC : rc;
  }

  static Errc code_of(int rc) {
    switch (rc) {
      case MDB_MAP_FULL:
      case ENOSPC:
      case EDQUOT: return Errc::disk_full;
      case MDB_CORRUPTED:
      case MDB_PAGE_NOTFOUND:
      case MDB_PANIC:
      case MDB_INVALID:
      case MDB_VERSION_MISMATCH:
      case MDB_INCOMPATIBLE:
      case EINVAL: return Errc::corrupt;
      case MDB_READERS_FULL: return Errc::busy;
      case MDB_TXN_FULL:
      case MDB_BAD_VALSIZE: return Errc::limit;
      case ENOMEM: return Errc::config;
      case EACCES:
      case EPERM:
      case EROFS: return Errc::permission;
      // Its other codes are for callers' mistakes, which are not made here, and for what it meets
      // in damaged pages.
      default: return rc < 0 ? Errc::corrupt : Errc::io;
    }
  }

  static std::string advice(int rc) {
    switch (code_of(rc)) {
      case Errc::corrupt: return "; it is discarded and fetched from peers";
      case Errc::disk_full:
        return rc == MDB_MAP_FULL ? "; raise its map size in the configuration" : "; free space";
      case Errc::config: return "; choose a smaller map size or raise the address space limit";
      default: return "";
    }
  }

  Status make(const LmdbOptions& options) const;
  Status open_file(const LmdbOptions& options);
  int open_tables();

  const std::string directory_;
  MDB_env* env_ = nullptr;
  MDB_dbi leaves_ = 0;
  MDB_dbi nodes_ = 0;
  MDB_dbi meta_ = 0;
  mutable std::mutex broken_mutex_;
  mutable std::optional<Error> broken_;
};

Status LmdbPageStore::Environment::open(const LmdbOptions& options) {
  const LmdbScope scope;
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return error("make", errno);
  BFTMETA_ASSIGN(const bool made, posix_file_system().exists(directory_ + kDataFile));
  if (!made) BFTMETA_TRY(make(options));
  return open_file(options);
}

// LMDB writes its first pages without a sync, and refuses what a power cut leaves of them. So they
// are made beside, and get their name once they are durable; the name is durable when this returns.
Status LmdbPageStore::Environment::make(const LmdbOptions& options) const {
  FileSystem& fs = posix_file_system();
  const std::string beside = directory_ + ".new";
  const auto clear = [&]() -> Status {
    BFTMETA_ASSIGN(const auto names, fs.list(beside));
    for (const std::string& name : names) BFTMETA_TRY(fs.unlink(beside + "/" + name));
    return fs.remove_directory(beside);
  };
  BFTMETA_ASSIGN(const bool left_over, fs.exists(beside));
  if (left_over) BFTMETA_TRY(clear());
  BFTMETA_TRY(fs.make_directory(beside));
  {
    Environment fresh(beside);
    BFTMETA_TRY(fresh.open_file(options));
    if (const int rc = mdb_env_sync(fresh.env_, 1); rc != MDB_SUCCESS) return error("make", rc);
  }
  BFTMETA_TRY(fs.rename(beside + kDataFile, directory_ + kDataFile));
  BFTMETA_TRY(fs.sync_directory(directory_));
  BFTMETA_TRY(fs.sync_directory(parent_of(directory_)));
  return clear();
}

Status LmdbPageStore::Environment::open_file(const LmdbOptions& options) {
  if (const int rc = mdb_env_create(&env_); rc != MDB_SUCCESS) return error("open", rc);
  int rc = mdb_env_set_maxdbs(env_, 3);
  if (rc == MDB_SUCCESS) rc = mdb_env_set_maxreaders(env_, kMaxReaders);
  if (rc == MDB_SUCCESS) rc = mdb_env_set_mapsize(env_, options.map_bytes);
  if (rc == MDB_SUCCESS)
    rc = mdb_env_open(env_, directory_.c_str(), MDB_NOMETASYNC | MDB_NOTLS, 0600);
  // Slots of a process that was killed would pin its pages for ever.
  if (rc == MDB_SUCCESS) rc = mdb_reader_check(env_, nullptr);
  if (rc == MDB_SUCCESS) rc = open_tables();
  if (rc != MDB_SUCCESS) return error("open", rc);
  return {};
}

int LmdbPageStore::Environment::open_tables() {
  MDB_txn* txn = nullptr;
  int rc = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (rc != MDB_SUCCESS) return rc;
  rc = mdb_dbi_open(txn, "leaves", MDB_CREATE, &leaves_);
  if (rc == MDB_SUCCESS) rc = mdb_dbi_open(txn, "nodes", MDB_CREATE, &nodes_);
  if (rc == MDB_SUCCESS) rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta_);
  if (rc == MDB_SUCCESS) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

// LMDB allows one thread at a time in a read transaction, hence the mutex.
class LmdbPageStore::View final : public tree::Snapshot {
 public:
  static Result<std::shared_ptr<const tree::Snapshot>> open(std::shared_ptr<Environment> env) {
    const LmdbScope scope;
    MDB_txn* txn = nullptr;
    if (const int rc = mdb_txn_begin(env->get(), nullptr, MDB_RDONLY, &txn); rc != MDB_SUCCESS)
      return env->error("read", rc);
    auto view = std::make_shared<View>(std::move(env), txn);
    BFTMETA_ASSIGN(view->record_, view->environment_->generation(txn));
    return view;
  }

  View(std::shared_ptr<Environment> environment, MDB_txn* txn)
      : environment_(std::move(environment)), txn_(txn) {}
  ~View() override {
    const LmdbScope scope;
    mdb_txn_abort(txn_);
  }

  std::uint64_t generation() const override { return record_.generation; }
  Bytes root_record() const override { return record_.root_record; }
  Bytes meta() const override { return record_.meta; }

  Result<std::optional<Bytes>> leaf(const Key& key) const override {
    return find(environment_->leaves(), key);
  }
  Result<std::optional<Bytes>> node(const tree::NodeId& id) const override {
    return find(environment_->nodes(), node_key(id));
  }

  Status scan_leaves(const Key& from, const std::optional<Key>& to,
                     const Visit& visit) const override {
    const LmdbScope scope;
    const std::lock_guard lock(mutex_);
    MDB_cursor* cursor = nullptr;
    if (const int rc = mdb_cursor_open(txn_, environment_->leaves(), &cursor); rc != MDB_SUCCESS)
      return environment_->error("read", rc);
    const Status status = scan(cursor, from, to, visit);
    mdb_cursor_close(cursor);
    return status;
  }

 private:
  Status scan(MDB_cursor* cursor, const Key& from, const std::optional<Key>& to,
              const Visit& visit) const {
    MDB_val key = to_val(from);
    MDB_val value{};
    // An empty key is below all others, and LMDB has none.
    int rc = mdb_cursor_get(cursor, &key, &value, from.size() == 0 ? MDB_FIRST : MDB_SET_RANGE);
    for (; rc == MDB_SUCCESS; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
      if (key.mv_size > Key::kMaxSize) return environment_->error("read", MDB_CORRUPTED);
      const Key found(to_view(key));
      if ((to && found >= *to) || !visit(found, to_view(value))) return {};
    }
    if (rc != MDB_NOTFOUND) return environment_->error("read", rc);
    return {};
  }

  Result<std::optional<Bytes>> find(MDB_dbi table, const Key& id) const {
    if (id.size() == 0) return std::nullopt;
    const LmdbScope scope;
    const std::lock_guard lock(mutex_);
    MDB_val key = to_val(id);
    MDB_val value{};
    const int rc = mdb_get(txn_, table, &key, &value);
    if (rc == MDB_NOTFOUND) return std::nullopt;
    if (rc != MDB_SUCCESS) return environment_->error("read", rc);
    return to_bytes(to_view(value));
  }

  std::shared_ptr<Environment> environment_;
  MDB_txn* txn_;
  GenerationRecord record_;
  mutable std::mutex mutex_;
};

class LmdbPageStore::Writer final : public tree::GenerationWriter {
 public:
  Writer(std::shared_ptr<Environment> environment, MDB_txn* txn, std::uint64_t generation)
      : environment_(std::move(environment)), txn_(txn), generation_(generation) {}
  ~Writer() override {
    const LmdbScope scope;
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }

  Status put_leaf(const Key& key, ByteView value) override {
    return put(environment_->leaves(), key, value, kMaxStoredValue);
  }
  Status erase_leaf(const Key& key) override { return erase(environment_->leaves(), key); }
  Status put_node(const tree::NodeId& id, ByteView record) override {
    return put(environment_->nodes(), node_key(id), record, tree::kMaxNodeRecord);
  }
  Status erase_node(const tree::NodeId& id) override {
    return erase(environment_->nodes(), node_key(id));
  }

  Status erase_region(const tree::Region& region) override {
    const LmdbScope scope;
    BFTMETA_TRY(usable());
    BFTMETA_TRY(erase_where(environment_->leaves(), region,
                            [&](ByteView key) { return region.covers(key, 8 * key.size()); }));
    return erase_where(environment_->nodes(), region, [&](ByteView key) {
      const std::size_t prefix = key.size() - 1;
      const std::size_t unused = key[prefix];
      return unused <= 8 * prefix && region.covers(key.first(prefix), 8 * prefix - unused);
    });
  }

  Result<std::shared_ptr<const tree::Snapshot>> commit(ByteView root_record,
                                                       ByteView meta) override {
    const LmdbScope scope;
    BFTMETA_TRY(usable());
    if (root_record.size() > kMaxStoredValue || meta.size() > kMaxStoredValue)
      return fail(Errc::limit, "root record or meta of a generation is too large");
    int rc = environment_->put_generation(
        txn_, {kStoreFormat, generation_, to_bytes(root_record), to_bytes(meta)});
    if (rc == MDB_SUCCESS) {
      rc = mdb_txn_commit(std::exchange(txn_, nullptr));
    }
    if (rc != MDB_SUCCESS) return environment_->error("commit to", rc);
    return View::open(environment_);
  }

 private:
  Status usable() const {
    if (txn_ == nullptr) return fail(Errc::internal, "this generation is already committed");
    return {};
  }

  Status put(MDB_dbi table, const Key& id, ByteView bytes, std::size_t max_size) {
    const LmdbScope scope;
    BFTMETA_TRY(usable());
    if (id.size() == 0 || bytes.size() > max_size)
      return fail(Errc::limit, "a record of " + std::to_string(bytes.size()) +
                                   " bytes under key 0x" + to_hex(id) +
                                   " does not fit the state store");
    MDB_val key = to_val(id);
    MDB_val value = to_val(bytes);
    if (const int rc = mdb_put(txn_, table, &key, &value, 0); rc != MDB_SUCCESS)
      return environment_->error("write", rc);
    return {};
  }

  Status erase(MDB_dbi table, const Key& id) {
    const LmdbScope scope;
    BFTMETA_TRY(usable());
    if (id.size() == 0) return {};
    MDB_val key = to_val(id);
    const int rc = mdb_del(txn_, table, &key, nullptr);
    if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) return environment_->error("write", rc);
    return {};
  }

  // Of the records between the region's first key and the first one behind it.
  template <class Matches>
  Status erase_where(MDB_dbi table, const tree::Region& region, const Matches& matches) {
    MDB_cursor* cursor = nullptr;
    if (const int rc = mdb_cursor_open(txn_, table, &cursor); rc != MDB_SUCCESS)
      return environment_->error("write", rc);
    const std::optional<Key> end = region.end();
    MDB_val key = to_val(region.prefix);
    MDB_val value{};
    int rc =
        mdb_cursor_get(cursor, &key, &value, region.prefix.size() == 0 ? MDB_FIRST : MDB_SET_RANGE);
    for (; rc == MDB_SUCCESS; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
      const ByteView found = to_view(key);
      if (end && !std::ranges::lexicographical_compare(found, ByteView(*end))) break;
      if (found.empty() || !matches(found)) continue;
      rc = mdb_cursor_del(cursor, 0);
      if (rc != MDB_SUCCESS) break;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) return environment_->error("write", rc);
    return {};
  }

  std::shared_ptr<Environment> environment_;
  MDB_txn* txn_;
  const std::uint64_t generation_;
};

LmdbPageStore::LmdbPageStore(std::shared_ptr<Environment> environment)
    : environment_(std::move(environment)) {}

LmdbPageStore::~LmdbPageStore() = default;

Result<std::unique_ptr<LmdbPageStore>> LmdbPageStore::open(const std::string& directory,
                                                           const LmdbOptions& options) {
  auto environment = std::make_shared<Environment>(directory);
  BFTMETA_TRY(environment->open(options));
  std::unique_ptr<LmdbPageStore> store(new LmdbPageStore(std::move(environment)));
  BFTMETA_TRY(store->snapshot());
  return store;
}

Result<std::shared_ptr<const tree::Snapshot>> LmdbPageStore::snapshot() const {
  return View::open(environment_);
}

Result<std::unique_ptr<tree::GenerationWriter>> LmdbPageStore::begin() {
  const LmdbScope scope;
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(environment_->get(), nullptr, 0, &txn); rc != MDB_SUCCESS)
    return environment_->error("write", rc);
  const auto newest = environment_->generation(txn);
  if (!newest) {
    mdb_txn_abort(txn);
    return tl::make_unexpected(newest.error());
  }
  return std::make_unique<Writer>(environment_, txn, newest->generation + 1);
}

Status LmdbPageStore::sync() {
  const LmdbScope scope;
  if (const int rc = mdb_env_sync(environment_->get(), 1); rc != MDB_SUCCESS)
    return environment_->error("sync", rc);
  return {};
}

std::optional<Error> LmdbPageStore::broken() const { return environment_->broken(); }

std::uint64_t LmdbPageStore::used_bytes() const {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(environment_->get(), &info);
  mdb_env_stat(environment_->get(), &stat);
  return (info.me_last_pgno + 1) * std::uint64_t{stat.ms_psize};
}

std::uint64_t LmdbPageStore::map_bytes() const {
  MDB_envinfo info{};
  mdb_env_info(environment_->get(), &info);
  return info.me_mapsize;
}

}  // namespace bftmeta::storage
