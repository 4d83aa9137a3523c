#include "sim/disk.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim {

using storage::File;
using storage::FileLock;
using storage::OpenMode;

struct SimulatedDisk::Node {
  bool is_directory = false;

  // A file: what programs see, what the disk holds, and the sectors in which they may differ.
  Bytes cached;
  Bytes durable;
  std::set<std::size_t> dirty;
  std::set<std::uint64_t> unreadable;

  // A directory: the same for names. Each change is atomic; nullptr removes a name.
  Names names;
  Names durable_names;
  std::vector<Names> pending;

  void write_back(std::size_t sector) {
    const std::size_t begin = sector * kSector;
    const std::size_t end = std::min(begin + kSector, cached.size());
    if (begin >= end) return;
    if (durable.size() < end) durable.resize(end);
    std::copy(cached.begin() + static_cast<std::ptrdiff_t>(begin),
              cached.begin() + static_cast<std::ptrdiff_t>(end),
              durable.begin() + static_cast<std::ptrdiff_t>(begin));
  }
};

namespace {

std::string last_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

class SimulatedDisk::OpenFile final : public File {
 public:
  OpenFile(SimulatedDisk& disk, NodePtr node)
      : disk_(disk), node_(std::move(node)), epoch_(disk.epoch_) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    const std::lock_guard lock(disk_.mutex_);
    BFTMETA_TRY(usable());
    const Bytes& bytes = node_->cached;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t n = std::min<std::size_t>(out.size(), bytes.size() - offset);
    const auto bad = node_->unreadable.lower_bound(offset);
    if (bad != node_->unreadable.end() && *bad < offset + n)
      return fail(Errc::io, "unreadable sector at " + std::to_string(*bad));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    return n;
  }

  Status write_at(std::uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(disk_.mutex_);
    BFTMETA_TRY(usable());
    const Power power = disk_.tick();
    if (power == Power::off) return disk_.power_status(power);
    if (disk_.misdirect_in_ && (*disk_.misdirect_in_)-- == 0) {
      offset = static_cast<std::uint64_t>(static_cast<std::int64_t>(offset) + disk_.misdirect_by_);
      disk_.misdirect_in_.reset();
    }
    Bytes& cached = node_->cached;
    const std::uint64_t end = offset + bytes.size();
    BFTMETA_TRY(grow(end));
    std::ranges::copy(bytes, cached.begin() + static_cast<std::ptrdiff_t>(offset));
    for (std::uint64_t s = offset / kSector; s * kSector < end; ++s) node_->dirty.insert(s);
    return disk_.power_status(power);
  }

  Status allocate(std::uint64_t size) override {
    const std::lock_guard lock(disk_.mutex_);
    BFTMETA_TRY(usable());
    const Power power = disk_.tick();
    if (power == Power::off) return disk_.power_status(power);
    BFTMETA_TRY(grow(size));
    return disk_.power_status(power);
  }

  Status sync_data() override {
    const std::lock_guard lock(disk_.mutex_);
    return sync_locked();
  }

  Status reload() override {
    const std::lock_guard lock(disk_.mutex_);
    if (!node_->dirty.empty()) BFTMETA_TRY(sync_locked());
    BFTMETA_TRY(usable());
    node_->cached = node_->durable;
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(disk_.mutex_);
    BFTMETA_TRY(usable());
    return node_->cached.size();
  }

 private:
  Status usable() const {
    if (epoch_ != disk_.epoch_) return fail(Errc::io, "the file was open before a power cut");
    return disk_.power_status(disk_.powered_ ? Power::on : Power::off);
  }

  Status grow(std::uint64_t end) {
    Bytes& cached = node_->cached;
    if (end <= cached.size()) return {};
    const std::uint64_t growth = end - cached.size();
    if (disk_.capacity_ && disk_.used(*disk_.root_) + growth > *disk_.capacity_)
      return fail(Errc::disk_full, "no space left on the simulated disk");
    cached.resize(end);
    return {};
  }

  Status sync_locked() {
    BFTMETA_TRY(usable());
    const Power power = disk_.tick();
    if (power != Power::on) return disk_.power_status(power);
    if (disk_.fail_sync_) {
      // The pages are clean now, although the disk never got them.
      disk_.fail_sync_ = false;
      node_->dirty.clear();
      return fail(Errc::io, "sync failed: input/output error");
    }
    for (const std::size_t sector : node_->dirty) node_->write_back(sector);
    node_->dirty.clear();
    if (node_->durable.size() < node_->cached.size()) node_->durable.resize(node_->cached.size());
    return {};
  }

  SimulatedDisk& disk_;
  NodePtr node_;
  const std::uint64_t epoch_;
};

class SimulatedDisk::HeldLock final : public FileLock {
 public:
  HeldLock(SimulatedDisk& disk, std::string path)
      : disk_(disk), path_(std::move(path)), epoch_(disk.epoch_) {}
  ~HeldLock() override {
    const std::lock_guard lock(disk_.mutex_);
    if (epoch_ == disk_.epoch_) disk_.locked_.erase(path_);
  }

 private:
  SimulatedDisk& disk_;
  const std::string path_;
  const std::uint64_t epoch_;
};

SimulatedDisk::SimulatedDisk(std::uint64_t seed) : random_(seed), root_(std::make_shared<Node>()) {
  root_->is_directory = true;
}

SimulatedDisk::~SimulatedDisk() = default;

void SimulatedDisk::cut_power_at(std::uint64_t n) {
  const std::lock_guard lock(mutex_);
  cut_at_ = operations_ + n;
}

void SimulatedDisk::restart(Survival survival) {
  const std::lock_guard lock(mutex_);
  settle(*root_, survival);
  ++epoch_;
  powered_ = true;
  cut_at_.reset();
  misdirect_in_.reset();
  locked_.clear();
}

void SimulatedDisk::fail_next_sync() {
  const std::lock_guard lock(mutex_);
  fail_sync_ = true;
}

void SimulatedDisk::misdirect_write(std::uint64_t n, std::int64_t distance) {
  const std::lock_guard lock(mutex_);
  misdirect_in_ = n;
  misdirect_by_ = distance;
}

void SimulatedDisk::rot(const std::string& path, std::uint64_t offset, std::uint8_t mask) {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  BFTMETA_ASSERT(node != nullptr && offset < node->durable.size());
  node->durable[offset] ^= mask;
  node->cached[offset] ^= mask;
}

void SimulatedDisk::make_unreadable(const std::string& path, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  BFTMETA_ASSERT(node != nullptr);
  node->unreadable.insert(offset);
}

void SimulatedDisk::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

std::uint64_t SimulatedDisk::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

Bytes SimulatedDisk::contents(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  return node == nullptr ? Bytes{} : node->cached;
}

Bytes SimulatedDisk::durable_contents(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  return node == nullptr ? Bytes{} : node->durable;
}

SimulatedDisk::Power SimulatedDisk::tick() {
  if (!powered_) return Power::off;
  const bool goes_off = cut_at_ && operations_ == *cut_at_;
  ++operations_;
  if (goes_off) powered_ = false;
  return goes_off ? Power::goes_off : Power::on;
}

Status SimulatedDisk::power_status(Power power) const {
  if (power == Power::on) return {};
  return fail(Errc::io, "the simulated power is off");
}

SimulatedDisk::NodePtr SimulatedDisk::find(const std::string& path) const {
  NodePtr node = root_;
  for (std::size_t at = 0; at < path.size() && node != nullptr;) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string name = path.substr(at, end - at);
    at = end + 1;
    if (name.empty() || name == ".") continue;
    const auto it = node->names.find(name);
    node = it == node->names.end() ? nullptr : it->second;
  }
  return node;
}

SimulatedDisk::NodePtr SimulatedDisk::find_directory(const std::string& path) const {
  NodePtr node = find(path);
  return node != nullptr && node->is_directory ? node : nullptr;
}

Status SimulatedDisk::change(const std::string& directory, Names changes) {
  const NodePtr node = find_directory(directory);
  if (node == nullptr) return fail(Errc::not_found, "no directory " + directory);
  const Power power = tick();
  if (power == Power::off) return power_status(power);
  for (const auto& [name, target] : changes) {
    if (target == nullptr)
      node->names.erase(name);
    else
      node->names[name] = target;
  }
  node->pending.push_back(std::move(changes));
  return power_status(power);
}

bool SimulatedDisk::keep(Survival survival) {
  return survival == Survival::all || (survival == Survival::some && random_() % 2 == 0);
}

void SimulatedDisk::settle(Node& node, Survival survival) {
  if (!node.is_directory) {
    for (const std::size_t sector : node.dirty)
      if (keep(survival)) node.write_back(sector);
    node.dirty.clear();
    node.cached = node.durable;
    return;
  }
  for (const Names& changes : node.pending) {
    if (!keep(survival)) break;
    for (const auto& [name, target] : changes) {
      if (target == nullptr)
        node.durable_names.erase(name);
      else
        node.durable_names[name] = target;
    }
  }
  node.pending.clear();
  node.names = node.durable_names;
  for (const auto& [name, child] : node.names) settle(*child, survival);
}

std::uint64_t SimulatedDisk::used(const Node& node) const {
  std::uint64_t total = node.cached.size();
  for (const auto& [name, child] : node.names) total += used(*child);
  return total;
}

Result<std::unique_ptr<File>> SimulatedDisk::open(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  BFTMETA_TRY(power_status(powered_ ? Power::on : Power::off));
  NodePtr node = find(path);
  if (mode == OpenMode::create) {
    if (node != nullptr) return fail(Errc::already_exists, path + " exists already");
    node = std::make_shared<Node>();
    BFTMETA_TRY(change(storage::parent_of(path), {{last_name(path), node}}));
  }
  if (node == nullptr || node->is_directory) return fail(Errc::not_found, "no file " + path);
  return std::make_unique<OpenFile>(*this, node);
}

Result<bool> SimulatedDisk::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  BFTMETA_TRY(power_status(powered_ ? Power::on : Power::off));
  return find(path) != nullptr;
}

Result<std::vector<std::string>> SimulatedDisk::list(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  BFTMETA_TRY(power_status(powered_ ? Power::on : Power::off));
  const NodePtr node = find_directory(directory);
  if (node == nullptr) return fail(Errc::not_found, "no directory " + directory);
  std::vector<std::string> names;
  for (const auto& [name, child] : node->names) names.push_back(name);
  return names;
}

Status SimulatedDisk::make_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (find(path) != nullptr) return fail(Errc::already_exists, path + " exists already");
  const NodePtr node = std::make_shared<Node>();
  node->is_directory = true;
  return change(storage::parent_of(path), {{last_name(path), node}});
}

Status SimulatedDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const std::string directory = storage::parent_of(from);
  if (directory != storage::parent_of(to))
    return fail(Errc::io, "the simulated disk renames within one directory only");
  const NodePtr node = find(from);
  if (node == nullptr) return fail(Errc::not_found, "no file " + from);
  return change(directory, {{last_name(from), nullptr}, {last_name(to), node}});
}

Status SimulatedDisk::unlink(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find(path);
  if (node == nullptr || node->is_directory) return fail(Errc::not_found, "no file " + path);
  return change(storage::parent_of(path), {{last_name(path), nullptr}});
}

Status SimulatedDisk::remove_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find_directory(path);
  if (node == nullptr || !node->names.empty()) return fail(Errc::io, "no empty directory " + path);
  return change(storage::parent_of(path), {{last_name(path), nullptr}});
}

Status SimulatedDisk::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const NodePtr node = find_directory(path);
  if (node == nullptr) return fail(Errc::not_found, "no directory " + path);
  const Power power = tick();
  if (power != Power::on) return power_status(power);
  node->durable_names = node->names;
  node->pending.clear();
  return {};
}

Result<std::unique_ptr<FileLock>> SimulatedDisk::lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!locked_.insert(path).second) return fail(Errc::busy, path + " is locked");
  return std::make_unique<HeldLock>(*this, path);
}

}  // namespace bftmeta::sim
