"""Trains flux-tiny from nothing to the folder that ships: ./dev train-model [OPTIONS].

Stages, in order: tokenizers, text, latents, decoder, flow, guidance, export, evaluate. Each writes
its checkpoints below the work folder and goes on from them when it is started again, so the whole
command may be stopped and repeated at any time. A finished stage is skipped; its .done file in the
work folder says so.
"""

import argparse
import os
import time

import torch

import autoencoder
import common
import distill
import evaluate
import export
import flow
import latents
import sampler
import start
import text_encoders
import tokens
from common import say

# Minutes on two otherwise idle cores, and the steps of the smoke run.
BUDGETS = dict(text=(15, 2), decoder=(90, 7), flow=(240, 3), guidance=(20, 2))
STAGES = ["tokenizers", "text", "latents", "decoder", "flow", "guidance", "export", "evaluate"]


def parse():
    parser = argparse.ArgumentParser(prog="./dev train-model", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true",
                        help="a few steps of every stage, to see that the chain holds")
    parser.add_argument("--work", metavar="DIR",
                        help="folder of checkpoints (default: $FLUX_TINY_WORK or "
                             "~/.cache/flux-tiny)")
    parser.add_argument("--start-from", metavar="MODEL",
                        help="begin with an exported model's weights, for example "
                             "models/flux-tiny; only decoder, flow and guidance learn then")
    parser.add_argument("--out", metavar="DIR", help="where the model goes (default: WORK/export)")
    parser.add_argument("--stage", action="append", choices=STAGES,
                        help="only this stage, even when it is done (may repeat)")
    parser.add_argument("--minutes", type=float,
                        help="budget of each of the stages that learn, instead of its own")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


class Chain:
    """The stages over one work folder."""

    def __init__(self, work, out, is_smoke, minutes):
        self.work, self.out, self.is_smoke, self.minutes = work, out, is_smoke, minutes
        self.model = os.path.join(work, "model")
        os.makedirs(self.model, exist_ok=True)
        self.checkpoint = {name: os.path.join(work, name + ".pt")
                           for name in ("decoder", "flow", "guidance")}

    def start_from(self, model_folder):
        """What an exported model brings along counts as done. Does nothing a second time."""
        brought = ("tokenizers", "text", "latents")
        if not all(os.path.exists(self.done(stage)) for stage in brought):
            start.take_over(model_folder, self.model, flow.start_name(self.checkpoint["flow"]))
            for stage in brought:
                self.set_done(stage, f"from {model_folder}")

    def done(self, stage):
        return os.path.join(self.work, stage + ".done")

    def set_done(self, stage, text):
        with open(self.done(stage), "w", encoding="utf-8") as f:
            f.write(text + "\n")

    def budget(self, stage):
        minutes, smoke_steps = BUDGETS[stage]
        if self.is_smoke:
            return dict(n_steps=smoke_steps)
        return dict(minutes=self.minutes or minutes)

    def tokenizers(self):
        tokens.make(self.model, n_captions=8000 if self.is_smoke else 40000)

    def text(self):
        text_encoders.pretrain(self.model, **self.budget("text"))

    def latents(self):
        latents.fit(os.path.join(self.model, "latents.pt"), 300 if self.is_smoke else 3000)

    def decoder(self):
        autoencoder.train(self.model, self.checkpoint["decoder"], **self.budget("decoder"))

    def flow(self):
        flow.train(self.model, self.checkpoint["flow"], batch=8 if self.is_smoke else 32,
                   is_compiled=not self.is_smoke, **self.budget("flow"))

    def guidance(self):
        distill.train(self.model, self.flow_result(), self.checkpoint["guidance"],
                      batch=4 if self.is_smoke else 16, **self.budget("guidance"))

    def flow_result(self):
        return flow.final_name(self.checkpoint["flow"])

    def finished_model(self):
        return distill.load(self.model, self.flow_result(), self.checkpoint["guidance"])

    def export(self):
        size = export.write(self.out, self.finished_model(), export.load_vae(self.model))
        say(f"{self.out}: {size} bytes")

    def evaluate(self):
        model, vae = self.finished_model(), export.load_vae(self.model)
        how = dict(guidance=sampler.DEFAULT_GUIDANCE, true_guidance=False,
                   n_steps=2 if self.is_smoke else sampler.DEFAULT_STEPS)
        table, truth = evaluate.run(
            model, lambda z: sampler.decode(vae, z), os.path.join(self.work, "sheet"),
            n_prompts=10 if self.is_smoke else 100, **how)
        for check, (passed, of) in table.items():
            say(f"{check}: {passed} of {of} (true drawings {truth[check][0]})")

    def run(self, only):
        for stage in only or STAGES:
            if os.path.exists(self.done(stage)) and not only:
                continue
            start_s = time.monotonic()
            say(f"stage {stage}")
            getattr(self, stage)()
            self.set_done(stage, f"{time.monotonic() - start_s:.0f} s")


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    work = os.path.abspath(arguments.work or common.work_folder())
    out = os.path.abspath(arguments.out or os.path.join(work, "export"))
    chain = Chain(work, out, arguments.smoke, arguments.minutes)
    if arguments.start_from:
        chain.start_from(os.path.abspath(arguments.start_from))
    chain.run(arguments.stage)


if __name__ == "__main__":
    main()
