// One-line messages of the mount: to standard error in the foreground, else to syslog. More than a
// few in one second are counted instead of written, so that a dead cluster does not fill a disk.
// Thread-safety: all functions.
#pragma once

#include <string>

namespace bftmeta::fuse {

void log_to_syslog();
void log_line(const std::string& line);

}  // namespace bftmeta::fuse
