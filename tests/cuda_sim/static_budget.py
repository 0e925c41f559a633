#!/usr/bin/env python3
"""Static facts of the CUDA kernels, by the assembler, held against a stored budget.

    static_budget.py --budget FILE --ptx KERNELS.ptx... [--arch N...] [--write] --logs KERNELS.log...

The logs are what nvcc said with -Xptxas -v when it compiled the back end for all architectures; the
PTX (of any one) tells how many threads a block of each kernel has. For every kernel and
architecture: registers, static shared memory, and the share of a processor's threads that these two
leave room for (dynamic shared memory is a launch's choice, so it is not in). Fails when a kernel
spills or has a stack frame, needs more than its budget, has none, or is not there for some
architecture. --write stores what is measured. Numbers belong to one version of nvcc; with another
one the check is skipped (exit code 77).
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

SKIPPED = 77
# Threads, blocks, KiB of shared memory of a multiprocessor (CUDA programming guide, table of
# technical specifications). All have 65536 registers, given to warps in pieces of 256.
LIMITS = {
    80: (2048, 32, 164),
    86: (1536, 16, 100),
    89: (1536, 24, 100),
    90: (2048, 32, 228),
    100: (2048, 32, 228),
    120: (1536, 24, 100),
}
REGISTERS, PIECE, RESERVED = 65536, 256, 1024
ENTRY = re.compile(
    r"Compiling entry function '([\w$]+)' for 'sm_(\d+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.S,
)


def demangle(names):
    """Kernel names as in the source, with template arguments."""
    if not shutil.which("c++filt"):
        return {name: name for name in names}
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    plain = [re.sub(r"\((?!anonymous)[^()]*\)$", "", line) for line in text.splitlines()]
    plain = [re.sub(r"^void |\(\w+\)(?=-?\d)", "", line).replace(" ", "") for line in plain]
    return dict(zip(names, plain))


def occupancy(arch, threads, registers, shared):
    max_threads, max_blocks, shared_kib = LIMITS[arch]
    warps = (threads + 31) // 32
    per_warp = (registers * 32 + PIECE - 1) // PIECE * PIECE
    blocks = min(
        max_threads // (warps * 32),
        max_blocks,
        REGISTERS // (per_warp * warps),
        shared_kib * 1024 // (shared + RESERVED),
    )
    return 100 * blocks * warps * 32 // max_threads


def read_ptx(paths):
    """Version of the compiler, {mangled kernel: threads of a block}."""
    ptx = "".join(path.read_text() for path in paths)
    threads = {}
    for name, directives in re.findall(r"\.entry\s+([\w$]+)\s*\([^)]*\)([^{]*)\{", ptx):
        bound = re.search(r"\.maxntid\s+(\d+)", directives)
        threads[name] = int(bound[1]) if bound else 1024
    return re.search(r"Cuda compilation tools, release ([\d.]+)", ptx)[1], threads


def read_logs(paths, threads, archs):
    """{(arch, kernel): (registers, shared, occupancy, stack, spilled)}"""
    found = {}
    log = "".join(path.read_text() for path in paths)
    for name, arch, stack, stores, loads, registers, rest in ENTRY.findall(log):
        static = re.search(r"(\d+) bytes smem", rest)
        shared = int(static[1]) if static else 0
        share = occupancy(int(arch), threads[name], int(registers), shared)
        found[int(arch), name] = (int(registers), shared, share, int(stack), int(stores) + int(loads))
    names = demangle(list(threads))
    missing = [(a, names[n]) for a in archs for n in threads if (a, n) not in found]
    return {(arch, names[name]): facts for (arch, name), facts in found.items()}, missing


def read_budget(path):
    version, budget = None, {}
    for line in path.read_text().splitlines():
        if line.startswith("# nvcc "):
            version = line.split()[2]
        if line and not line.startswith("#"):
            arch, registers, shared, share, name = line.split(maxsplit=4)
            budget[int(arch), name] = (int(registers), int(shared), int(share))
    return version, budget


def write_budget(path, version, facts):
    lines = [
        "# Registers, bytes of static shared memory and occupancy in percent, per architecture and",
        "# kernel: limits that tests/cuda_sim/static_budget.py checks; --write renews them.",
        "# nvcc " + version,
    ]
    for (arch, name), (registers, shared, share, *_) in sorted(facts.items()):
        lines.append("%-4d %4d %6d %4d  %s" % (arch, registers, shared, share, name))
    path.write_text("\n".join(lines) + "\n")


def complaints(facts, budget):
    for (arch, name), (registers, shared, share, stack, spilled) in sorted(facts.items()):
        where = "sm_%d %s" % (arch, name)
        if spilled or stack:
            yield "%s: %d bytes spilled, %d bytes of stack frame" % (where, spilled, stack)
        if (arch, name) not in budget:
            yield "%s: not in the budget (--write adds it)" % where
            continue
        allowed = budget[arch, name]
        if registers > allowed[0] or shared > allowed[1] or share < allowed[2]:
            yield (
                "%s: %d registers, %d bytes shared, occupancy %d %%; budget %d, %d, %d %%"
                % (where, registers, shared, share, *allowed)
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--budget", type=pathlib.Path, required=True)
    parser.add_argument("--arch", nargs="+", type=int, default=list(LIMITS), choices=LIMITS)
    parser.add_argument("--ptx", nargs="+", type=pathlib.Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--logs", required=True, nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    version, threads = read_ptx(options.ptx)
    stored, budget = read_budget(options.budget) if options.budget.exists() else (None, {})
    if stored not in (version, None) and not options.write:
        print("skipped: the budget is nvcc %s's, this is %s" % (stored, version))
        sys.exit(SKIPPED)
    facts, missing = read_logs(options.logs, threads, options.arch)
    if options.write:
        write_budget(options.budget, version, facts)
        budget = {key: values[:3] for key, values in facts.items()}
    found = list(complaints(facts, budget))
    found += ["sm_%d %s: not compiled" % pair for pair in missing]
    print("\n".join(found))
    print("%d kernels, %d complaints" % (len(facts), len(found)))
    sys.exit(1 if found or not facts else 0)


if __name__ == "__main__":
    main()
