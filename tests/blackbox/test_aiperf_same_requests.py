"""AIPerf and fluxperf run the same commands against the same scripted server: equal requests on the
wire, equal fields in all files, and statistics that follow from the record lines. AIPerf takes 10 to
20 seconds for a run, so two of its runs go on at a time, ahead of the tests that look at them."""

import concurrent.futures
import os
import re

import pytest

from aiperf_cases import CASES
from aiperf_compare import EXACT, check_statistics, compare_raw, compare_runs
from client_run import aiperf, find_aiperf, fluxperf
from fake_server import FakeServer
from hub_cache import make_hub_cache

pytestmark = [
    pytest.mark.skipif(not find_aiperf(), reason="aiperf is not installed"),
    pytest.mark.skipif(bool(os.environ.get("FLUXBENCH_SANITIZE")),
                       reason="the same code runs in the other client tests"),
]
N_AT_A_TIME = 2
VOLATILE = ("X-Request-ID", "X-Correlation-ID", "X-Session-Affinity", "User-Agent", "Host")


def run_case(case, cwd, tool, **kwargs):
    """(run, the server's requests, its address) of one tool."""
    case.prepare(cwd)
    with FakeServer(case.script) as server:
        run = tool(*case.command(server.url), cwd=cwd, folder=case.folder or "out", timeout=300,
                   **kwargs)
        return run, server.requests, server.url, server.n_connections


@pytest.fixture(scope="module")
def aiperf_runs(request, tmp_path_factory):
    """name -> future of run_case with AIPerf, for the tests that were chosen."""
    chosen = [item.callspec.params["name"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec")]
    hub = make_hub_cache(tmp_path_factory.mktemp("hub"))
    folder = tmp_path_factory.mktemp("runs")
    with concurrent.futures.ThreadPoolExecutor(N_AT_A_TIME) as pool:
        yield {name: pool.submit(run_case, CASES[name], folder / name / "aiperf", aiperf, hub=hub)
               for name in chosen}


# ---- on the wire --------------------------------------------------------------------------------

def without_pictures(body):
    """A form with its boundary named and the bytes of its picture left out."""
    boundary = body.split(b"\r\n", 1)[0][2:]
    parts = body.replace(boundary, b"BOUNDARY").split(b"--BOUNDARY")
    return [re.sub(rb"(?s)(Content-Type: image/.*?\r\n\r\n).*", rb"\1", part) for part in parts]


def body_of(request, bodies):
    if "prompts" in bodies:  # made up by each tool on its own
        text = re.sub(rb'("prompt":")[^"]*', rb"\1", request.body)
        text = re.sub(rb'(?s)(name="prompt"\r\n\r\n).*?\r\n', rb"\1\r\n", text)
    else:
        text = request.body
    return without_pictures(text) if "pictures" in bodies else text


def in_one_line(request, case):
    """What must be equal: without what differs from one request to the next."""
    headers = [(name, "" if name in VOLATILE else value) for name, value in request.headers]
    if "never" in case.args:  # where Connection: close stands
        headers = sorted(headers)
    if "pictures" in case.bodies:  # a form's length is told before its type by AIPerf
        headers = sorted((name, value.split("boundary=")[0] if name != "Content-Length" else "")
                         for name, value in headers)
    elif "prompts" in case.bodies:
        headers = [(name, "" if name == "Content-Length" else value) for name, value in headers]
    return (request.method, request.path, request.version, headers, body_of(request, case.bodies))


def compare_wire(theirs, ours, case):
    left, right = ([in_one_line(r, case) for r in requests] for requests in (theirs, ours))
    if not case.is_ordered:  # they overtake each other on their way
        left, right = sorted(left, key=repr), sorted(right, key=repr)
    assert left == right
    for a, b in zip(theirs, ours):
        kinds = [r.header("X-Correlation-ID").startswith("fixed-schedule-") for r in (a, b)]
        assert kinds[0] == kinds[1]


# ---- the test -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", CASES)
def test_same_requests_and_files(tmp_path, aiperf_runs, name):
    case = CASES[name]
    ours, our_requests, our_url, our_connections = run_case(case, tmp_path / "fluxperf", fluxperf)
    theirs, their_requests, their_url, their_connections = aiperf_runs[name].result()
    assert theirs.code == 0, theirs.out + theirs.err
    assert ours.code == (1 if case.fails else 0), ours.err  # any failure fails a run of ours
    assert case.fails == 0 or f"{case.fails} of " in ours.err
    compare_wire(their_requests, our_requests, case)
    if "never" in case.args:
        assert our_connections == their_connections == len(our_requests)
    for path in ours.folder.rglob("*.json*"):  # the two servers' addresses made one
        path.write_text(path.read_text().replace(our_url, their_url))
    prefix = case.args[case.args.index("--profile-export-prefix") + 1] \
        if "--profile-export-prefix" in case.args else None
    for run in theirs, ours:
        run.prefix = prefix
    exact = set(EXACT)
    if case.bodies != "same":
        exact.discard("http_req_data_sent")
    if "prompts" in case.bodies and "--random-seed" not in case.args:
        exact.discard("input_sequence_length")
    compare_runs(theirs, ours, same_prompts="prompts" not in case.bodies,
                 same_pictures="pictures" not in case.bodies, exact=exact,
                 lines=case.has_summary_lines)
    if "raw" in case.args:
        compare_raw(theirs.lines("profile_export_raw.jsonl"), ours.lines("profile_export_raw.jsonl"),
                    same_pictures="pictures" not in case.bodies)
    if case.has_summary_lines:
        check_statistics(theirs)
        check_statistics(ours)
