#!/usr/bin/env python3
"""Static facts of the CUDA kernels, by the assembler, held against a stored budget.

    static_budget.py --nvcc NVCC --budget FILE --arch N... [--write] SOURCE.cu...

For every kernel and architecture: registers, static shared memory, and the share of a processor's
threads that these two leave room for (dynamic shared memory is a launch's choice, so it is not in).
Fails when a kernel spills or has a stack frame, needs more than its budget, or has none. --write
stores what is measured. Numbers belong to one version of nvcc; with another one the check is
skipped (exit code 77).
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

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
    r"Compiling entry function '([\w$]+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.S,
)


def version_of(nvcc):
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release ([\d.]+)", text)[1]


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


def measure(nvcc, include, source, arch):
    """{kernel: (registers, shared, occupancy, stack, spilled)}"""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-O3", "-std=c++17", "-I" + include, "-arch=sm_%d" % arch, "-cubin"]
        command += ["-Xptxas", "-v", "--keep", "--keep-dir", folder]
        command += ["-o", folder + "/out.cubin", str(source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(run.stderr)
        ptx = "".join(p.read_text() for p in pathlib.Path(folder).glob("*.ptx"))
    threads = {}
    for name, directives in re.findall(r"\.entry\s+([\w$]+)\s*\([^)]*\)([^{]*)\{", ptx):
        bound = re.search(r"\.maxntid\s+(\d+)", directives)
        threads[name] = int(bound[1]) if bound else 1024
    found = {}
    for name, stack, stores, loads, registers, rest in ENTRY.findall(run.stderr):
        static = re.search(r"(\d+) bytes smem", rest)
        shared = int(static[1]) if static else 0
        share = occupancy(arch, threads.get(name, 1024), int(registers), shared)
        found[name] = (int(registers), shared, share, int(stack), int(stores) + int(loads))
    names = demangle(list(found))
    return {names[name]: facts for name, facts in found.items()}


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
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--budget", type=pathlib.Path, required=True)
    parser.add_argument("--include", default=".")
    parser.add_argument("--arch", type=int, action="append", required=True, choices=LIMITS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    version = version_of(options.nvcc)
    stored, budget = read_budget(options.budget) if options.budget.exists() else (None, {})
    if stored not in (version, None) and not options.write:
        print("skipped: the budget is nvcc %s's, this is %s" % (stored, version))
        sys.exit(SKIPPED)
    facts = {}
    for arch in options.arch:
        for source in options.sources:
            for name, values in measure(options.nvcc, options.include, source, arch).items():
                facts[arch, name] = values
    if options.write:
        write_budget(options.budget, version, facts)
        budget = {key: values[:3] for key, values in facts.items()}
    found = list(complaints(facts, budget))
    print("\n".join(found))
    print("%d kernels, %d complaints" % (len(facts), len(found)))
    sys.exit(1 if found or not facts else 0)


if __name__ == "__main__":
    main()
