// What admins sign, and whether enough of them did. Thread-safety: pure functions.
#pragma once

#include "namespace/context.hpp"

namespace bftmeta::ns {

// A statement may be carried by anybody, at most this long ahead of its end.
constexpr std::uint64_t kStatementValidityUs = 3'600'000'000;

// Code::invalid: too late, or valid for too long ahead.
schema::Code check_validity(const Context& context, std::uint64_t valid_until_us);

// Code::not_permitted unless at least admin_threshold distinct admins of the configuration in force
// signed `body` (encoded) under `tag`.
schema::Code check_signatures(const Context& context, const tags::Tag& tag, const Bytes& body,
                              const std::vector<schema::AdminSignature>& signatures);

}  // namespace bftmeta::ns
