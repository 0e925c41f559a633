"""The program as users with a GPU get it: linked with NVIDIA's runtime, kernels for every architecture.

It can't compute here; what is in it, and what it says without a driver, can be seen."""

import ctypes
import os
import pathlib
import re
import struct
import subprocess

import pytest

from conftest import FLUXSERVE, MODEL

ARCHS = [int(a) for a in os.environ.get("FLUXBENCH_CUDA_BUILD", "").split(",") if a]
TOOLKIT = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
STUB = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "lib64/stubs/libcuda.so"

pytestmark = pytest.mark.skipif(not ARCHS, reason="this build has no CUDA back end")

# Fat binaries are a header (magic, version, its size, size of what follows) and entries (kind, version,
# size of their header, size of their payload, ..., architecture at byte 28).
FAT_HEADER, FAT_ENTRY = struct.Struct("<IHHQ"), struct.Struct("<HHIQ12xI")
FAT_MAGIC, KIND_PTX, KIND_ELF = 0xBA55ED50, 1, 2


def device_code(program):
    """(kind, architecture) of each entry of each fat binary, one list per source file."""
    found, at = [], program.find(struct.pack("<I", FAT_MAGIC))
    while at >= 0:
        _, version, header_size, size = FAT_HEADER.unpack_from(program, at)
        if version == 1 and header_size == FAT_HEADER.size and size < len(program):
            entry, end, entries = at + header_size, at + header_size + size, []
            while entry < end:
                kind, _, entry_header, payload, arch = FAT_ENTRY.unpack_from(program, entry)
                entries.append((kind, arch))
                entry += entry_header + payload
            found.append(entries)
        at = program.find(struct.pack("<I", FAT_MAGIC), at + 4)
    return found


def test_every_source_file_has_code_for_every_architecture_and_ptx_for_later_ones():
    files = device_code(pathlib.Path(FLUXSERVE).read_bytes())
    n_sources = len(list((pathlib.Path(__file__).parents[2] / "cuda").glob("*.cu")))
    wanted = sorted([(KIND_ELF, arch) for arch in ARCHS] + [(KIND_PTX, ARCHS[-1])])
    assert [sorted(entries) for entries in files].count(wanted) == n_sources


def test_nccl_is_loaded_at_run_time_by_names_that_it_has():
    program = pathlib.Path(FLUXSERVE).read_bytes()
    names = {name.decode() for name in re.findall(rb"(?<=\0)nccl[A-Z][A-Za-z]+(?=\0)", program)}
    assert names >= {"ncclCommInitAll", "ncclGroupStart", "ncclGroupEnd", "ncclSend", "ncclRecv",
                     "ncclCommDestroy", "ncclCommAbort", "ncclGetVersion", "ncclGetErrorString"}
    linked = subprocess.run(["ldd", FLUXSERVE], capture_output=True, text=True, check=True).stdout
    assert "nccl" not in linked
    found = [folder / "libnccl.so.2" for folder in (TOOLKIT / "lib64", TOOLKIT / "lib")
             if (folder / "libnccl.so.2").exists()]
    if not found:
        pytest.skip("no libnccl.so.2 to compare with")
    library = ctypes.CDLL(str(found[0]))
    assert not [name for name in names if not hasattr(library, name)]
    version = ctypes.c_int()
    assert library.ncclGetVersion(ctypes.byref(version)) == 0 and version.value >= 21300


def run_with_driver(folder, *arguments):
    """Run fluxserve with folder searched first for the driver's library."""
    return subprocess.run([FLUXSERVE, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "LD_LIBRARY_PATH": str(folder)})


def test_driver_that_is_no_library_is_explained(tmp_path):
    (tmp_path / "libcuda.so.1").write_text("no library")
    done = run_with_driver(tmp_path, "serve", "--model-path", MODEL, "--backend", "cuda", "--port", "0")
    assert done.returncode == 1
    assert "no CUDA driver answers" in done.stderr or "CUDA does not answer" in done.stderr


@pytest.mark.skipif(not STUB.exists(), reason="the toolkit has no stub of the driver")
def test_stub_of_the_driver_is_explained(tmp_path):
    (tmp_path / "libcuda.so.1").symlink_to(STUB)
    for command in (["serve", "--model-path", MODEL, "--backend", "cuda", "--port", "0"], ["selftest"]):
        done = run_with_driver(tmp_path, *command)
        assert done.returncode == 1, done.stderr
        assert "CUDA does not answer" in done.stderr
        assert "stub" in done.stderr
