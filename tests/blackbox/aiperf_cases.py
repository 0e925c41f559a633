"""The command lines that AIPerf and fluxperf are compared on: those of the observed runs, and
combinations of the other options."""

import json

from client_run import EXTRA, PROMPTS, THREE
from fake_server import Answer, PNG, images, make_png

ROWS = [{"text": text} for text in PROMPTS]
DEFAULT_FOLDER = "artifacts/black-forest-labs_FLUX.1-dev-openai-{}"


class Case:
    """args: the options beside model, address and input; rows: of the file, None for made-up
    prompts; script: of the server; folder: where the files are expected when --artifact-dir is not
    given; is_ordered: requests must arrive in one order; bodies: "same", or what may differ:
    "prompts" are made up, "pictures" too; fails: how many requests the server refuses."""

    def __init__(self, *args, rows=ROWS, kind="single_turn", endpoint="image_generation",
                 script=None, folder=None, is_ordered=True, bodies="same", fails=0, urls=("",),
                 has_summary_lines=True):
        self.args = list(args)
        self.rows, self.kind, self.endpoint, self.script = rows, kind, endpoint, script
        self.folder, self.is_ordered, self.bodies, self.fails = folder, is_ordered, bodies, fails
        self.urls = urls
        self.has_summary_lines = has_summary_lines

    def command(self, url):
        args = ["profile", "--model", "black-forest-labs/FLUX.1-dev", "--tokenizer", "gpt2"]
        for tail in self.urls:
            args += ["--url", url + tail]
        args += ["--endpoint-type", self.endpoint]
        if self.rows is not None:
            args += ["--input-file", "image_prompts.jsonl", "--custom-dataset-type", self.kind]
        return args + self.args + ([] if self.folder else ["--artifact-dir", "out"])

    def prepare(self, cwd):
        cwd.mkdir(parents=True)
        (cwd / "a.png").write_bytes(PNG)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows or []]
        (cwd / "image_prompts.jsonl").write_text("".join(lines))


def slow(seconds):
    return lambda i, request: Answer(delay=seconds)


def every_third_fails(i, request):
    failure = b'{"error":{"message":"injected failure","type":"server_error"}}'
    if i % 3 == 2:
        return Answer(failure, "503 Service Unavailable")
    usage = {"prompt_tokens": 9, "total_tokens": 9, "input_tokens": 7, "output_tokens": 0}
    return Answer(json.dumps({**json.loads(images(PNG)), "usage": usage}).encode())


def third_prompt_fails(i, request):
    """Where requests overtake each other their number does not tell which prompt it was."""
    return every_third_fails(2 if b"robot" in request.body else 0, request)


ODD_EXTRA = ["n:2", "guidance_scale:3.50", "num_inference_steps:020", "seed:-7", "flag:True",
             "nil:null", "e:1e5", "half:.5", "big:18446744073709551615", "minus:-0", "z:0",
             '{"user":"u1","nested":{"a":[1, 2.50, "x", 1.0], "b":{}},"num":"5","scale":3.0}',
             "style:vivid,background:opaque", "prompt:replaced"]
TIMED = [{"timestamp": 1250, "text": "c"}, {"timestamp": 1000, "text": "a"},
         {"timestamp": 1100.5, "text": "b", "extra": {"size": "64x64", "seed": 3.0}}]
TRACE = [{"timestamp": 0, "text_input": "a b", "extra": {"seed": 1}, "output_length": 3},
         {"timestamp": 150, "text_input": "c d e"}]
EDITS = [{"text": "make it red", "image": "a.png", "extra": {"size": "64x64"}},
         {"text": "and blue", "images": ["a.png"]}]
QUIET = ["--no-gpu-telemetry", "--no-server-metrics"]

# The five observed runs, on a server that answers at once.
OBSERVED = {
    "file": Case(*EXTRA, *THREE, folder=DEFAULT_FOLDER.format("image_generation-concurrency1")),
    "synthetic": Case("--synthetic-input-tokens-mean", "150", "--synthetic-input-tokens-stddev",
                      "30", *EXTRA, *THREE, rows=None, bodies="prompts",
                      folder=DEFAULT_FOLDER.format("image_generation-concurrency1")),
    "raw": Case(*EXTRA, *THREE, "--export-level", "raw",
                folder=DEFAULT_FOLDER.format("image_generation-concurrency1")),
    "errors": Case("--no-gpu-telemetry", "--concurrency", "2", "--request-count", "9", fails=3,
                   script=third_prompt_fails, is_ordered=False,
                   folder=DEFAULT_FOLDER.format("image_generation-concurrency2")),
    "rate_warmup_slices_goodput": Case(
        "--no-gpu-telemetry", "--request-rate", "10", "--arrival-pattern", "constant",
        "--request-count", "12", "--slice-duration", "0.5", "--goodput", "request_latency:25",
        "--warmup-request-count", "2",
        folder=DEFAULT_FOLDER.format("image_generation-request_rate10.0")),
}

COMBINATIONS = {
    "defaults": Case(),
    "defaults_made_up": Case("--isl", "9", rows=None, bodies="prompts"),
    "odd_extra_inputs": Case(
        *[word for value in ODD_EXTRA for word in ("--extra-inputs", value)], "--header",
        "X-Test:yes", "--api-key", "key", "--request-count", "6", "--export-level", "raw",
        script=every_third_fails, fails=2),
    "ramps": Case(
        "--request-rate", "20", "--request-rate-ramp-duration", "0.3", "--concurrency", "8",
        "--concurrency-ramp-duration", "0.2", "--arrival-pattern", "poisson", "--random-seed", "3",
        "--request-count", "12", "--slice-duration", "0.25", "--goodput", "request_latency:250",
        "--warmup-request-count", "2", is_ordered=False, script=slow(0.01),
        folder=DEFAULT_FOLDER.format("image_generation-concurrency8-request_rate20.0")),
    "rows_with_extra_and_sessions": Case(
        *EXTRA, "--request-count", "4", "--export-level", "raw", rows=[
            {"text": "größer 🦊", "session_id": "first", "extra": {"size": "64x64", "top": None}},
            {"texts": ["used", "unused"], "role": "user", "output_length": 5, "session_id": "b"},
            {"text": "quotes \" and \\ and \u2028", "session_id": "c"}]),
    "cancellation": Case(
        "--request-cancellation-rate", "50", "--request-cancellation-delay", "0.05",
        "--random-seed", "7", "--request-count", "8", "--warmup-request-count", "1",
        "--export-level", "raw", script=slow(0.4)),
    "cancellation_at_once": Case(
        "--request-cancellation-rate", "40", "--random-seed", "2", "--request-count", "6",
        "--concurrency", "2", script=slow(0.4), is_ordered=False),
    "fixed_schedule": Case("--fixed-schedule", "--export-level", "raw", rows=TIMED,
                           folder=DEFAULT_FOLDER.format("image_generation-fixed_schedule")),
    "fixed_schedule_auto_offset": Case(
        "--fixed-schedule", "--fixed-schedule-auto-offset", "--random-seed", "4", "--concurrency",
        "2", "--warmup-request-count", "2", rows=TIMED),
    "trace": Case("--random-seed", "1", rows=TRACE, kind="mooncake_trace"),
    "trace_without_its_times": Case("--no-fixed-schedule", "--request-count", "5", rows=TRACE,
                                    kind="mooncake_trace"),
    "random_sampling": Case("--dataset-sampling-strategy", "random", "--random-seed", "4",
                            "--request-count", "7", "--warmup-request-count", "2"),
    "shuffled": Case("--dataset-sampling-strategy", "shuffle", "--random-seed", "4",
                     "--request-count", "10", "--warmup-request-count", "2"),
    "pool": Case("--random-seed", "5", "--request-count", "7", kind="random_pool"),
    "pool_of_conversations": Case("--random-seed", "5", "--request-count", "7",
                                  "--num-conversations", "4", kind="random_pool"),
    "pool_of_entries": Case("--random-seed", "6", "--request-count", "6", "--num-prompts", "4",
                            kind="random_pool"),
    "seeded_lengths": Case(
        "--isl", "12", "--isl-stddev", "9", "--num-prompts", "5", "--request-count", "7",
        "--random-seed", "11", rows=None, bodies="prompts"),
    "edit": Case(
        "--extra-inputs", "flag:true", "--extra-inputs", "x:1.50", "--extra-inputs", "s:a b",
        "--request-count", "3", "--export-level", "raw", rows=EDITS, endpoint="image_edit",
        bodies="pictures", folder=DEFAULT_FOLDER.format("image_edit-concurrency1")),
    "edit_made_up": Case(
        "--isl", "9", "--image-width-mean", "16", "--image-width-stddev", "6",
        "--image-height-mean", "8", "--image-format", "png", "--request-count", "4",
        "--random-seed", "3", rows=None, endpoint="image_edit", bodies="prompts pictures"),
    "users": Case(
        "--isl", "9", "--user-centric-rate", "12", "--num-users", "3", "--session-turns-mean", "2",
        "--request-count", "10", "--random-seed", "3", rows=None, bodies="prompts",
        folder=DEFAULT_FOLDER.format("image_generation-user_centric-users3-qps12.0")),
    "users_with_uneven_sessions": Case(
        "--isl", "9", "--isl-stddev", "3", "--user-centric-rate", "15", "--num-users", "2",
        "--session-turns-mean", "4", "--session-turns-stddev", "1", "--request-count", "24",
        "--random-seed", "5", rows=None, bodies="prompts"),
    "connection_never": Case("--connection-reuse-strategy", "never", "--request-count", "3"),
    "gamma": Case("--request-rate", "25", "--arrival-pattern", "gamma", "--arrival-smoothness",
                  "3", "--random-seed", "9", "--request-count", "8", is_ordered=False),
    "burstiness_is_gamma": Case("--request-rate", "25", "--vllm-burstiness", "0.5",
                                "--random-seed", "9", "--request-count", "8", is_ordered=False),
    "constant_rate_with_cap": Case(
        "--request-rate", "30", "--request-rate-mode", "constant", "--concurrency", "3",
        "--request-count", "9", "--export-level", "summary", is_ordered=False,
        has_summary_lines=False),
    "duration": Case("--benchmark-duration", "1.5", "--benchmark-grace-period", "10",
                     "--concurrency", "2", script=slow(1), is_ordered=False),
    "warmup_of_its_own": Case(
        "--concurrency", "1", "--request-count", "3", "--warmup-request-count", "4",
        "--warmup-concurrency", "2", script=slow(0.05), is_ordered=False),
    "warmup_at_a_rate": Case(
        "--concurrency", "2", "--request-count", "4", "--warmup-request-count", "3",
        "--warmup-request-rate", "40", "--warmup-arrival-pattern", "constant", is_ordered=False),
    "two_urls": Case("--request-count", "5", urls=("", "/second/v1")),
    "custom_endpoint_and_query": Case("--endpoint", "/custom/path", "--request-count", "3",
                                      urls=("/base?k=v",)),
    "prefix_and_slices": Case("--profile-export-prefix", "foo", "--slice-duration", "0.3",
                              "--request-count", "5", script=slow(0.1)),
    "goodput_and_timeout": Case(
        "--goodput", "request_latency:150", "--request-timeout-seconds", "60", "--request-count",
        "4", "--header", "X-A:b:c",
        script=lambda i, r: Answer(delay=0.3 if i % 2 else 0)),
    "all_headers_and_usage": Case("-H", "X-One:a,X-Two:b", "--num-requests", "4",
                                  script=every_third_fails, fails=1),
}
for case in COMBINATIONS.values():
    case.args += QUIET
CASES = {**OBSERVED, **COMBINATIONS}
