#include "namespace/apply.hpp"

#include "namespace/transaction.hpp"

namespace bftmeta::ns {

using schema::Code;

namespace {

// Answers with nothing but a Code, and changes nothing: sessions are execution's.
constexpr Code nothing() { return Code::ok; }

Code execute(Transaction& t, const schema::OperationBody& body,
             std::optional<schema::InodeReply>& reply) {
  const auto with_inode = [&](auto operation, const auto& arguments) {
    schema::InodeReply inode;
    const Code code = operation(t, arguments, inode);
    if (code == Code::ok) reply = inode;
    return code;
  };
  struct Visitor {
    Transaction& t;
    const decltype(with_inode)& inode;
    Code operator()(const schema::Noop&) const { return nothing(); }
    Code operator()(const schema::CloseSession&) const { return nothing(); }
    Code operator()(const schema::SetAttributes& o) const { return inode(set_attributes, o); }
    Code operator()(const schema::MakeNode& o) const { return inode(make_node, o); }
    Code operator()(const schema::Link& o) const { return inode(link, o); }
    Code operator()(const schema::Remove& o) const { return inode(remove, o); }
    Code operator()(const schema::Rename& o) const { return inode(rename, o); }
    Code operator()(const schema::CommitData& o) const { return inode(commit_data, o); }
    Code operator()(const schema::SetXattr& o) const { return set_xattr(t, o); }
    Code operator()(const schema::RemoveXattr& o) const { return remove_xattr(t, o); }
    Code operator()(const schema::Hold& o) const { return hold(t, o); }
    Code operator()(const schema::RegisterClient& o) const { return register_client(t, o); }
    Code operator()(const schema::ChangeConfig& o) const { return change_config(t, o); }
  };
  return std::visit(Visitor{t, with_inode}, body);
}

}  // namespace

schema::OpResult apply(tree::Overlay& overlay, const Context& context,
                       const schema::Operation& operation) {
  schema::OpResult result;
  auto who = effective_caller(*context.rules, operation.caller);
  if (!who) {
    result.code = Code::not_permitted;
    return result;
  }
  const tree::Overlay::Savepoint before = overlay.savepoint();
  Transaction t(overlay, context, std::move(*who));
  result.code = execute(t, operation.body, result.inode);
  if (t.unknown()) result = {Code::io_error, std::nullopt};
  if (result.code != Code::ok) overlay.rollback(before);
  return result;
}

}  // namespace bftmeta::ns
