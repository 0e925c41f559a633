"""The pixel checks behind the score of a model: does a picture show the scene that was asked for?

The checks know what was asked: colour and shape of the objects, their count and relation, the
background; for landscapes, cities and the two friends, whether the top and the bottom of the picture
look like the asked scene rather than like the other scenes of its kind. What a caption leaves open
(captions.told) is not checked, or may be anything. What they compare with is
data, made once by evaluate.py from the generator's own drawings.
"""

import numpy
from PIL import Image
from scipy import ndimage

import scenes

CHECK_PX = 128
LEAST_SHARE = 0.02  # of the picture, of each subject's colour
PALETTE = numpy.array([scenes.COLOURS[c] for c in scenes.PLAIN_COLOURS], numpy.float32)


# ---- checks of shapes ------------------------------------------------------------------------


def framed(mask):
    """The mask cut to its bounding box, as 32 x 32."""
    y, x = numpy.where(mask)
    cut = mask[y.min():y.max() + 1, x.min():x.max() + 1].astype(numpy.uint8) * 255
    return numpy.asarray(Image.fromarray(cut).resize((32, 32), Image.BILINEAR)) > 127


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


def scene_look(s):
    """What the checks tell apart, two words."""
    if s.kind == "landscape":
        return f"{s.terrain} {s.time}"
    if s.kind == "city":
        return f"city {s.time}"
    return f"pals {s.backdrop}" if s.backdrop != "plain" else f"pals plain-{s.background}"


def strips(image):
    """Mean colours of the sky's corners and of the ground."""
    q = CHECK_PX // 16
    top, bottom = image[:q], image[-q:]
    return numpy.concatenate([top.reshape(-1, 3).mean(0), bottom.reshape(-1, 3).mean(0)])


def has_colour(image, colour, any_of):
    """Does a friend's colour take its share? `colour` may be None, or ANY_COLOUR of a list."""
    rgb = image.reshape(-1, 3).astype(numpy.float32)
    wanted = any_of if colour == scenes.ANY_COLOUR else [colour] if colour else []
    shares = [(numpy.abs(rgb - numpy.array(scenes.COLOURS[c])).max(1) < 40).mean() for c in wanted]
    return not wanted or bool(max(shares) > LEAST_SHARE)


def check_scene(s, image, references):
    result = {}
    if s.kind == "pals":
        result["subject's colour"] = (has_colour(image, s.robot, scenes.ROBOT_COLOURS)
                                      and has_colour(image, s.kitten, scenes.KITTEN_COLOURS))
        if not s.backdrop:
            return result
    look = strips(image)
    distance = {key: numpy.abs(look - value).sum() for key, value in references.items()}
    wanted, found = scene_look(s), min(distance, key=distance.get)
    (wanted_ground, wanted_light), (ground, light) = wanted.split(), found.split()
    result["setting" if s.kind == "pals" else "time of day"] = light == wanted_light
    if s.kind == "landscape":
        result["ground"] = ground == wanted_ground or bool(distance[wanted] < 60)
    return result


class Checker:
    """templates: the mask of each shape; references: {kind: {look: strips of its mean}}."""

    def __init__(self, templates, references):
        self.templates = {name: numpy.array(mask, bool) for name, mask in templates.items()}
        self.references = {kind: {look: numpy.array(strip) for look, strip in looks.items()}
                           for kind, looks in references.items()}

    def __call__(self, s, image):
        """{check: passed} of a picture, [Y, X, 3] bytes, that should show the scene s."""
        small = numpy.asarray(Image.fromarray(image).resize((CHECK_PX, CHECK_PX), Image.BOX))
        if s.kind == "things":
            return check_things(s, small, self.templates)
        return check_scene(s, small, self.references[s.kind])


def tally(results):
    """Counts of passes by check, and of pictures that pass all of theirs."""
    table = {}
    for result in results:
        for key, passed in [*result.items(), ("everything", all(result.values()))]:
            n = table.setdefault(key, [0, 0])
            n[0] += bool(passed)
            n[1] += 1
    return table


