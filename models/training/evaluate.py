"""Contact sheets to look at, and the share of held-back prompts whose picture passes pixel checks.

`true drawings` runs the checks of checks.py on the generator's own pictures, which bounds what a
model can reach. Run as a program, it writes what ./dev bench quality needs.
"""

import dataclasses
import json
import random
import sys

import numpy
from PIL import Image, ImageDraw

import captions as grammar
import checks
import pictures
import sampler
import scenes
from checks import CHECK_PX, tally
from common import IMAGE_PX
from drawing import WHITE, Painter, draw_thing

DEMO = ["A serene mountain landscape at sunset", "A futuristic city with flying cars",
        "A cute robot playing with a kitten"]
SHOWN = DEMO + [
    "a red circle on a blue background", "two green triangles",
    "a yellow star above a purple square", "three pink hearts on a black background",
    "a white square to the left of an orange circle on a green background",
    "a blue house on a yellow background", "a red sailboat on the sea at night",
    "a snowy landscape with a purple balloon at dawn", "an orange cat in a room"]


# ---- the prompts -----------------------------------------------------------------------------


def held_back(n=100, seed=77):
    """(scene, caption) pairs: six in ten of shapes in unseen combinations, then scenes."""
    r, out = random.Random(seed), []
    wanted = ["one", "many", "pair", "one", "many", "pair", "landscape", "city", "pals", "landscape"]
    while len(out) < n:
        kind = wanted[len(out) % len(wanted)]
        if kind in ("landscape", "city", "pals"):
            s = scenes.sample(r, kind)
        else:
            s = scenes.sample(r, "things", held_back=True)
            s.size = None
            n_objects = sum(count for _, _, count in s.things)
            found = "pair" if s.relation else "one" if n_objects == 1 else "many"
            # Objects have no template, and two of one colour cannot be told apart by it.
            if (found != kind or any(t not in scenes.SHAPES for t, _, _ in s.things)
                    or len({c for _, c, _ in s.things}) < len(s.things)):
                continue
        out.append((s, grammar.caption(s, r)))
    return out


# ---- what the checks compare with --------------------------------------------------------------


def shape_templates():
    templates = {}
    for t in scenes.SHAPES:
        p = Painter(64, 64)
        p.rect(0, 0, 1, 1, WHITE)
        draw_thing(p, t, 0.5, 0.5, 0.4, "black")
        templates[t] = checks.framed(p.pixels()[:, :, 0] < 128)
    return templates


def scene_references(n=600, seed=5):
    r, seen = random.Random(seed), {}
    for _ in range(n):
        s = scenes.sample(r, r.choice(["landscape", "city", "pals"]))
        seen.setdefault(s.kind, {}).setdefault(checks.scene_look(s), []).append(
            checks.strips(pictures.render(s, CHECK_PX)))
    return {kind: {look: numpy.mean(values, 0) for look, values in looks.items()}
            for kind, looks in seen.items()}


def make_checker():
    return checks.Checker(shape_templates(), scene_references())


def write_prompts(path):
    """The prompts with their scenes and the checks' data, as JSON."""
    content = dict(
        templates={name: mask.astype(int).tolist() for name, mask in shape_templates().items()},
        references={kind: {look: [round(float(v), 2) for v in strip]
                           for look, strip in looks.items()}
                    for kind, looks in scene_references().items()},
        prompts=[dict(prompt=caption, scene=dataclasses.asdict(grammar.told(s, caption)))
                 for s, caption in held_back()])
    with open(path, "w", encoding="utf-8") as f:
        json.dump(content, f, separators=(",", ":"))
        f.write("\n")


# ---- sheets ----------------------------------------------------------------------------------


def save_sheet(path, images, captions, columns=4, side=256):
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * side, rows * (side + 16)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, caption) in enumerate(zip(images, captions)):
        x, y = i % columns * side, i // columns * (side + 16)
        sheet.paste(Image.fromarray(image).resize((side, side), Image.BICUBIC), (x, y))
        pen.text((x + 2, y + side + 2), caption[:side // 6], "black")
    sheet.save(path)


def run(model, draw, sheet_path, n_prompts=100, batch=20, **how):
    """Sheets beside sheet_path, and the table of passes. `draw` turns latents into images."""
    def draw_all(captions, seed):
        return draw(sampler.sample_latents(model, captions, seed=seed, **how))

    save_sheet(sheet_path + ".shown.png", draw_all(SHOWN, 1), SHOWN)
    prompts, images = held_back(n_prompts), []
    for i in range(0, n_prompts, batch):
        images += draw_all([caption for _, caption in prompts[i:i + batch]], 5 + i)
    checker = make_checker()
    if prompts:
        save_sheet(sheet_path + ".held_back.png", images, [c for _, c in prompts], 10, 150)
    asked = [grammar.told(*pair) for pair in prompts]
    table = tally(checker(s, image) for s, image in zip(asked, images))
    truth = tally(checker(told, pictures.render(s, IMAGE_PX))
                  for told, (s, _) in zip(asked, prompts))
    return table, truth


if __name__ == "__main__":
    write_prompts(sys.argv[1])
