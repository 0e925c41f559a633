#!/usr/bin/env python3
"""Break the CUDA kernels on purpose, one place at a time; the op tests must notice each break.

    mutants.py [--root TREE] [--work DIR] [--only REGEX] [--no-ptx] [--jobs N]

Works on a shadow of the tree in which cuda/ is a copy and everything else a link. A mutant is built
with the simulated device and run until the first test fails. Those inside inline PTX need front end
P (and nvcc), since front end S runs the host's twins instead. A mutation whose text is no longer
in the source is an error: it has to be renewed with the kernel.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

from mutant_table import MUTANTS

TIMEOUT_S = 600
PROGRAMS = {
    "products": "test_cuda_products",
    "rows": "test_cuda_rows",
    "ptx": "test_cuda_products_ptx_90",
    "stream": "test_stream",
    "limits": "test_limits",
    "made": "test_made_weights",
}


def make_shadow(root, shadow):
    """The tree as links, cuda/ as a copy that is newer than what a run before left behind."""
    shadow.mkdir(parents=True, exist_ok=True)
    for entry in root.iterdir():
        link = shadow / entry.name
        if entry.name in ("cuda", "build", ".git") or link.exists():
            continue
        link.symlink_to(entry)
    shutil.rmtree(shadow / "cuda", ignore_errors=True)
    shutil.copytree(root / "cuda", shadow / "cuda", copy_function=shutil.copyfile)


def build(build_dir, program, jobs):
    command = ["ninja", "-C", str(build_dir), "-j", str(jobs), program]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout


def first_failure(build_dir, program):
    """Name of the first test that fails, None when all pass."""
    process = subprocess.Popen(
        [str(build_dir / "tests/cuda" / program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"FLUXBENCH_CUBLASLT": "0", "CUDA_SIM_ARCH": "90", "PATH": "/usr/bin:/bin"},
    )
    try:
        for line in process.stdout:
            if "FAILED" in line:
                return line.split("]", 1)[1].strip()
        code = process.wait(TIMEOUT_S)
        return "exit code %d" % code if code else None
    finally:
        process.kill()
        process.wait()


def mutate(text, mutant):
    """The text with one occurrence changed, None if it does not occur."""
    at = -1
    for _ in range(mutant.occurrence):
        at = text.find(mutant.old, at + 1)
        if at < 0:
            return None
    return text[:at] + mutant.new + text[at + len(mutant.old) :]


def judge(shadow, build_dir, mutant, jobs):
    """A line about the mutant, and whether it is as it should be."""
    path = shadow / "cuda" / mutant.file
    original = path.read_text()
    mutated = mutate(original, mutant)
    if mutated is None:
        return "the text is not in cuda/%s any more" % mutant.file, False
    program = PROGRAMS[mutant.tests]
    try:
        path.write_text(mutated)
        if build(build_dir, program, jobs):
            return "does not compile", False
        failure = first_failure(build_dir, program)
    finally:
        path.write_text(original)
    return ("killed by " + failure, True) if failure else ("SURVIVED", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    here = pathlib.Path(__file__).resolve()
    parser.add_argument("--root", type=pathlib.Path, default=here.parents[2])
    parser.add_argument("--work", type=pathlib.Path, default=here.parents[2] / "build/mutants")
    parser.add_argument("--only", default="")
    parser.add_argument("--no-ptx", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of the compiler")
    options = parser.parse_args()

    shadow, build_dir = options.work / "tree", options.work / "build"
    make_shadow(options.root, shadow)
    configure = ["cmake", "-S", str(shadow), "-B", str(build_dir), "-G", "Ninja"]
    configure += ["-DCMAKE_BUILD_TYPE=Release", "-DCUDA_PTX_ARCHS=80;90"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    chosen = [m for m in MUTANTS if re.search(options.only, m.name)]
    has_ptx = PROGRAMS["ptx"] in (build_dir / "build.ninja").read_text()  # only with nvcc
    if options.no_ptx or not has_ptx:
        print("mutants inside inline PTX are left out")
        chosen = [m for m in chosen if m.tests != "ptx"]
    for tests in sorted({m.tests for m in chosen}):
        errors = build(build_dir, PROGRAMS[tests], options.jobs)
        failure = errors or first_failure(build_dir, PROGRAMS[tests])
        if failure:
            sys.exit("without any mutation: " + failure)
    n_wrong = 0
    for mutant in chosen:
        verdict, is_right = judge(shadow, build_dir, mutant, options.jobs)
        n_wrong += not is_right
        print("%-55s %s" % (mutant.name, verdict), flush=True)
    print("%d mutants, %d not killed" % (len(chosen), n_wrong))
    sys.exit(1 if n_wrong or not chosen else 0)


if __name__ == "__main__":
    main()
