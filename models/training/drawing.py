"""Brush and objects: everything is drawn with cairo in a unit square, y downwards, which the picture
stretches to its own proportions; `upright` draws what must keep its own.

Shapes and objects take a centre and a radius. Details are kept coarser than one 64th of the picture
where they matter, since the latents hold that much: see latents.py.
"""

import contextlib
import math

import cairocffi as cairo
import numpy

from scenes import COLOURS

WHITE = (1.0, 1.0, 1.0)
# Light by time of day: what a colour is mixed with, how much, and how bright it was before.
TINTS = dict(day=((255, 255, 255), 0.0, 1.0), sunset=((150, 60, 70), 0.38, 0.80),
             night=((14, 20, 52), 0.62, 0.75), dawn=((236, 180, 190), 0.30, 0.98))


def rgb(colour, factor=1.0, other=None, share=0.0):
    """A colour name or 0..255 triple as 0..1, scaled, then mixed with a share of another."""
    triple = COLOURS[colour] if isinstance(colour, str) else colour
    values = [min(255.0, x * factor) / 255 for x in triple]
    if other is not None:
        values = [x * (1 - share) + y / 255 * share for x, y in zip(values, other)]
    return values


def tinted(colour, time, extra=0.0):
    other, share, factor = TINTS[time]
    return rgb(colour, factor, other, min(0.95, share + extra))


def darker(colour, factor=0.7):
    return [v * factor for v in colour]


def lighter(colour, share=0.55):
    return [v + (1 - v) * share for v in colour]


class Painter:
    def __init__(self, width_px, height_px):
        self.width_px, self.height_px = width_px, height_px
        self.surface = cairo.ImageSurface(cairo.FORMAT_RGB24, width_px, height_px)
        self.context = cairo.Context(self.surface)
        self.context.scale(width_px, height_px)
        self.is_upright = width_px == height_px

    @contextlib.contextmanager
    def upright(self, x, y):
        """Around (x, y), a unit is the shorter side of the picture both ways."""
        if self.is_upright:
            yield
            return
        c, unit = self.context, min(self.width_px, self.height_px)
        c.save()
        c.translate(x, y)
        c.scale(unit / self.width_px, unit / self.height_px)
        c.translate(-x, -y)
        self.is_upright = True
        yield
        self.is_upright = False
        c.restore()

    def source(self, colour):
        if len(colour) == 4:
            self.context.set_source_rgba(*colour)
        else:
            self.context.set_source_rgb(*colour)

    def fill(self, colour):
        self.source(colour)
        self.context.fill()

    def rect(self, x, y, width, height, colour):
        self.context.rectangle(x, y, width, height)
        self.fill(colour)

    def round_rect(self, x, y, width, height, radius, colour):
        c = self.context
        c.new_sub_path()
        c.arc(x + width - radius, y + radius, radius, -math.pi / 2, 0)
        c.arc(x + width - radius, y + height - radius, radius, 0, math.pi / 2)
        c.arc(x + radius, y + height - radius, radius, math.pi / 2, math.pi)
        c.arc(x + radius, y + radius, radius, math.pi, 1.5 * math.pi)
        c.close_path()
        self.fill(colour)

    def circle(self, x, y, radius, colour):
        with self.upright(x, y):
            self.context.arc(x, y, radius, 0, 2 * math.pi)
            self.fill(colour)

    def ellipse(self, x, y, radius_x, radius_y, colour):
        c = self.context
        c.save()
        c.translate(x, y)
        c.scale(radius_x, radius_y)
        c.arc(0, 0, 1, 0, 2 * math.pi)
        c.restore()
        self.fill(colour)

    def polygon(self, points, colour):
        self.context.move_to(*points[0])
        for point in points[1:]:
            self.context.line_to(*point)
        self.context.close_path()
        self.fill(colour)

    def curves(self, start, curves, colour, width=None):
        """Bezier curves from `start`, filled, or stroked at a width."""
        c = self.context
        c.move_to(*start)
        for curve in curves:
            if len(curve) == 6:
                c.curve_to(*curve)
            else:
                c.line_to(*curve)
        if width is None:
            self.fill(colour)
            return
        c.set_line_width(width)
        c.set_line_cap(cairo.LINE_CAP_ROUND)
        self.source(colour)
        c.stroke()

    def line(self, points, width, colour):
        self.curves(points[0], points[1:], colour, width)

    def gradient(self, top, bottom, stops):
        """The full width from y = top to bottom, through (0..1, colour) stops."""
        g = cairo.LinearGradient(0, top, 0, bottom)
        for at, colour in stops:
            g.add_color_stop_rgb(at, *colour)
        self.context.set_source(g)
        self.context.rectangle(0, top, 1, bottom - top)
        self.context.fill()

    def striped_ball(self, x, y, radius, colour):
        c = self.context
        with self.upright(x, y):
            self.circle(x, y, radius, rgb(colour))
            c.save()
            c.arc(x, y, radius, 0, 2 * math.pi)
            c.clip()
            self.rect(x - 2 * radius, y - 0.016, 4 * radius, 0.032, WHITE)
            c.restore()
            self.circle(x, y, 0.02, rgb(colour, 0.75))

    def pixels(self):
        """[Y, X, 3] bytes."""
        self.surface.flush()
        bgrx = numpy.frombuffer(self.surface.get_data(), numpy.uint8)
        bgrx = bgrx.reshape(self.height_px, self.surface.get_stride() // 4, 4)
        return bgrx[:, :self.width_px, 2::-1].copy()


# ---- shapes ----------------------------------------------------------------------------------


def circle(p, x, y, r, look):
    p.circle(x, y, r, look.colour)


def square(p, x, y, r, look):
    p.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76, look.colour)


def triangle(p, x, y, r, look):
    p.polygon([(x, y - r), (x + r * 1.02, y + r * 0.78), (x - r * 1.02, y + r * 0.78)], look.colour)


def star(p, x, y, r, look):
    points = []
    for i in range(10):
        length, angle = r * (1.08 if i % 2 == 0 else 0.45), i * math.pi / 5
        points.append((x + length * math.sin(angle), y - length * math.cos(angle)))
    p.polygon(points, look.colour)


def heart(p, x, y, r, look):
    p.curves((x, y + r * 0.95), [
        (x - r * 1.5, y - r * 0.05, x - r * 0.85, y - r * 1.25, x, y - r * 0.45),
        (x + r * 0.85, y - r * 1.25, x + r * 1.5, y - r * 0.05, x, y + r * 0.95)], look.colour)


def diamond(p, x, y, r, look):
    p.polygon([(x, y - r * 1.05), (x + r * 0.72, y), (x, y + r * 1.05), (x - r * 0.72, y)],
              look.colour)


# ---- objects ---------------------------------------------------------------------------------


def house(p, x, y, r, look):
    p.rect(x - r * 0.75, y - r * 0.15, r * 1.5, r * 1.05, look.colour)
    p.polygon([(x - r, y - r * 0.15), (x, y - r), (x + r, y - r * 0.15)], look.dark)
    p.rect(x - r * 0.17, y + r * 0.3, r * 0.34, r * 0.6, darker(look.colour, 0.5))
    window = (1, 0.9, 0.5) if look.time == "night" else look.light
    for left in (-0.6, 0.3):
        p.rect(x + r * left, y + r * 0.1, r * 0.3, r * 0.3, window)


def tree(p, x, y, r, look):
    p.rect(x - r * 0.13, y + r * 0.2, r * 0.26, r * 0.8, tinted("brown", look.time))
    p.circle(x, y - r * 0.3, r * 0.62, look.colour)
    for side in (-1, 1):
        p.circle(x + side * r * 0.38, y + r * 0.05, r * 0.42, look.colour)


def boat(p, x, y, r, look):
    p.polygon([(x - r, y + r * 0.35), (x + r, y + r * 0.35), (x + r * 0.62, y + r * 0.85),
               (x - r * 0.62, y + r * 0.85)], look.dark)
    p.line([(x, y + r * 0.35), (x, y - r)], r * 0.09, darker(look.colour, 0.45))
    p.polygon([(x + r * 0.08, y - r * 0.95), (x + r * 0.8, y + r * 0.22),
               (x + r * 0.08, y + r * 0.22)], look.colour)
    p.polygon([(x - r * 0.08, y - r * 0.7), (x - r * 0.62, y + r * 0.22),
               (x - r * 0.08, y + r * 0.22)], look.light)


def rocket(p, x, y, r, look):
    p.polygon([(x - r * 0.25, y + r * 0.6), (x, y + r * 1.15), (x + r * 0.25, y + r * 0.6)],
              (1, 0.65, 0.15))
    for side in (-1, 1):
        p.polygon([(x + side * r * 0.3, y + r * 0.15), (x + side * r * 0.65, y + r * 0.75),
                   (x + side * r * 0.25, y + r * 0.6)], look.dark)
    p.curves((x, y - r), [
        (x + r * 0.5, y - r * 0.5, x + r * 0.4, y + r * 0.3, x + r * 0.28, y + r * 0.65),
        (x - r * 0.28, y + r * 0.65),
        (x - r * 0.4, y + r * 0.3, x - r * 0.5, y - r * 0.5, x, y - r)], look.colour)
    p.circle(x, y - r * 0.2, r * 0.17, (0.8, 0.93, 1))


def balloon(p, x, y, r, look):
    p.polygon([(x - r * 0.5, y + r * 0.1), (x + r * 0.5, y + r * 0.1), (x + r * 0.16, y + r * 0.62),
               (x - r * 0.16, y + r * 0.62)], look.dark)
    p.circle(x, y - r * 0.28, r * 0.68, look.colour)
    p.ellipse(x, y - r * 0.28, r * 0.27, r * 0.68, look.light)
    p.rect(x - r * 0.17, y + r * 0.66, r * 0.34, r * 0.28, tinted("brown", look.time))


def car(p, x, y, r, look):
    glass = (0.8, 0.92, 1)
    p.polygon([(x - r * 0.55, y), (x - r * 0.33, y - r * 0.42), (x + r * 0.33, y - r * 0.42),
               (x + r * 0.6, y)], look.dark)
    p.polygon([(x - r * 0.4, y - r * 0.03), (x - r * 0.26, y - r * 0.33),
               (x - r * 0.03, y - r * 0.33), (x - r * 0.03, y - r * 0.03)], glass)
    p.polygon([(x + r * 0.06, y - r * 0.03), (x + r * 0.06, y - r * 0.33),
               (x + r * 0.27, y - r * 0.33), (x + r * 0.44, y - r * 0.03)], glass)
    p.round_rect(x - r, y - r * 0.05, r * 2, r * 0.48, r * 0.14, look.colour)
    for side in (-0.52, 0.52):
        p.circle(x + side * r, y + r * 0.42, r * 0.23, (0.16, 0.16, 0.18))
        p.circle(x + side * r, y + r * 0.42, r * 0.1, (0.75, 0.75, 0.78))


def cactus(p, x, y, r, look):
    green = tinted("green", look.time)
    p.line([(x, y + r), (x, y - r)], r * 0.32, green)
    p.line([(x, y + r * 0.2), (x - r * 0.5, y + r * 0.2), (x - r * 0.5, y - r * 0.4)], r * 0.22,
           green)
    p.line([(x, y), (x + r * 0.5, y), (x + r * 0.5, y - r * 0.6)], r * 0.22, green)


DRAWERS = dict(circle=circle, square=square, triangle=triangle, star=star, heart=heart,
               diamond=diamond, house=house, tree=tree, boat=boat, rocket=rocket, balloon=balloon,
               car=car, cactus=cactus)


class Look:
    """The colours of an object at a time of day."""

    def __init__(self, colour, time):
        self.time = time
        self.colour = rgb(colour) if time == "day" else tinted(colour, time)
        self.dark, self.light = darker(self.colour, 0.68), lighter(self.colour)


def draw_thing(p, thing, x, y, radius, colour, time="day"):
    with p.upright(x, y):
        DRAWERS[thing](p, x, y, radius, Look(colour, time))


# ---- the two friends -------------------------------------------------------------------------


def draw_robot(p, x, y, r, colour):
    body, metal, lamp = rgb(colour), (0.35, 0.37, 0.42), (0.35, 0.95, 1)
    dark = darker(body)
    p.line([(x, y - r * 0.95), (x, y - r * 1.2)], r * 0.06, metal)
    p.circle(x, y - r * 1.24, r * 0.09, rgb("yellow" if colour == "red" else "red"))
    for side in (-1, 1):
        p.line([(x + side * r * 0.5, y - r * 0.05), (x + side * r * 0.78, y + r * 0.35)], r * 0.15,
               dark)
        p.circle(x + side * r * 0.78, y + r * 0.37, r * 0.12, metal)
    for left, foot in ((-0.34, -0.42), (0.12, 0.06)):
        p.rect(x + r * left, y + r * 0.5, r * 0.22, r * 0.42, dark)
        p.round_rect(x + r * foot, y + r * 0.86, r * 0.36, r * 0.14, r * 0.06, metal)
    p.round_rect(x - r * 0.5, y - r * 0.22, r, r * 0.8, r * 0.12, body)
    p.round_rect(x - r * 0.28, y + r * 0.02, r * 0.56, r * 0.34, r * 0.06, lighter(body, 0.45))
    p.circle(x - r * 0.12, y + r * 0.19, r * 0.07, rgb("red"))
    p.circle(x + r * 0.12, y + r * 0.19, r * 0.07, rgb("green"))
    p.round_rect(x - r * 0.56, y - r * 0.98, r * 1.12, r * 0.7, r * 0.16, body)
    p.round_rect(x - r * 0.44, y - r * 0.86, r * 0.88, r * 0.46, r * 0.12, (0.13, 0.16, 0.22))
    for side in (-0.2, 0.2):
        p.circle(x + side * r, y - r * 0.67, r * 0.13, lamp)
    p.line([(x - r * 0.13, y - r * 0.49), (x, y - r * 0.45), (x + r * 0.13, y - r * 0.49)],
           r * 0.07, lamp)


def draw_kitten(p, x, y, r, colour, is_flipped=False):
    fur, black = rgb(colour), colour == "black"
    dark = (0.3, 0.3, 0.34) if black else darker(fur, 0.72)
    belly = (0.5, 0.5, 0.54) if black else lighter(fur, 0.6)
    tail = -1 if is_flipped else 1
    p.curves((x + tail * r * 0.4, y + r * 0.75), [
        (x + tail * r * 1.1, y + r * 0.8, x + tail * r * 1.0, y + r * 0.1, x + tail * r * 0.78,
         y - r * 0.05)], dark, r * 0.17)
    p.ellipse(x, y + r * 0.5, r * 0.5, r * 0.52, fur)
    p.ellipse(x, y + r * 0.6, r * 0.27, r * 0.36, belly)
    for side in (-1, 1):
        p.ellipse(x + side * r * 0.26, y + r * 0.96, r * 0.2, r * 0.1, fur)
        p.polygon([(x + side * r * 0.56, y - r * 0.3), (x + side * r * 0.5, y - r * 0.95),
                   (x + side * r * 0.1, y - r * 0.6)], fur)
        p.polygon([(x + side * r * 0.46, y - r * 0.42), (x + side * r * 0.44, y - r * 0.78),
                   (x + side * r * 0.2, y - r * 0.58)], (1, 0.7, 0.74))
    p.ellipse(x, y - r * 0.25, r * 0.6, r * 0.48, fur)
    p.ellipse(x, y - r * 0.08, r * 0.28, r * 0.2, belly)
    for side in (-1, 1):
        p.ellipse(x + side * r * 0.26, y - r * 0.32, r * 0.12, r * 0.15, (0.98, 0.98, 0.9))
        p.ellipse(x + side * r * 0.26, y - r * 0.31, r * 0.075, r * 0.12, (0.1, 0.12, 0.12))
        p.circle(x + side * r * 0.23, y - r * 0.36, r * 0.03, WHITE)
    p.polygon([(x - r * 0.06, y - r * 0.16), (x + r * 0.06, y - r * 0.16), (x, y - r * 0.09)],
              (0.95, 0.45, 0.5))
    p.line([(x - r * 0.08, y - r * 0.06), (x, y - r * 0.02), (x + r * 0.08, y - r * 0.06)],
           r * 0.05, (0.3, 0.2, 0.2))
