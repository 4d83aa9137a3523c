// The kernel side of a mount: handlers, mount call, request loop, signals. Thread-safety: run() is
// called once, on the main thread.
#pragma once

#include "fuse/mount.hpp"

namespace bftmeta::fuse {

// Signals that end a mount are blocked in every thread that is started after this; run() takes them
// on the main thread.
void block_ending_signals();

// Mounts, calls mount.on_ready when the kernel is served, serves until the mount point is unmounted
// or SIGTERM, SIGINT or SIGHUP comes, commits what is dirty, unmounts. Errors: permission or io, if
// it could not be mounted; io, if written data was lost at the end.
Status run(Mount& mount);

}  // namespace bftmeta::fuse
