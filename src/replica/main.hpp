// The command line of bftmetad, which bftmetad-evil shares. Thread-safety: main thread.
#pragma once

#include <functional>
#include <memory>

#include "replica/setup.hpp"

namespace bftmeta::replica {

// May bend what is no message of the core in `setup`, too.
using MakeInterceptor = std::function<Result<std::unique_ptr<consensus::Interceptor>>(
    const std::string& strategy, Setup& setup)>;

// Exit code of the process. With `make`, an option --strategy NAME is there too.
int run_main(int argc, char** argv, const MakeInterceptor& make);

}  // namespace bftmeta::replica
