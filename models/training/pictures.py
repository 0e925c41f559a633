"""Composes a scene into a picture: sky, ground, skyline, room, and where the objects stand.

What a caption does not tell comes from the scene's own seed, so the same scene is the same picture
at every size.
"""

import math
import random

from drawing import (WHITE, Painter, darker, draw_kitten, draw_robot, draw_thing, lighter, rgb,
                     tinted)

SKIES = dict(
    day=[(0, (0.36, 0.64, 0.93)), (1, (0.78, 0.91, 0.98))],
    sunset=[(0, (0.36, 0.22, 0.48)), (0.5, (0.92, 0.42, 0.36)), (1, (1.0, 0.78, 0.42))],
    night=[(0, (0.04, 0.06, 0.17)), (1, (0.13, 0.18, 0.38))],
    dawn=[(0, (0.55, 0.62, 0.86)), (0.6, (0.94, 0.74, 0.80)), (1, (1.0, 0.90, 0.76))])
SUNS = dict(day=((1, 0.88, 0.34), 0.065), sunset=((1, 0.86, 0.40), 0.1),
            dawn=((1, 0.96, 0.80), 0.075))


# ---- parts of landscapes ---------------------------------------------------------------------


def draw_sky(p, r, time, horizon):
    """Sky with sun or moon, stars or clouds; returns where the light stands."""
    p.gradient(0, horizon, SKIES[time])
    if time == "night":
        for _ in range(14):
            p.circle(r.random(), r.random() * horizon * 0.92, r.uniform(0.005, 0.008),
                     (1, 1, 0.92))
        x, y = r.uniform(0.2, 0.8), r.uniform(0.12, 0.22)
        with p.upright(x, y):
            p.circle(x, y, 0.062, (0.97, 0.96, 0.86))
            p.circle(x + 0.028, y - 0.012, 0.052, SKIES["night"][0][1])
        return x
    x = r.uniform(0.22, 0.78)
    y = dict(day=r.uniform(0.1, 0.18), sunset=horizon - r.uniform(0.02, 0.12),
             dawn=horizon - r.uniform(0.06, 0.15))[time]
    colour, radius = SUNS[time]
    p.circle(x, y, radius * 1.45, (*colour, 0.28))
    p.circle(x, y, radius, colour)
    if time != "sunset":
        for _ in range(r.choice([1, 2, 2])):
            draw_cloud(p, r.uniform(0.1, 0.9), r.uniform(0.08, horizon * 0.55),
                       r.uniform(0.7, 1.1))
    return x


def draw_cloud(p, x, y, k):
    white = (1, 1, 1, 0.92)
    with p.upright(x, y):
        for dx, dy, radius in ((0, 0, 0.045), (-0.05, 0.012, 0.032), (0.05, 0.012, 0.034)):
            p.circle(x + dx * k, y + dy * k, radius * k, white)
        p.round_rect(x - 0.08 * k, y + 0.01 * k, 0.165 * k, 0.036 * k, 0.017 * k, white)


def draw_ridge(p, r, y, height, n_peaks, colour, snow=None):
    """A mountain range with its foot at y; `snow` is the colour of its caps."""
    x = -r.uniform(0.05, 0.2)
    points = [(-0.3, 1.1), (-0.3, y)]
    while x < 1.15:
        width = r.uniform(0.75, 1.25) / n_peaks
        h = height * r.uniform(0.55, 1.1)
        points += [(x + width / 2, y - h), (x + width, y - h * r.uniform(0, 0.25))]
        x += width
    points += [(1.3, y), (1.3, 1.1)]
    p.polygon(points, colour)
    if snow is None:
        return
    for i in range(2, len(points) - 2, 2):
        (lx, ly), (px, py), (rx, ry) = points[i - 1:i + 2]
        if ly - py > 0.05:
            # Down the right flank, back in a zigzag, up the left one.
            p.polygon([(px, py), (px + (rx - px) * 0.34, py + (ry - py) * 0.34),
                       (px + (rx - px) * 0.136, py + (ly - py) * 0.255),
                       (px, py + (ly - py) * 0.357),
                       (px + (lx - px) * 0.153, py + (ly - py) * 0.245),
                       (px + (lx - px) * 0.34, py + (ly - py) * 0.34)], snow)


def draw_hill(p, r, y, height, waves, colour):
    phase = r.random() * 6
    p.polygon([(0, 1.02)] + [(i / 40, y - height * math.sin(phase + waves * i / 40))
                             for i in range(41)] + [(1, 1.02)], colour)


def draw_pine(p, x, y, height, colour):
    width = height * 0.3
    p.rect(x - height * 0.04, y - height * 0.12, height * 0.08, height * 0.14, darker(colour, 0.5))
    for i in range(3):
        half = width * (1 - 0.24 * i)
        p.polygon([(x - half, y - height * (0.1 + 0.26 * i)),
                   (x + half, y - height * (0.1 + 0.26 * i)),
                   (x, y - height * (0.52 + 0.24 * i))], darker(colour, 0.86 + 0.1 * i))


# ---- the grounds of the seven terrains: (painter, random, colour by light, time, sun's x) ------


def mountains(p, r, light, time, sun_x):
    draw_ridge(p, r, 0.66, 0.34, 2.2, light((128, 138, 176), 0.08),
               light((246, 248, 255)) if r.random() < 0.5 else None)
    draw_ridge(p, r, 0.72, 0.22, 3.2, light((92, 104, 140)))
    draw_hill(p, r, 0.76, 0.03, 4, light((92, 150, 84)))
    draw_hill(p, r, 0.87, 0.03, 5, light((70, 128, 70)))


def snow(p, r, light, time, sun_x):
    draw_ridge(p, r, 0.66, 0.36, 2.3, light((148, 166, 200)), light((250, 252, 255)))
    draw_hill(p, r, 0.74, 0.035, 4, light((232, 240, 250)))
    draw_hill(p, r, 0.86, 0.03, 5, light((246, 250, 255)))
    for _ in range(r.choice([2, 3, 4])):
        x = r.choice([r.uniform(0.04, 0.3), r.uniform(0.7, 0.96)])
        draw_pine(p, x, r.uniform(0.78, 0.9), r.uniform(0.16, 0.24), light((60, 116, 96)))


def sea(p, r, light, time, sun_x):
    near, far = light((24, 84, 150)), light((40, 128, 190))
    p.gradient(SEA_HORIZON, 1, [(0, far), (1, near)])
    if time != "day":
        glow = (0.95, 0.95, 0.85, 0.5) if time == "night" else (1, 0.9, 0.6, 0.6)
        for i in range(6):
            width = 0.11 - 0.008 * i
            p.round_rect(sun_x - width / 2 + 0.02 * math.sin(i * 2.1),
                         SEA_HORIZON + 0.02 + 0.05 * i, width, 0.014, 0.007, glow)
    for _ in range(6):
        p.round_rect(r.random() - 0.06, r.uniform(SEA_HORIZON + 0.04, 0.97), 0.12, 0.014, 0.007,
                     (1, 1, 1, 0.28))
    if r.random() < 0.3:
        p.ellipse(r.choice([0.12, 0.88]), SEA_HORIZON + 0.005, 0.16, 0.075, light((96, 120, 96)))
        blend = [u * 0.82 + v * 0.18 for u, v in zip(far, near)]
        p.gradient(SEA_HORIZON, SEA_HORIZON + 0.085, [(0, far), (1, blend)])


def desert(p, r, light, time, sun_x):
    draw_hill(p, r, 0.66, 0.05, 4, light((236, 190, 120)))
    draw_hill(p, r, 0.76, 0.05, 5, light((224, 170, 100)))
    draw_hill(p, r, 0.88, 0.04, 5, light((208, 150, 84)))


def forest(p, r, light, time, sun_x):
    for y, height, n, colour in ((0.70, 0.26, 9, (96, 150, 110)), (0.79, 0.32, 7, (62, 124, 82)),
                                 (0.93, 0.36, 6, (38, 98, 62))):
        draw_hill(p, r, y - 0.02, 0.01, 5, light(colour))
        for i in range(n):
            draw_pine(p, (i + r.uniform(0.2, 0.8)) / n, y + r.uniform(-0.01, 0.02),
                      height * r.uniform(0.85, 1.12), light(colour))


def hills(p, r, light, time, sun_x):
    draw_hill(p, r, 0.66, 0.06, 5, light((150, 196, 110)))
    draw_hill(p, r, 0.76, 0.05, 5, light((116, 178, 92)))
    draw_hill(p, r, 0.88, 0.04, 6, light((86, 154, 76)))
    for _ in range(5):
        p.circle(r.random(), r.uniform(0.9, 0.98), 0.009,
                 light(r.choice(["yellow", "red", "white", "pink"])))


def lake(p, r, light, time, sun_x):
    draw_ridge(p, r, 0.66, 0.30, 2.4, light((120, 134, 170), 0.05),
               light((246, 248, 255)) if r.random() < 0.5 else None)
    draw_hill(p, r, 0.68, 0.015, 7, light((74, 130, 84)))
    p.gradient(0.70, 1, [(0, light((110, 172, 214))), (1, light((56, 120, 178)))])
    for _ in range(6):
        p.round_rect(r.random() - 0.06, r.uniform(0.74, 0.96), 0.12, 0.012, 0.006, (1, 1, 1, 0.3))


SEA_HORIZON = 0.62
HORIZON = 0.66
GROUNDS = dict(mountains=mountains, snow=snow, sea=sea, desert=desert, forest=forest, hills=hills,
               lake=lake)


def landscape(p, s, r):
    horizon = SEA_HORIZON if s.terrain == "sea" else HORIZON
    sun_x = draw_sky(p, r, s.time, horizon + 0.06)
    GROUNDS[s.terrain](p, r, lambda colour, extra=0.0: tinted(colour, s.time, extra), s.time, sun_x)
    extras = list(s.extras)
    if s.terrain == "desert" and not any(t == "cactus" for t, _ in extras) and r.random() < 0.4:
        extras.append(("cactus", "green"))
    places = [0.28, 0.72]
    r.shuffle(places)
    # What flies is lit from all sides.
    aloft = "sunset" if s.time == "night" else "day"
    for thing, colour in extras:
        x = places.pop() + r.uniform(-0.06, 0.06) if places else 0.5
        y, radius, time = dict(
            house=(0.80, r.uniform(0.09, 0.115), s.time), tree=(0.76, r.uniform(0.12, 0.16), s.time),
            boat=(r.uniform(0.66, 0.74) if s.terrain == "sea" else 0.78, r.uniform(0.11, 0.14),
                  s.time),
            cactus=(0.80, r.uniform(0.09, 0.12), s.time),
            balloon=(r.uniform(0.22, 0.34), r.uniform(0.11, 0.14), aloft),
            rocket=(r.uniform(0.24, 0.34), r.uniform(0.12, 0.15), aloft))[thing]
        draw_thing(p, thing, x, y, radius, colour, time)


# ---- city ------------------------------------------------------------------------------------


def draw_roof(p, r, s, style, x, top, width, colour):
    if s.is_futuristic:
        if style < 0.35:
            p.circle(x + width / 2, top, width / 2, colour)
        elif style < 0.7:
            p.polygon([(x, top), (x + width / 2, top - width * 1.1), (x + width, top)], colour)
            p.line([(x + width / 2, top - width), (x + width / 2, top - width * 1.7)], 0.008,
                   colour)
        else:
            p.polygon([(x, top), (x + width, top - width * 0.7), (x + width, top)], colour)
    elif style < 0.3:
        p.polygon([(x - 0.01, top), (x + width / 2, top - 0.05), (x + width + 0.01, top)],
                  darker(colour, 0.8))


def draw_windows(p, r, s, x, top, width, colour):
    if s.time in ("night", "sunset"):
        lit = (1, 0.86, 0.42)
        if s.is_futuristic:
            lit = r.choice([lit, (0.4, 0.95, 1), (1, 0.5, 0.9)])
    else:
        lit = lighter(colour, 0.5)
    for column in range(2):
        y = top + 0.045
        while y < 0.85:
            if r.random() < 0.85:
                p.rect(x + width * (0.16 + 0.40 * column), y, width * 0.28, 0.034, lit)
            y += 0.075


def draw_flying_car(p, r, x, y):
    q = r.uniform(0.075, 0.1)
    colour = rgb(r.choice(["red", "yellow", "blue", "orange", "pink", "white"]))
    x, y = x + r.uniform(-0.05, 0.05), y + r.uniform(-0.03, 0.03)
    with p.upright(x, y):
        p.ellipse(x, y + q * 0.5, q * 0.95, q * 0.16, (0.45, 0.95, 1, 0.75))
        p.polygon([(x - q * 0.5, y), (x - q * 0.25, y - q * 0.42), (x + q * 0.3, y - q * 0.42),
                   (x + q * 0.6, y)], (0.75, 0.92, 1))
        p.round_rect(x - q, y - q * 0.05, q * 2, q * 0.42, q * 0.18, colour)
        p.circle(x + q * 0.9, y + q * 0.12, q * 0.12, (1, 1, 0.7))


def city(p, s, r):
    draw_sky(p, r, s.time, 0.85)
    colours = (((120, 132, 190), (70, 78, 140)) if s.is_futuristic else
               ((150, 156, 170), (104, 108, 124)))
    for layer, (widths, heights) in enumerate((((0.11, 0.15), (0.28, 0.62)),
                                               ((0.13, 0.18), (0.16, 0.44)))):
        x = -0.04 + r.uniform(0, 0.04)
        while x < 1:
            width, height = r.uniform(*widths), r.uniform(*heights)
            top = 0.9 - height * (1 if s.is_futuristic else 0.78)
            shade = r.uniform(0.9, 1.1)
            colour = [v * shade for v in tinted(colours[layer], s.time)]
            p.rect(x, top, width, 1 - top, colour)
            style = r.random()
            draw_roof(p, r, s, style, x, top, width, colour)
            if layer == 1 or style < 0.6:
                draw_windows(p, r, s, x, top, width, colour)
            x += width + r.uniform(0, 0.02)
    p.rect(0, 0.9, 1, 0.1, tinted((70, 74, 88), s.time))
    for i in range(5):
        p.rect(0.04 + 0.2 * i, 0.945, 0.1, 0.012, tinted((230, 220, 150), s.time))
    if s.has_flying_cars:
        spots = [(0.22, 0.2), (0.7, 0.15), (0.5, 0.33), (0.82, 0.42), (0.14, 0.44)]
        r.shuffle(spots)
        for x, y in spots[:r.choice([2, 3, 3, 4])]:
            draw_flying_car(p, r, x, y)
    elif r.random() < 0.5:
        for i in range(2):
            draw_thing(p, "car", r.uniform(0.1, 0.4) + 0.45 * i, 0.93, 0.06,
                       r.choice(["red", "yellow", "blue", "white"]))


# ---- the two friends -------------------------------------------------------------------------

FLOOR = 0.74


def plain(p, s, r):
    wall = rgb(s.background, 1, (255, 255, 255), 0 if s.background == "white" else 0.45)
    p.rect(0, 0, 1, 1, wall)
    p.rect(0, FLOOR, 1, 1 - FLOOR, darker(wall, 0.9))


def room(p, s, r):
    p.rect(0, 0, 1, 1, (0.96, 0.88, 0.76))
    p.rect(0, FLOOR, 1, 1 - FLOOR, (0.72, 0.52, 0.36))
    p.rect(0, FLOOR - 0.015, 1, 0.015, (0.99, 0.96, 0.9))
    x = r.choice([0.12, 0.64])
    p.rect(x, 0.1, 0.24, 0.26, WHITE)
    for left in (0.015, 0.125):
        p.rect(x + left, 0.115, 0.1, 0.23, (0.6, 0.82, 0.96))


def meadow(p, s, r):
    draw_sky(p, r, "day", FLOOR)
    draw_hill(p, r, 0.68, 0.04, 4, rgb((150, 200, 112)))
    draw_hill(p, r, 0.76, 0.015, 5, rgb((112, 178, 88)))


def park(p, s, r):
    draw_sky(p, r, "day", FLOOR)
    draw_thing(p, "tree", r.choice([0.1, 0.9]), 0.52, 0.26, "green")
    p.rect(0, FLOOR, 1, 1 - FLOOR, rgb((120, 184, 96)))
    p.ellipse(0.5, 1.0, 0.5, 0.17, rgb((226, 204, 160)))


def night(p, s, r):
    draw_sky(p, r, "night", FLOOR)
    draw_hill(p, r, 0.72, 0.02, 4, (0.13, 0.22, 0.25))
    p.rect(0, 0.78, 1, 0.22, (0.10, 0.18, 0.2))


BACKDROPS = dict(plain=plain, room=room, meadow=meadow, park=park, night=night)


def pals(p, s, r):
    BACKDROPS[s.backdrop](p, s, r)

    def about(value, by):
        return value + r.uniform(-by, by)

    def robot(x, y, radius):
        with p.upright(x, y):
            draw_robot(p, x, y, radius, s.robot)

    def kitten(x, y, radius, is_flipped):
        with p.upright(x, y):
            draw_kitten(p, x, y, radius, s.kitten, is_flipped)

    if s.robot and s.kitten:
        robot_x, kitten_x = (0.7, 0.28) if s.is_swapped else (0.3, 0.72)
        robot(about(robot_x, 0.02), about(0.54, 0.015), about(0.29, 0.01))
        kitten(about(kitten_x, 0.02), about(0.64, 0.015), about(0.22, 0.01),
               kitten_x < 0.5)
        ball = 0.52, 0.86
    elif s.robot:
        robot(about(0.5, 0.06), about(0.52, 0.02), about(0.33, 0.03))
        ball = r.choice([0.16, 0.84]), 0.84
    else:
        kitten(about(0.5, 0.06), about(0.55, 0.02), about(0.30, 0.03), r.random() < 0.5)
        ball = r.choice([0.14, 0.86]), 0.84
    if s.ball:
        p.striped_ball(about(ball[0], 0.02), ball[1], 0.075, s.ball)


# ---- shapes and objects ----------------------------------------------------------------------

TWO = [(0.27, 0.5), (0.73, 0.5)]
ROW_OF_THREE = [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)]
THREE = [(0.5, 0.27), (0.26, 0.71), (0.74, 0.71)]
FOUR = [(0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)]
DIRECTIONS = dict(above=(0, -1), below=(0, 1), left=(-1, 0), right=(1, 0))


def things(p, s, r):
    p.rect(0, 0, 1, 1, rgb(s.background or "white"))

    def about(value, by):
        return value + r.uniform(-by, by)

    if len(s.things) == 2:
        dx, dy = DIRECTIONS[s.relation]
        radius = about(0.185, 0.015)
        for (thing, colour, _), side in zip(s.things, (0.24, -0.24)):
            draw_thing(p, thing, about(0.5 + dx * side, 0.025), about(0.5 + dy * side, 0.025),
                       radius, colour)
        return
    thing, colour, count = s.things[0]
    if count == 1:
        radius = about({"small": 0.13, "large": 0.38, None: 0.27}[s.size], 0.02)
        draw_thing(p, thing, about(0.5, 0.04), about(0.5, 0.04), radius, colour)
        return
    spots = {2: TWO, 3: r.choice([ROW_OF_THREE, THREE]), 4: FOUR}[count]
    radius = 0.135 if spots is ROW_OF_THREE else 0.17 if count == 3 else 0.18
    radius = about(radius, 0.02)
    for x, y in spots:
        draw_thing(p, thing, about(x, 0.02), about(y, 0.02), about(radius, 0.008), colour)


def render(s, width_px, height_px=None):
    """The picture of a scene, [Y, X, 3] bytes; a square without a height."""
    p = Painter(width_px, height_px or width_px)
    draw = dict(landscape=landscape, city=city, pals=pals, things=things)[s.kind]
    draw(p, s, random.Random(s.seed))
    return p.pixels()
