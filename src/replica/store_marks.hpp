// What a data directory remembers of its state store, which must outlive the process: why the next
// start must not open it, or must look at it first, and when it was set aside last. A store that
// cannot be read is moved to `state.damaged` (one is kept), and the state comes from log and peers;
// never the log. Twice within an hour, and the replica stays down: then something else is wrong.
// Thread-safety: one thread, but for the signal handler that arm() installs.
#pragma once

#include "storage/file.hpp"

namespace bftmeta::replica {

class StoreMarks {
 public:
  static constexpr std::int64_t kInARow = 3600;  // seconds

  // `data_dir` holds `state`.
  StoreMarks(storage::FileSystem& fs, std::string data_dir)
      : fs_(fs), data_dir_(std::move(data_dir)) {}

  // Why the store must not be opened; empty: nothing is known against it. Errors: io, permission.
  Result<std::string> suspicion();
  // A signal has ended the process, and not while it read the store. LMDB may still be to blame: a
  // damaged page makes it write outside its buffers. Check the file before it is opened again.
  Result<bool> crashed();
  // It was checked, and is sound.
  Status forget_crash();
  // Durable: the next start does not open it.
  Status suspect(const std::string& why);
  // From now on a signal that ends this process is noted: as a suspicion while it reads the store,
  // as a crash at any other time.
  Status arm();
  // Moves the store away. `now_s`: wall clock. Errors: corrupt (again within kInARow: stay down),
  // io, permission.
  Status set_aside(const std::string& why, std::int64_t now_s);

 private:
  std::string suspicion_path() const { return data_dir_ + "/state-suspect"; }
  std::string crash_path() const { return data_dir_ + "/state-check"; }
  std::string record_path() const { return data_dir_ + "/state-set-aside"; }
  Result<std::string> read(const std::string& path);  // empty: there is none
  Status forget(const std::string& path);
  Result<std::int64_t> last_time();
  Status remove_store(const std::string& path);

  storage::FileSystem& fs_;
  const std::string data_dir_;
};

}  // namespace bftmeta::replica
