// Opening the state store of a data directory, whatever is wrong with it: what may not be opened
// (store_marks.hpp), has damaged pages after a crash, or cannot be read, is set aside, and the
// state comes from the log and the other replicas. Thread-safety: one thread.
#pragma once

#include <functional>

#include "replica/store_marks.hpp"
#include "storage/data_dir.hpp"

namespace bftmeta::replica {

// `read` opens the store and everything above it; Errc::corrupt from it sets the store aside, and
// it is called again, on an empty one. Where it fails it leaves the store closed.
// Errors: what else `read` says; corrupt (twice within StoreMarks::kInARow); io, permission.
Status open_state_store(StoreMarks& marks, const storage::DataDirectory& directory,
                        const std::function<Status()>& read);

}  // namespace bftmeta::replica
