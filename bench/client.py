"""The client against its targets: ./dev bench client [--quick] [--without-aiperf]

Everything runs on this machine against the client's loopback server (bench/loopback.c), in turn
and repeated; the figures to look at are ratios within one run, and the medians of the rounds are
used. The yardstick of the throughputs is the fastest of the bare loops. What else runs on
the machine takes the cores that the client's threads share with the server, so the share of the
time of all cores that went to others is told with each figure: above 5 % they say little.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))
from client_run import find_aiperf  # noqa: E402
from hub_cache import make_hub_cache  # noqa: E402

BUILD = Path(os.environ.get("FLUXBENCH_BUILD", ROOT / "build" / "release"))
FLUXPERF = BUILD / "fluxperf"
PATH = "/v1/images/generations"
BODY = '{"prompt":"A red fox","model":"m","response_format":"b64_json","n":1}'


class Server:
    """bench_loopback as a process of its own: delay, size, pictures, slots."""

    def __init__(self, delay_ms=0, answer_bytes=1024, n_pictures=1, n_slots=0):
        args = [str(delay_ms), str(answer_bytes), str(n_pictures), str(n_slots)]
        self.process = subprocess.Popen([BUILD / "bench" / "bench_loopback", *args], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def cpu_s(self):
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def run(command, cwd, env=None):
    """Its stdout and CPU seconds."""
    with open(Path(cwd) / "stdout", "w+") as out, open(Path(cwd) / "stderr", "w+") as err:
        process = subprocess.Popen([str(c) for c in command], cwd=cwd, stdout=out, stderr=err,
                                   env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        if process.returncode != 0:
            sys.exit(f"{command[0]} ended with {process.returncode}: {err.read()[-2000:]}")
        out.seek(0)
        return out.read(), usage.ru_utime + usage.ru_stime


def busy_s():
    """CPU seconds of all cores since the start of the system."""
    fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    user, nice, system, _, _, irq, softirq = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Others:
    """The share of all cores that other programs had meanwhile."""

    def __init__(self, server):
        self.server = server
        self.begin_s, self.begin_busy_s = time.monotonic(), busy_s() - server.cpu_s()

    def share(self, own_s):
        spent_s = (time.monotonic() - self.begin_s) * os.cpu_count()
        return (busy_s() - self.server.cpu_s() - self.begin_busy_s - own_s) / spent_s


def fluxperf(url, cwd, *args):
    """The summary and CPU seconds."""
    _, cpu_s = run(profile_command(url, cwd, *args), cwd)
    return json.loads((Path(cwd) / "out" / "profile_export_aiperf.json").read_text()), cpu_s


def profile_command(url, cwd, *args):
    prompts = Path(cwd) / "prompts.jsonl"
    prompts.write_text('{"text": "A red fox"}\n')
    return [FLUXPERF, "profile", "--model", "m", "--url", url, "--input-file", prompts,
            "--artifact-dir", "out", "--ui", "none", *args]


def peak_memory_mib(command, cwd):
    """The largest resident set that the system tells while it runs. (What it tells afterwards
    counts this program before the other one took its place.)"""
    peak_kb = 0
    process = subprocess.Popen([str(c) for c in command], cwd=cwd, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if status.startswith(f"Name:\t{FLUXPERF.name}"):
            peak_kb = max(peak_kb, int((re.search(r"VmHWM:\s+(\d+)", status) or [0, 0])[1]))
        time.sleep(0.005)
    return peak_kb / 1024


def record_lines(cwd):
    with open(Path(cwd) / "out" / "profile_export.jsonl") as file:
        return [json.loads(line) for line in file]


# ---- requests a second ---------------------------------------------------------------------------


def bare_loop(url, cwd, n, *how):
    out, cpu_s = run([BUILD / "bench" / "bench_curl_loop", url + PATH, n, 64, *how], cwd)
    return float(out.split()[0]), n, cpu_s


def full_client(url, cwd, n):
    summary, cpu_s = fluxperf(url, cwd, "--concurrency", 64, "--request-count", n)
    assert summary["request_count"]["avg"] == n
    return summary["request_throughput"]["avg"], n, cpu_s


def wrk(url, cwd, n):
    script = Path(cwd) / "post.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = '{BODY}'\n"
                      "wrk.headers['Content-Type'] = 'application/json'\n")
    out, cpu_s = run(["wrk", "-t1", "-c64", "-d2s", "-s", script, url + PATH], cwd)
    n_done = int(re.search(r"(\d+) requests in", out)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), n_done, cpu_s


def aiperf(url, cwd, n, hub):
    (Path(cwd) / "prompts.jsonl").write_text('{"text": "A red fox"}\n')
    run([find_aiperf(), "profile", "--model", "m", "--tokenizer", "gpt2", "--url", url,
         "--endpoint-type", "image_generation", "--input-file", "prompts.jsonl",
         "--custom-dataset-type", "single_turn", "--concurrency", 64, "--request-count", n,
         "--artifact-dir", "aiperf", "--ui", "none"], cwd, hub)
    summary = json.loads((Path(cwd) / "aiperf" / "profile_export_aiperf.json").read_text())
    return summary["request_throughput"]["avg"]


def is_installed(name):
    return any((Path(d) / name).exists() for d in os.environ["PATH"].split(":"))


def throughput(cwd, title, answer_bytes, n, options, n_pictures=1):
    tools = {
        "bare libcurl, poll": lambda url: bare_loop(url, cwd, n, "poll"),
        "bare libcurl, epoll": lambda url: bare_loop(url, cwd, n, "epoll"),
        "bare, poll, same heads": lambda url: bare_loop(url, cwd, n, "poll", "full"),
        "fluxperf, all recorded": lambda url: full_client(url, cwd, n),
    }
    if is_installed("wrk"):
        tools["wrk"] = lambda url: wrk(url, cwd, n)
    results = {name: [] for name in tools}
    with Server(0, answer_bytes, n_pictures) as server:
        for _ in range(options.rounds):
            for name, tool in tools.items():
                others = Others(server)
                rate, n_done, cpu_s = tool(server.url)
                results[name].append((rate, cpu_s / n_done * 1e6, others.share(cpu_s)))
        if options.hub:
            n_aiperf = 200 if options.quick else 1000
            rate = aiperf(server.url, cwd, n_aiperf, options.hub)
            results["AIPerf"] = [(rate, float("nan"), float("nan"))]
    print(f"\n{title}, 64 in flight, {options.rounds} rounds: requests/s, CPU us a request, share of "
          "other programs (medians)")
    bare = max(statistics.median(r[0] for r in results[k]) for k in results if "bare" in k)
    for name, rounds in results.items():
        rate, cpu_us, others = (statistics.median(column) for column in zip(*rounds))
        print(f"  {name:24} {rate:10.0f}   {rate / bare * 100:5.1f} % of bare   {cpu_us:6.1f} us"
              f"   {others * 100:5.1f} %")


# ---- the other targets ---------------------------------------------------------------------------


def memory(cwd, options):
    n = 20000 if options.quick else 100000
    with Server() as server:
        peak = peak_memory_mib(profile_command(server.url, cwd, "--concurrency", 64,
                                               "--request-count", n), cwd)
    print(f"\npeak memory, 64 in flight, {n} requests of 1 KB: {peak:.1f} MiB (target 32)")


def start(cwd, options):
    delays = []
    with Server() as server:
        for _ in range(3 * options.rounds):
            begin = time.time_ns()
            fluxperf(server.url, cwd, "--request-count", 1)
            sent = record_lines(cwd)[0]["metadata"]["request_start_ns"]
            delays.append((sent - begin) / 1e6)
    print(f"start to first request: median {statistics.median(delays):.1f} ms, least "
          f"{min(delays):.1f} ms (target 50)")


def own_error(cwd, options):
    rounds = []
    for _ in range(options.rounds):
        out, _ = run([FLUXPERF, "calibrate", "--json", "--requests", "1000"], cwd)
        rounds.append(json.loads(out))
    p50 = statistics.median(r["latency_error_p50_us"] for r in rounds)
    p99 = statistics.median(r["latency_error_p99_us"] for r in rounds)
    print(f"own error of latencies: p50 {p50:.1f} us (target 20), p99 {p99:.1f} us (target 200)")


def closed_loop(cwd, options):
    n = 16 * (32 if options.quick else 128) # whole rounds: the last one is as full as the others
    with Server(delay_ms=20) as server:
        summary, _ = fluxperf(server.url, cwd, "--concurrency", 16, "--request-count", n)
    product = summary["request_throughput"]["avg"] * summary["request_latency"]["avg"] / 1000
    print(f"closed loop of 16: throughput x mean latency = {product:.2f}, "
          f"{(product / 16 - 1) * 100:+.2f} % off (target 2 %)")


def open_loop(cwd, options):
    """Two slots of 10 ms serve 200 a second; 300 come."""
    seconds = 8 if options.quick else 60
    with Server(delay_ms=10, n_slots=2) as server:
        fluxperf(server.url, cwd, "--concurrency", 2, "--request-rate", 300, "--arrival-pattern",
                 "constant", "--benchmark-duration", seconds)
    lines = sorted(record_lines(cwd), key=lambda r: r["metadata"]["credit_issued_ns"])
    print(f"open loop at 1.5 x capacity for {seconds} s, p99 of the requests due in each quarter:")
    for q in range(4):
        part = [r["metrics"] for r in lines[q * len(lines) // 4:(q + 1) * len(lines) // 4]]
        p99 = [statistics.quantiles([m[tag]["value"] for m in part], n=100)[98]
               for tag in ("response_time", "service_time")]
        print(f"  quarter {q + 1}: response time {p99[0]:9.1f} ms   service time {p99[1]:6.2f} ms")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench client")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--without-aiperf", action="store_true")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as cwd:
        has_aiperf = find_aiperf() and not options.without_aiperf
        options.hub = make_hub_cache(Path(cwd) / "hub_cache") if has_aiperf else None
        scale = 0.25 if options.quick else 1 # 2 to 4 seconds each
        throughput(cwd, "1 KB answers", 1024, int(200000 * scale), options)
        throughput(cwd, "500 KB answers", 500000, int(40000 * scale), options)
        throughput(cwd, "500 KB answers, 16 different", 500000, int(16000 * scale), options, 16)
        throughput(cwd, "500 KB answers, 64 different", 500000, int(4000 * scale), options, 64)
        memory(cwd, options)
        start(cwd, options)
        own_error(cwd, options)
        closed_loop(cwd, options)
        open_loop(cwd, options)


if __name__ == "__main__":
    main()
