#include "fuse/open_files.hpp"

namespace bftmeta::fuse {

OpenFilePtr OpenFiles::acquire(std::uint64_t ino) {
  std::lock_guard lock(mutex_);
  Entry& entry = files_[ino];
  if (!entry.file) entry.file = std::make_shared<OpenFile>(ino, services_);
  ++entry.handles;
  return entry.file;
}

OpenFilePtr OpenFiles::find(std::uint64_t ino) {
  std::lock_guard lock(mutex_);
  const auto it = files_.find(ino);
  return it == files_.end() ? nullptr : it->second.file;
}

bool OpenFiles::release(const OpenFilePtr& file) {
  std::lock_guard lock(mutex_);
  const auto it = files_.find(file->ino);
  if (it == files_.end() || --it->second.handles > 0) return false;
  files_.erase(it);
  return true;
}

std::vector<OpenFilePtr> OpenFiles::all() {
  std::lock_guard lock(mutex_);
  std::vector<OpenFilePtr> files;
  files.reserve(files_.size());
  for (const auto& [ino, entry] : files_) files.push_back(entry.file);
  return files;
}

}  // namespace bftmeta::fuse
