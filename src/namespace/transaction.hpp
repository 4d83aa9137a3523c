// One operation in progress: typed writes over the overlay, the effective caller and agreed time.
// The operations of this room are free functions on it, one file per family; each checks everything
// before its first write. Thread-safety: one thread.
#pragma once

#include "namespace/view.hpp"
#include "tree/overlay.hpp"

namespace bftmeta::ns {

class Transaction : public View {
 public:
  Transaction(tree::Overlay& overlay, const Context& context, Credentials who)
      : View(overlay), overlay_(overlay), context_(context), who_(std::move(who)) {}

  const Context& context() const { return context_; }
  const Credentials& who() const { return who_; }
  std::int64_t now() const { return context_.now_ns(); }
  tree::Overlay& overlay() { return overlay_; }

  schema::Code resolve(const schema::Target& target, Inode& inode) const {
    return View::resolve(target, &who_, context_.rules->strict, inode);
  }
  // The directory in which `name` is to be found or made: a directory, the name valid, search
  // permitted.
  schema::Code resolve_parent(const schema::Target& target, const schema::Name& name,
                              Inode& directory) const;
  // An inode that is named by number alone; not for strict principals.
  schema::Code resolve_handle(std::uint64_t ino, Inode& inode) const;
  // An entry and its inode.
  schema::Code find(const Inode& directory, const schema::Name& name, Key& key, Inode& inode) const;

  // ctime and version; every change of an inode goes through here, once.
  void changed(Inode& inode) const;
  // Entries of a directory changed: mtime too.
  void entries_changed(Inode& directory) const;
  void store(const Inode& inode);
  void put_entry(const Key& key, std::uint64_t ino, schema::FileType type, ByteView name);

  schema::Code load_counters(schema::Counters& counters) const;
  void store_counters(const schema::Counters& counters);
  // Counts a regular file's change of size. Code::no_space: the total would overflow.
  schema::Code count_bytes(std::uint64_t before, std::uint64_t after);

  template <class T>
  void put(const Key& key, const T& record) {
    overlay_.put(key, encode(record));
  }

 private:
  tree::Overlay& overlay_;
  const Context& context_;
  Credentials who_;
};

// The operations (schema/operations.hpp says what each answers). `reply` is filled on Code::ok.
schema::Code set_attributes(Transaction&, const schema::SetAttributes&, schema::InodeReply& reply);
schema::Code make_node(Transaction&, const schema::MakeNode&, schema::InodeReply& reply);
schema::Code link(Transaction&, const schema::Link&, schema::InodeReply& reply);
schema::Code remove(Transaction&, const schema::Remove&, schema::InodeReply& reply);
schema::Code rename(Transaction&, const schema::Rename&, schema::InodeReply& reply);
schema::Code set_xattr(Transaction&, const schema::SetXattr&);
schema::Code remove_xattr(Transaction&, const schema::RemoveXattr&);
schema::Code commit_data(Transaction&, const schema::CommitData&, schema::InodeReply& reply);
schema::Code hold(Transaction&, const schema::Hold&);
schema::Code register_client(Transaction&, const schema::RegisterClient&);
schema::Code change_config(Transaction&, const schema::ChangeConfig&);

// ---- shared by operations

// Code::not_empty unless the subtree of its entries has no leaf.
schema::Code check_empty(const Transaction& t, const Inode& directory);
// Takes one name of `victim` away (its dirent is the caller's affair) and disposes of it when that
// was the last: a directory or a symlink at once, anything else becomes an orphan.
schema::Code drop_name(Transaction& t, Inode& victim);
// Removes the attribute leaf and everything else of an inode from state and counters; a large one
// leaves a garbage record behind.
schema::Code dispose(Transaction& t, const Inode& inode);
// Erases the first `limit` leaves under a prefix. `all`: none is left.
schema::Code erase_leaves(Transaction& t, const Key& prefix, std::size_t limit, std::size_t& erased,
                          bool& all);

// Gives a regular file the size: contents behind it die. Neither touches times nor stores.
// Code::try_again: a purge is under way that this would disturb.
schema::Code resize(Transaction& t, Inode& file, std::uint64_t size);

}  // namespace bftmeta::ns
