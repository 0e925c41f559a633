"""The documents against the programs: every option of --help is explained, none is made up, and links
lead somewhere."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from client_run import FLUXPERF
from conftest import FLUXSERVE, ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"fluxperf": FLUXPERF, "fluxserve": FLUXSERVE}
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*)(?![\w*-])")
ANY_OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z0-9-]*)")
# options of other programs that the documents name: cmake, ctest, docker, ./dev, hf, nvcc, ...
OTHERS = {
    "build.md": None,  # is about building: nothing of ours is explained there
    "client.md": {"--name"},  # any option
    "server.md": {"--name", "--capture-range", "--capture-range-end"},  # nsys
    "metrics.md": {"--quick", "--without-aiperf"},  # ./dev bench client
    "performance-gpu.md": {"--write"},  # tools/performance_gpu.py
    "models.md": {"--part", "--weights"},  # bench_cpu
    "README.md": {"--build", "--exit-code-from"},  # docker compose
}
HELP, VERSION = "--help", "--version"


def run(program, *args):
    process = subprocess.run([os.path.abspath(PROGRAMS[program]), *args], text=True, timeout=60,
                             capture_output=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def commands(program):
    text = run(program, HELP).split("Commands:\n")[1]
    return re.findall(r"^  ([a-z-]+)  ", text.split("\n\n")[0], re.M)


def options(program, command):
    """Names of options, each with its aliases: [["--concurrency"], ["--model", "-m"], ...]."""
    heads = re.findall(r"^  (-.*?)(?:  |$)", run(program, command, HELP), re.M)
    return [re.findall(r"--?[a-z][a-z0-9-]*", head) for head in heads]


def sections(path):
    """The text under each heading of a document, examples included."""
    return re.split(r"^(?=#+ )", path.read_text(), flags=re.M)


def everything():
    return "".join(path.read_text() for path in DOCUMENTS)


def explained(program, command):
    """All sections that show how the command is called; for the main command all that there is."""
    main = {"fluxperf": "profile", "fluxserve": "serve"}[program]
    texts = [s for path in DOCUMENTS for s in sections(path)[path.name == "client.md":]]
    if command == main:
        return "".join(texts)
    call = re.compile(rf"^ +(?:\$ )?(?:echo .*\| )?{program} {command}\b", re.M)
    heading = re.compile(rf"^#+ .*\b{command}\b", re.M)
    return "".join(s for s in texts if call.search(s) or heading.match(s))


CASES = [("fluxperf", c) for c in (
    "profile", "repeat", "ab", "sweep", "capacity", "determinism", "calibrate", "compare", "plot",
    "extract-images", "tokenize")]
CASES += [("fluxserve", c) for c in (
    "serve", "generate", "plan", "quantize", "tokenize", "download", "selftest", "bench-ops",
    "healthcheck")]


def test_all_commands_are_looked_at():
    assert {(p, c) for p in PROGRAMS for c in commands(p)} == set(CASES)


@pytest.mark.parametrize("program, command", CASES)
def test_every_option_is_explained(program, command):
    text = explained(program, command)
    assert text, "no section shows how it is called"
    here, anywhere = set(ANY_OPTION.findall(text)), set(ANY_OPTION.findall(everything()))
    rows = [names for names in options(program, command) if names[0] not in (HELP, VERSION)]
    assert [names[0] for names in rows if names[0] not in here] == []
    assert [n for names in rows for n in names if n not in anywhere] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_option_is_made_up(path):
    allowed = OTHERS.get(path.name, set())
    if allowed is None:
        pytest.skip("explains other programs")
    known = {n for p, c in CASES for option in options(p, c) for n in option} | {HELP, VERSION}
    told = set(OPTION.findall(re.sub(r"\]\([^)]*\)", "", path.read_text())))
    assert sorted(n for n in told if n not in known and n not in allowed) == []


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    found, counts = set(), {}
    for title in re.findall(r"^#+ +(.*)$", path.read_text(), re.M):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        n = counts.setdefault(slug, 0)
        counts[slug] += 1
        found.add(f"{slug}-{n}" if n else slug)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (path.parent / name).resolve() if name else path
        if not to.exists() or (anchor and anchor not in anchors(to)):
            broken.append(target)
    assert broken == []
