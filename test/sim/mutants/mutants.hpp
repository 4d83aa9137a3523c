// The registry of src/base/mutant.hpp: what each defect is called, which rule it breaks, and, where
// a random run would seldom meet it, what to run against it. Thread-safety: constants.
#pragma once

#include <span>

#include "base/mutant.hpp"

namespace bftmeta::mutants {

struct Entry {
  Mutant mutant;
  const char* name;
  const char* rule;      // section of docs/protocol.md's source and what holds without the defect
  const char* strategy;  // of a replica or client; empty: by the seed
};

std::span<const Entry> all();

}  // namespace bftmeta::mutants
