#!/usr/bin/env python3
"""Lines of the CUDA kernels that the op tests execute on the simulated device: all of them, or fail.

    coverage.py [--root TREE] [--work DIR] [--jobs N]

A branch of a kernel that no test takes is one that nobody has verified. Lines count once however
many template instances they have; what is compiled away in all of them does not count.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

PROGRAMS = ("test_cuda_products", "test_cuda_rows", "test_made_weights", "test_limits")
# Lines that cannot run in a simulation, by their text.
EXEMPT = ()


def count_lines(objects):
    """{file: {line: executions}} of cuda/."""
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    for data in objects.rglob("*.gcda"):
        text = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(data)],
            capture_output=True,
            text=True,
            check=True,
            cwd=objects,
        ).stdout
        for report in text.splitlines():
            for file in json.loads(report)["files"]:
                path = pathlib.Path(file["file"])
                if path.parent.name == "cuda" and path.suffix in (".cu", ".cuh"):
                    for line in file["lines"]:
                        counts[path.name][line["line_number"]] += line["count"]
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--root", type=pathlib.Path, default=root)
    parser.add_argument("--work", type=pathlib.Path, default=root / "build/coverage")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of the compiler")
    options = parser.parse_args()

    configure = ["cmake", "-S", str(options.root), "-B", str(options.work), "-G", "Ninja"]
    configure += ["-DCMAKE_BUILD_TYPE=Release", "-DCUDA_SIM_COVERAGE=ON"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    build = ["ninja", "-C", str(options.work), "-j", str(options.jobs), *PROGRAMS]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    for data in options.work.rglob("*.gcda"):
        data.unlink()
    for program in PROGRAMS:
        environment = {"FLUXBENCH_CUBLASLT": "0", "CUDA_SIM_CHECKS": "0", "PATH": "/usr/bin:/bin"}
        subprocess.run(
            [str(options.work / "tests/cuda" / program)],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
    counts = count_lines(options.work / "tests/cuda_sim")
    n_lines = n_missed = 0
    for name in sorted(counts):
        source = (options.root / "cuda" / name).read_text().splitlines()
        for line, count in sorted(counts[name].items()):
            text = source[line - 1].strip()
            if any(mark in text for mark in EXEMPT):
                continue
            n_lines += 1
            if count == 0:
                n_missed += 1
                print("cuda/%s:%d: %s" % (name, line, text))
    print("%d lines, %d never executed" % (n_lines, n_missed))
    sys.exit(1 if n_missed or not n_lines else 0)


if __name__ == "__main__":
    main()
