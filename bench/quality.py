"""How many of 100 fixed prompts does a model's picture fulfil? ./dev bench quality [OPTIONS]

Each prompt has pixel checks (models/training/checks.py): colour and shape of the subject, count,
position, background, time of day. The pictures are made by fluxserve, one server for each variant
below, with one fixed seed a prompt, so a numeric regression of the pipeline shows as a lower score; the
pictures' PSNR is that against the first variant's.
60 prompts combine what the embedded model has never seen together; 40 ask for its usual scenes.
"""

import argparse
import base64
import io
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

import numpy
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models/training"))

import checks  # noqa: E402
import scenes  # noqa: E402

# What is scored: a name and the server's options.
VARIANTS = {"f32": ["--dtype", "f32"], "bf16": ["--dtype", "bf16"]} | {
    scheme: ["--dtype", "f32", "--quantization", scheme] for scheme in ("int8", "fp8", "q4")}
PROMPTS = ROOT / "bench/quality_prompts.json"


class Server:
    """fluxserve on a port of its choosing; stopped at the end of a with block."""

    def __init__(self, program, options):
        self.process = subprocess.Popen(
            [program, "serve", "--host", "127.0.0.1", "--port", "0", *options],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def __enter__(self):
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                return self
        raise SystemExit("the server did not start:\n" + "".join(lines))

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()

    def draw(self, prompt, seed, wishes):
        """The picture, [Y, X, 3] bytes."""
        body = json.dumps(dict(prompt=prompt, seed=seed, response_format="b64_json", **wishes))
        request = urllib.request.Request(self.url + "/v1/images/generations", body.encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            data = json.load(answer)["data"][0]["b64_json"]
        return numpy.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def score(server, prompts, checker, wishes, save):
    results, images = [], []
    for i, p in enumerate(prompts):
        image = server.draw(p["prompt"], 1000 + i, wishes)
        results.append(checker(scenes.Scene(**p["scene"]), image))
        images.append(image)
        if save:
            save.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(save / f"{i:03}.png")
    return checks.tally(results), results, images


def psnr(images, reference):
    """Mean and worst peak signal to noise ratio in dB; None where all are the same."""
    squares = numpy.array([((a.astype(float) - b) ** 2).mean() for a, b in zip(images, reference)])
    if not squares.any():
        return None
    ratios = 10 * numpy.log10(255 ** 2 / squares.clip(1e-4))
    return dict(mean=round(float(ratios.mean()), 2), worst=round(float(ratios.min()), 2))


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench quality", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", action="append", choices=VARIANTS,
                        help="only this one (may repeat)")
    parser.add_argument("--steps", type=int, help="instead of the model's own")
    parser.add_argument("--prompts", type=int, default=100, help="only the first N")
    parser.add_argument("--model-path", help="instead of the embedded model")
    parser.add_argument("--save", metavar="DIR", type=pathlib.Path, help="keep the pictures")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write the results")
    parser.add_argument("--program", default=str(ROOT / "build/release/fluxserve"))
    return parser.parse_args()


def main():
    arguments = parse()
    content = json.loads(PROMPTS.read_text())
    checker = checks.Checker(content["templates"], content["references"])
    prompts = content["prompts"][:arguments.prompts]
    model = ["--model-path", arguments.model_path] if arguments.model_path else []
    wishes = dict(num_inference_steps=arguments.steps) if arguments.steps else {}
    tables, reference = {}, None
    for variant in arguments.variant or VARIANTS:
        start_s = time.monotonic()
        with Server(arguments.program, [*VARIANTS[variant], *model]) as server:
            table, results, images = score(server, prompts, checker, wishes,
                                           arguments.save and arguments.save / variant)
        reference = reference or images
        tables[variant] = dict(checks=table, passed=[all(r.values()) for r in results],
                               psnr=psnr(images, reference))
        print(f"{variant}: {len(prompts)} prompts in {time.monotonic() - start_s:.0f} s")
    print(f"{'check':20}" + "".join(f"{v:>12}" for v in tables))
    for check in next(iter(tables.values()))["checks"]:
        print(f"{check:20}" + "".join(
            "{:>8} / {}".format(*t["checks"][check]) for t in tables.values()))
    for which in ("mean", "worst"):
        print(f"{'PSNR, ' + which:20}" + "".join(
            f"{t['psnr'][which]:>9.1f} dB" if t["psnr"] else f"{'same':>12}"
            for t in tables.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(tables) + "\n")


if __name__ == "__main__":
    main()
