#include "replica/main.hpp"

int main(int argc, char** argv) { return bftmeta::replica::run_main(argc, argv, nullptr); }
