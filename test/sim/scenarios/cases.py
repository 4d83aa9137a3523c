#!/usr/bin/env python3
"""cases.py OUTPUT FILE...: one doctest case for each scenario file, under the title in its first line."""

import pathlib
import sys


def main():
    output, files = sys.argv[1], sorted(pathlib.Path(f) for f in sys.argv[2:])
    lines = ["#include <doctest/doctest.h>", "", '#include "sim/scenario_case.hpp"', ""]
    for file in files:
        with file.open(encoding="utf-8") as text:
            title = text.readline().removeprefix("# ").strip()
        lines.append(f'TEST_CASE("{title} ({file.name})") {{ bftmeta::sim::run_file("{file.name}"); }}')
    pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")


main()
