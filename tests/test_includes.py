"""The include table of the architecture, enforced.

Reads every #include line of the tree and fails on an edge outside the table, on a third-party
header outside its home, and on a header that nobody gave a home. Run by ctest; no dependencies.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Which folders' headers a folder may include, besides its own.
TABLE = {
    "base": set(),
    "text": {"base"},
    "image": {"base"},
    "tensor": {"base"},
    "cpu": {"tensor", "base"},
    "cuda": {"tensor", "base"},
    "flux": {"tensor", "text", "base"},
    "hub": {"base"},
    "server": {"flux", "hub", "image", "text", "base"},
    "client": {"text", "image", "base"},
}
ANYTHING = {"tests", "bench"}
# Single files that know more than their folder.
EXTRA = {
    "server/backends.c": {"tensor", "cpu", "cuda"},
    "server/selftest_command.c": {"cuda"},
}

# The stand-in for the CUDA toolkit is C++ and includes what the toolkit's own headers do.
FREE = "tests/cuda_sim/"

# Third-party headers and the only places that may include them (files, or folders ending in /).
HOMES = {
    r"cJSON\.h": ["base/json.c"],
    r"microhttpd\.h": ["server/http.c"],
    r"curl/.*": ["client/http.c", "client/http_exchange.c", "client/http_exchange.h",
                 "client/http_fetch.c", "client/http_head.c", "client/http_sockets.h",
                 "hub/transfer.c"],
    r"openssl/.*": ["client/sha256.c", "hub/digest.c"],
    r"dnnl.*": ["cpu/gemm.c", "cpu/conv.c"],
    r"(stb/)?stb_.*": ["image/"],
    r"libdeflate\.h": ["image/"],
    r"webp/.*": ["image/"],
    r"cu(da|blas|dnn).*": ["cuda/", "tests/cuda/", "tests/cuda_sim/"],
    r"dlfcn\.h": ["cuda/", "client/nvml.c", "tests/cuda/"],
    r"(mma|nvtx3/.*|cub/.*)": ["cuda/", "tests/cuda/", "tests/cuda_sim/"],
    r"(omp|immintrin|cpuid|arm_neon)\.h": ["cpu/"],
    r"cmocka\.h": ["tests/"],
}

SYSTEM = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|malloc|math|setjmp|signal|"
    r"stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|"
    r"time|uchar|wchar|wctype|dirent|fcntl|fnmatch|ftw|getopt|glob|libgen|netdb|poll|pthread|sched|"
    r"semaphore|spawn|termios|unistd|(sys|netinet|arpa|net)/[a-z_]+)\.h"
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def judge(path, bracket, header):
    """Why the file at path may not include the header, or None."""
    folder = path.split("/")[0]
    if bracket == '"':
        owner = header.split("/")[0]
        if owner not in TABLE and owner not in ANYTHING:
            return "project headers are included from the root, system headers in <>"
        if folder in ANYTHING or owner == folder:
            return None
        allowed = TABLE[folder] | EXTRA.get(path, set())
        return None if owner in allowed else f"{folder}/ may include only {sorted(allowed)}"
    for pattern, homes in HOMES.items():
        if re.fullmatch(pattern, header):
            at_home = any(path == h or (h.endswith("/") and path.startswith(h)) for h in homes)
            return None if at_home or folder == "bench" else f"its home is {', '.join(homes)}"
    if path.startswith(FREE) or SYSTEM.fullmatch(header):
        return None
    return "unknown header: give it a home in HOMES"


def sources(root):
    for folder in sorted(set(TABLE) | ANYTHING):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".c", ".h", ".cu", ".cuh"}:
                yield path


def violations(root):
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            reason = judge(name, *match.groups())
            if not reason and match[1] == '"' and not (root / match[2]).exists():
                reason = "no such file"
            if reason:
                yield f"{name}:{number}: {match[2]}: {reason}"


def self_test():
    """The judge itself can say no."""
    refused = [
        ("base/buf.c", '"', "text/unicode.h"),
        ("flux/vae.c", '"', "cpu/cpu.h"),
        ("cpu/gemm.c", '"', "flux/flux.h"),
        ("client/load.c", '"', "server/queue.h"),
        ("server/http.c", '"', "tensor/ops.h"),
        ("server/queue.c", '"', "queue.h"),
        ("server/main.c", "<", "microhttpd.h"),
        ("base/args.c", "<", "cJSON.h"),
        ("flux/vae.c", "<", "dnnl.h"),
        ("server/images_api.c", "<", "webp/encode.h"),
        ("tests/base/test_json.c", "<", "cJSON.h"),
        ("base/buf.c", "<", "zlib.h"),
    ]
    allowed = [
        ("server/backends.c", '"', "cpu/cpu.h"),
        ("flux/flux.c", '"', "tensor/ops.h"),
        ("image/png.c", "<", "stb/stb_image_write.h"),
        ("client/http.c", "<", "curl/curl.h"),
        ("tests/ops/test_ops.c", '"', "cpu/cpu.h"),
        ("base/log.c", "<", "sys/types.h"),
    ]
    for case in refused:
        assert judge(*case), f"{case} should be refused"
    for case in allowed:
        assert not judge(*case), f"{case} should be allowed: {judge(*case)}"


def main():
    self_test()
    found = list(violations(ROOT))
    for line in found:
        print(line)
    n_files = sum(1 for _ in sources(ROOT))
    print(f"{n_files} files, {len(found)} includes outside the table")
    return 1 if found or not n_files else 0


if __name__ == "__main__":
    sys.exit(main())
