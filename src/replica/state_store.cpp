#include "replica/state_store.hpp"

#include <chrono>

#include "replica/log.hpp"
#include "storage/lmdb_check.hpp"

namespace bftmeta::replica {

namespace {

// What is wrong with the pages of the store, if the last process ended by a signal.
Result<std::string> check_after_crash(StoreMarks& marks, const std::string& path) {
  BFTMETA_ASSIGN(const bool crashed, marks.crashed());
  if (!crashed) return "";
  const Status sound = storage::check_lmdb_file(storage::posix_file_system(), path);
  if (!sound) return "the last process ended by a signal; " + sound.error().message;
  log_line(LogLevel::warn, "the last process ended by a signal; the pages of the state store in " +
                               path + " were checked and are sound");
  BFTMETA_TRY(marks.forget_crash());
  return "";
}

Status set_aside(StoreMarks& marks, const std::string& path, const std::string& why) {
  const std::int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count();
  BFTMETA_TRY(marks.set_aside(why, now_s));
  log_line(LogLevel::error,
           why + "; it is in " + path +
               ".damaged now, and the state comes from the log and the other replicas");
  return {};
}

}  // namespace

Status open_state_store(StoreMarks& marks, const storage::DataDirectory& directory,
                        const std::function<Status()>& read) {
  const std::string path = directory.state_path();
  BFTMETA_ASSIGN(std::string suspicion, marks.suspicion());
  if (suspicion.empty()) {
    BFTMETA_ASSIGN(suspicion, check_after_crash(marks, path));
  }
  if (!suspicion.empty()) BFTMETA_TRY(set_aside(marks, path, suspicion));
  BFTMETA_TRY(marks.arm());
  const Status status = read();
  if (status || status.error().code != Errc::corrupt) return status;
  BFTMETA_TRY(set_aside(marks, path, status.error().message));
  BFTMETA_TRY(marks.arm());
  return read();
}

}  // namespace bftmeta::replica
