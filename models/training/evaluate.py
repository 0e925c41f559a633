"""Contact sheets to look at, and the share of held-back prompts whose picture passes pixel checks.

The checks know what was asked: colour and shape of the objects, their count and relation, the
background; for landscapes, cities and the two friends, whether the top and the bottom of the picture
look like the asked scene rather than like the other scenes of its kind. `true drawings` runs the
checks on the generator's own pictures, which bounds what a model can reach.
"""

import random

import numpy
from PIL import Image, ImageDraw
from scipy import ndimage

import captions as grammar
import pictures
import sampler
import scenes
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
CHECK_PX = 128
LEAST_SHARE = 0.02  # of the picture, of each subject's colour
PALETTE = numpy.array([scenes.COLOURS[c] for c in scenes.PLAIN_COLOURS], numpy.float32)


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


# ---- checks of shapes ------------------------------------------------------------------------


def framed(mask):
    """The mask cut to its bounding box, as 32 x 32."""
    y, x = numpy.where(mask)
    cut = mask[y.min():y.max() + 1, x.min():x.max() + 1].astype(numpy.uint8) * 255
    return numpy.asarray(Image.fromarray(cut).resize((32, 32), Image.BILINEAR)) > 127


def shape_templates():
    templates = {}
    for t in scenes.SHAPES:
        p = Painter(64, 64)
        p.rect(0, 0, 1, 1, WHITE)
        draw_thing(p, t, 0.5, 0.5, 0.4, "black")
        templates[t] = framed(p.pixels()[:, :, 0] < 128)
    return templates


def check_things(s, image, templates):
    nearest = ((image[:, :, None].astype(numpy.float32) - PALETTE) ** 2).sum(-1).argmin(-1)
    background = scenes.PLAIN_COLOURS.index(s.background or "white")
    edge = numpy.concatenate([part.ravel() for part in (
        nearest[:4], nearest[-4:], nearest[:, :4], nearest[:, -4:])])
    result = dict(background=bool((edge == background).mean() > 0.6), colour=True, shape=True,
                  count=True)
    foreground = max(1, (nearest != background).sum())
    centres = []
    for t, c, n in s.things:
        mask = nearest == scenes.PLAIN_COLOURS.index(c)
        parts, n_parts = ndimage.label(mask)
        big = [i for i in range(1, n_parts + 1) if (parts == i).sum() > 60]
        share = mask.sum() / foreground
        result["colour"] &= bool(mask.sum() > 150 and
                                 share > (0.6 if len(s.things) == 1 else 0.25))
        result["count"] &= len(big) == n
        result["shape"] &= bool(big)
        for i in big:
            m = framed(parts == i)
            overlap = {u: (m & v).sum() / (m | v).sum() for u, v in templates.items()}
            result["shape"] &= max(overlap, key=overlap.get) == t
        centres.append(ndimage.center_of_mass(mask) if big else (0, 0))
    if s.relation:
        (ya, xa), (yb, xb) = centres
        gap = dict(above=yb - ya, below=ya - yb, left=xb - xa, right=xa - xb)[s.relation]
        result["position"] = bool(gap > 15)
    return result


# ---- checks of scenes ------------------------------------------------------------------------


def scene_class(s):
    if s.kind == "landscape":
        return s.terrain, s.time
    if s.kind == "city":
        return "city", s.time
    return "pals", s.backdrop if s.backdrop != "plain" else "plain " + s.background


def strips(image):
    """Mean colours of the sky's corners and of the ground."""
    q = CHECK_PX // 16
    top, bottom = image[:q], image[-q:]
    return numpy.concatenate([top.reshape(-1, 3).mean(0), bottom.reshape(-1, 3).mean(0)])


def scene_references(n=600, seed=5):
    r, seen = random.Random(seed), {}
    for _ in range(n):
        s = scenes.sample(r, r.choice(["landscape", "city", "pals"]))
        seen.setdefault((s.kind, scene_class(s)), []).append(
            strips(pictures.render(s, CHECK_PX)))
    return {key: numpy.mean(values, 0) for key, values in seen.items()}


def check_scene(s, image, references):
    look = strips(image)
    distance = {key: numpy.abs(look - value).sum() for key, value in references.items()
                if key[0] == s.kind}
    kind, found = min(distance, key=distance.get)
    wanted = scene_class(s)
    result = {"time of day" if kind != "pals" else "setting": found[1] == wanted[1]}
    if kind == "landscape":
        result["ground"] = found[0] == wanted[0] or distance[kind, wanted] < 60
    if kind == "pals":
        rgb = image.reshape(-1, 3).astype(numpy.float32)
        shares = [(numpy.abs(rgb - numpy.array(scenes.COLOURS[colour])).max(1) < 40).mean()
                  for colour in (s.robot, s.kitten) if colour]
        result["subject's colour"] = bool(min(shares) > LEAST_SHARE)
    return result


class Checker:
    def __init__(self):
        self.templates, self.references = shape_templates(), scene_references()

    def __call__(self, s, image):
        small = numpy.asarray(Image.fromarray(image).resize((CHECK_PX, CHECK_PX), Image.BOX))
        if s.kind == "things":
            return check_things(s, small, self.templates)
        return check_scene(s, small, self.references)


def tally(results):
    """Counts of passes by check, and of pictures that pass all of theirs."""
    table = {}
    for result in results:
        for key, passed in [*result.items(), ("everything", all(result.values()))]:
            n = table.setdefault(key, [0, 0])
            n[0] += bool(passed)
            n[1] += 1
    return table


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
    checker = Checker()
    if prompts:
        save_sheet(sheet_path + ".held_back.png", images, [c for _, c in prompts], 10, 150)
    table = tally(checker(s, image) for (s, _), image in zip(prompts, images))
    truth = tally(checker(s, pictures.render(s, IMAGE_PX)) for s, _ in prompts)
    return table, truth
