"""What a picture shows: random scenes and the attributes a caption can tell about them.

Four kinds. `landscape`: one of seven terrains at one of four times of day, with up to two objects.
`city`: a skyline, perhaps a futuristic one with flying cars. `pals`: a robot, a kitten or both.
`things`: shapes and objects of given colour, count and relation on a plain background. drawing.py
and pictures.py draw a scene, captions.py describes it in words.
"""

import dataclasses
import random

COLOURS = dict(red=(218, 48, 44), orange=(242, 138, 36), yellow=(250, 208, 50),
               green=(62, 160, 76), blue=(46, 100, 214), purple=(132, 70, 184),
               pink=(242, 132, 178), white=(248, 248, 248), black=(34, 34, 40),
               gray=(140, 146, 152), brown=(134, 88, 56))
PLAIN_COLOURS = [c for c in COLOURS if c != "brown"]
SHAPES = ["circle", "square", "triangle", "star", "heart", "diamond"]
OBJECTS = ["house", "tree", "boat", "rocket", "balloon", "car"]
THINGS = SHAPES + OBJECTS
TERRAINS = ["mountains", "snow", "sea", "desert", "forest", "hills", "lake"]
TIMES = ["day", "sunset", "night", "dawn"]
BACKDROPS = ["room", "meadow", "park", "night", "plain"]
RELATIONS = ["above", "below", "left", "right"]
OPPOSITE = dict(above="below", below="above", left="right", right="left")
KINDS = dict(landscape=0.13, city=0.07, pals=0.2, things=0.6)
CITY_TIMES = dict(day=0.25, sunset=0.25, night=0.35, dawn=0.15)
ROBOT_COLOURS = ["gray", "blue", "red", "green", "orange", "purple", "white", "yellow"]
KITTEN_COLOURS = ["orange", "gray", "black", "white", "brown"]
ANY_COLOUR = "any"  # of a friend whose colour a caption leaves open
BALL_COLOURS = ["red", "blue", "yellow", "green", "pink"]
EXTRA_COLOURS = ["red", "orange", "yellow", "blue", "purple", "pink", "white"]
WALL_COLOURS = ["blue", "yellow", "pink", "green", "white", "orange", "purple"]
EXTRAS = dict(mountains=["house", "tree", "balloon", "rocket"], snow=["house", "tree", "balloon"],
              sea=["boat", "balloon", "rocket"], desert=["cactus", "balloon", "rocket"],
              forest=["house", "balloon"], hills=["house", "tree", "balloon", "rocket"],
              lake=["boat", "house", "balloon", "tree"])
SIZES = [None, "small", "large"]


@dataclasses.dataclass
class Scene:
    kind: str
    seed: int  # of everything that is drawn but not told
    terrain: str = None
    time: str = None
    background: str = None  # a colour; None: white, not mentioned
    things: list = dataclasses.field(default_factory=list)  # (thing, colour, count)
    relation: str = None  # of the first thing to the second
    size: str = None
    extras: list = dataclasses.field(default_factory=list)  # (thing, colour) in a landscape
    is_futuristic: bool = False
    has_flying_cars: bool = False
    robot: str = None  # colours
    kitten: str = None
    ball: str = None
    action: str = None  # "play", "beside"
    backdrop: str = None
    is_swapped: bool = False  # the robot stands on the right


def weighted(r, weights):
    return r.choices(list(weights), list(weights.values()))[0]


def is_held_back(thing, colour, background):
    """One combination in nine of thing, colour and background is never trained on."""
    return (THINGS.index(thing) * 7 + PLAIN_COLOURS.index(colour) * 3
            + PLAIN_COLOURS.index(background) * 5) % 9 == 0


def sample(r, kind=None, held_back=False):
    """A random scene. `held_back` asks `things` for a combination that training never shows."""
    s = Scene(kind or weighted(r, KINDS), r.getrandbits(31))
    if s.kind == "things":
        while True:
            sample_things(s, r)
            if is_legible(s) and held_back == any(
                    is_held_back(t, c, s.background or "white") for t, c, _ in s.things):
                return s
    dict(landscape=sample_landscape, city=sample_city, pals=sample_pals)[s.kind](s, r)
    return s


def sample_landscape(s, r):
    s.terrain, s.time = r.choice(TERRAINS), r.choice(TIMES)
    n = r.choices([0, 1, 2], [0.5, 0.4, 0.1])[0]
    for thing in r.sample(EXTRAS[s.terrain], n):
        s.extras.append((thing, "green" if thing in ("tree", "cactus") else
                         r.choice(EXTRA_COLOURS)))


def sample_city(s, r):
    s.time = weighted(r, CITY_TIMES)
    s.is_futuristic = r.random() < 0.7
    s.has_flying_cars = r.random() < (0.75 if s.is_futuristic else 0.15)


def sample_pals(s, r):
    who = r.random()
    s.backdrop = r.choice(BACKDROPS)
    if who < 0.75:
        s.robot = r.choice(ROBOT_COLOURS)
    if who > 0.25:
        s.kitten = r.choice(KITTEN_COLOURS)
    if s.robot and s.kitten:
        s.action = r.choices(["play", "beside"], [0.65, 0.35])[0]
        s.is_swapped = r.random() < 0.25
    else:
        s.action = r.choices(["play", None], [0.3, 0.7])[0]
    if s.action == "play":
        s.ball = r.choice(BALL_COLOURS)
    if s.backdrop == "plain":
        s.background = r.choice(WALL_COLOURS)


def sample_things(s, r):
    s.relation = s.size = None
    s.background = r.choice(PLAIN_COLOURS) if r.random() < 0.75 else None

    def one(count=1):
        thing = r.choice(SHAPES if r.random() < 0.75 else OBJECTS)
        return thing, r.choice(PLAIN_COLOURS), count

    what = r.random()
    if what < 0.25:
        s.things = [one()]
        s.size = r.choices(SIZES, [0.7, 0.15, 0.15])[0]
    elif what < 0.42:
        s.things = [one(r.choice([2, 3, 4]))]
    else:
        s.things, s.relation = [one(), one()], r.choice(RELATIONS)


def is_legible(s):
    background = s.background or "white"
    for _, colour, _ in s.things:
        if colour == background or {colour, background} == {"gray", "black"}:
            return False
    return len(s.things) == 1 or s.things[0] != s.things[1]


# ---- attributes for the pretraining of the text encoders -------------------------------------


def place(options, value):
    """0 for nothing said, else one more than the place among the options."""
    return 0 if value is None else 1 + options.index(value)


EXTRA_THINGS = ["house", "boat", "balloon", "rocket", "tree", "cactus"]
ATTRIBUTE_SIZES = ([4, 8, 5, 12, 13, 12, 5] + [13, 12] * 4 + [2, 2, 12, 12, 3, 6] + [12] * 6
                   + [3, 12])


def attributes(s):
    """One small number for each entry of ATTRIBUTE_SIZES.

    Two things are told by their places, not by their order in the scene: a caption may name either
    first, and the transformer has to learn from the text who stands where. With labels by order,
    both encoders stayed at guessing, and so did the pictures.
    """
    nothing = (None, None, 0)
    alone = s.things[0] if len(s.things) == 1 else nothing
    at = {s.relation: s.things[0], OPPOSITE[s.relation]: s.things[1]} if s.relation else {}
    extras, colours = dict(s.extras), list(COLOURS)
    return [
        list(KINDS).index(s.kind), place(TERRAINS, s.terrain), place(TIMES, s.time),
        place(colours, s.background), place(THINGS, alone[0]), place(colours, alone[1]), alone[2],
        *(number for side in RELATIONS for thing, colour, _ in [at.get(side, nothing)]
          for number in (place(THINGS, thing), place(colours, colour))),
        int(s.has_flying_cars), int(s.is_futuristic), place(colours, s.robot),
        place(colours, s.kitten), place(["play", "beside"], s.action), place(BACKDROPS, s.backdrop),
        *(place(colours, extras.get(thing)) for thing in EXTRA_THINGS),
        SIZES.index(s.size), place(colours, s.ball)]


if __name__ == "__main__":
    import captions

    r = random.Random(0)
    for _ in range(20):
        print(captions.caption(sample(r), r))
