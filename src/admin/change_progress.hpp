// How far a change of the members has got, in words: the quorums before and after, and who is
// missing. Thread-safety: pure functions.
#pragma once

#include "admin/cluster.hpp"

namespace bftmeta::admin {

// "3 of 4"
std::string quorum_text(const config::Config& config);

// Why the step from `now` to `next` is not in force. `heard`: the newest certified answer about it,
// if there was one. `status`: of the members of `now`, since no member of `next` alone answers yet.
std::string change_progress(const config::Config& now, const config::Config& next,
                            const std::optional<ns::MembershipAnswer>& heard,
                            const ClusterStatus& status);

}  // namespace bftmeta::admin
