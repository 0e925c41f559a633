"""Describes a scene in words: a small grammar with synonyms, word orders and omissions.

A caption may leave things out (a robot's colour, the place), never say anything wrong. All of it is
drawn anew at each use, so a scene is hardly ever told twice in the same words.
"""

import dataclasses

import scenes

# Empty entries weigh: most captions go without.
PREFIXES = [""] * 9 + [
    "a picture of ", "an illustration of ", "a drawing of ", "a flat illustration of ",
    "an image of ", "a painting of ", "flat art of ", "a simple picture showing ", "vector art, "]
SUFFIXES = [""] * 10 + [
    ", flat illustration", ", flat style", ", vector art", ", simple", ", colorful", ", minimal",
    ", highly detailed", ", digital art"]
MOODS = ["", "", "", "serene ", "beautiful ", "calm ", "peaceful ", "quiet ", "majestic ",
         "tranquil ", "dramatic ", "scenic ", "lovely ", "vast ", "wild "]
CUTE = ["", "", "cute ", "cute ", "little ", "small ", "happy ", "friendly ", "adorable ", "tiny ",
        "funny "]
COUNTS = {2: ["two", "2", "a pair of", "two"], 3: ["three", "3", "three"],
          4: ["four", "4", "four"]}
NOUNS = dict(
    house=["house", "house", "cottage", "home"], boat=["boat", "sailboat", "ship", "sailing boat"],
    balloon=["hot air balloon", "balloon"],
    rocket=["rocket", "rocket", "spaceship", "rocket ship"],
    diamond=["diamond", "rhombus", "diamond"],
    circle=["circle", "circle", "circle", "disc", "ball"], car=["car", "car", "automobile"])
COLOUR_WORDS = dict(gray=["gray", "grey"], purple=["purple", "purple", "violet"])
TIME_WORDS = dict(
    day=["by day", "on a sunny day", "in daylight", "under a blue sky", "in the daytime", "at noon",
         "", ""],
    sunset=["at sunset", "at sunset", "at dusk", "in the evening", "during sunset",
            "at golden hour", "with a setting sun", "in the evening light"],
    night=["at night", "at night", "under the stars", "under a starry sky", "in moonlight",
           "at midnight", "under the moon", "by night"],
    dawn=["at dawn", "at dawn", "at sunrise", "in the early morning", "at daybreak",
          "in the morning", "with a rising sun"])
# A leading * marks what takes no article, a leading ! what may take "the".
TERRAIN_WORDS = dict(
    mountains=["mountain landscape", "mountain landscape", "mountain range", "*mountains",
               "view of mountains", "mountain scene", "valley below mountains", "mountain valley"],
    snow=["snowy mountain landscape", "snowy landscape", "winter landscape", "*snowy mountains",
          "*snow-covered mountains", "winter scene with snow", "field of snow"],
    sea=["!sea", "!ocean", "seascape", "view of the sea", "ocean view", "sea with gentle waves",
         "*open water"],
    desert=["!desert", "desert landscape", "*sand dunes", "desert with dunes", "sandy desert"],
    forest=["!forest", "pine forest", "*woods", "forest landscape", "forest of tall trees",
            "woodland"],
    hills=["*green hills", "meadow", "*rolling hills", "grassy landscape", "countryside",
           "green field", "hilly landscape"],
    lake=["mountain lake", "lake", "lake below mountains", "lake landscape",
          "lake with mountains behind", "lakeside view"])
FUTURE_WORDS = ["futuristic ", "futuristic ", "sci-fi ", "future ", "high-tech ", "cyberpunk "]
PRESENT_WORDS = ["", "", "modern ", "big ", "busy ", "quiet "]
CITY_WORDS = ["city", "city", "city skyline", "skyline", "cityscape", "city with tall buildings",
              "metropolis", "downtown"]
FLYING_WORDS = ["flying cars", "flying cars", "flying cars", "cars in the sky", "hovering cars",
                "cars flying between the buildings", "flying vehicles"]
BACKDROP_WORDS = dict(
    room=["in a room", "at home", "indoors", "in a living room", "inside a house"],
    meadow=["in a meadow", "on a green field", "outdoors", "on the grass", "in the countryside"],
    park=["in a park", "in a garden", "under a tree", "near a tree"],
    night=["at night", "under the moon", "under the stars"])
ROBOT_NAMES = ["robot", "robot", "robot", "android", "toy robot"]
KITTEN_NAMES = ["kitten", "kitten", "cat", "kitty", "baby cat"]
BACKGROUND_WORDS = [
    " on {a} background", " on {a} background", " on {plain}", " against {a} background",
    ", {plain} background", " with {a} background", " in front of {a} backdrop"]
RELATION_WORDS = dict(
    above=["above", "above", "over", "on top of", "higher than"],
    below=["below", "below", "under", "beneath", "underneath"],
    left=["to the left of", "left of", "on the left of", "on the left side of"],
    right=["to the right of", "right of", "on the right of", "on the right side of"])
ENDS = dict(above="top", below="bottom")


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def colour_word(colour, r):
    return r.choice(COLOUR_WORDS.get(colour, [colour]))


def noun(thing, r):
    return r.choice(NOUNS.get(thing, [thing]))


def plural(word):
    return word + ("es" if word.endswith(("s", "x")) else "s")


# ---- one function for each kind of scene -----------------------------------------------------


def of_landscape(s, r):
    mood, time = r.choice(MOODS), r.choice(TIME_WORDS[s.time])
    base = r.choice(TERRAIN_WORDS[s.terrain])
    core = mood + base.lstrip("*!")
    if base.startswith("!"):
        core = r.choice(["the ", "a "]) + core
        core = article(core[2:]) if core.startswith("a ") else core
    elif not base.startswith("*"):
        core = article(core)
    if s.extras:
        extra = " and ".join(
            article(noun(t, r) if t in ("tree", "cactus") else
                    colour_word(c, r) + " " + noun(t, r)) for t, c in s.extras)
        if r.random() < 0.25:
            core = extra + r.choice([" in ", " in front of ", " near ", " and "]) + core
        elif r.random() < 0.5:
            core = core + r.choice([" with ", " and ", ", "]) + extra
        else:
            time = time + r.choice([" with ", ", ", " and "]) + extra if time else "with " + extra
    if time and r.random() < 0.12:
        return f"{time}, {core}"
    return f"{core} {time}"


def of_city(s, r):
    nouns = CITY_WORDS + (["city with towers", "city of the future"] if s.is_futuristic else
                          ["town", "street with buildings"])
    core = article(r.choice(FUTURE_WORDS if s.is_futuristic else PRESENT_WORDS) + r.choice(nouns))
    if s.has_flying_cars:
        cars = r.choice(FLYING_WORDS)
        core = r.choice([f"{core} with {cars}", f"{core} with {cars}", f"{cars} over {core}",
                         f"{cars} above {core}", f"{core} and {cars}"])
    return f"{core} {r.choice(TIME_WORDS[s.time])}"


def friend(colour, names, r):
    told = colour_word(colour, r) + " " if r.random() < 0.6 else ""
    return article(r.choice(CUTE) + told + r.choice(names))


def of_pals(s, r):
    robot = s.robot and friend(s.robot, ROBOT_NAMES, r)
    kitten = s.kitten and friend(s.kitten, KITTEN_NAMES, r)
    ball = article((colour_word(s.ball, r) + " " if s.ball and r.random() < 0.6 else "") + "ball")
    if robot and kitten and s.action == "play":
        core = r.choice([
            f"{robot} playing with {kitten}", f"{robot} playing with {kitten}",
            f"{robot} and {kitten} playing", f"{robot} and {kitten} playing with {ball}",
            f"{kitten} playing with {robot}", f"{kitten} and {robot} playing ball",
            f"{robot} and {kitten} having fun with {ball}"])
    elif robot and kitten:
        core = r.choice([
            f"{robot} and {kitten}", f"{kitten} and {robot}", f"{robot} next to {kitten}",
            f"{kitten} beside {robot}", f"{robot} with {kitten}", f"{robot} standing by {kitten}"])
    else:
        core = robot or kitten
        if s.action == "play":
            core = r.choice([f"{core} playing with {ball}", f"{core} with {ball}",
                             f"{core} and {ball}", f"{core} playing"])
    if r.random() < 0.3:
        return core
    if s.backdrop == "plain":
        wall = article(colour_word(s.background, r))
        return core + r.choice([f" on {wall} background", f" against {wall} background",
                                f" in front of {wall} wall"])
    return f"{core} {r.choice(BACKDROP_WORDS[s.backdrop])}"


def of_things(s, r):
    background = ""
    if s.background:
        word = colour_word(s.background, r)
        background = r.choice(BACKGROUND_WORDS).format(a=article(word), plain=word)
    if len(s.things) == 2:
        core = of_pair(s, r)
    else:
        core = of_thing(s, r)
    if s.background and r.random() < 0.06:
        return f"{article(word)} background with {core}"
    return core + background


def of_pair(s, r):
    one, other = (article(colour_word(c, r) + " " + noun(t, r)) for t, c, _ in s.things)
    relation = s.relation
    if r.random() < 0.25:
        one, other, relation = other, one, scenes.OPPOSITE[relation]
    opposite = scenes.OPPOSITE[relation]
    if relation in ENDS:
        if r.random() < 0.12:
            return f"{one} at the {ENDS[relation]} and {other} at the {ENDS[opposite]}"
    elif r.random() < 0.25:
        return f"{one} on the {relation} and {other} on the {opposite}"
    return f"{one} {r.choice(RELATION_WORDS[relation])} {other}"


def of_thing(s, r):
    thing, colour, count = s.things[0]
    words = colour_word(colour, r) + " "
    if count > 1:
        return f"{r.choice(COUNTS[count])} {words}{plural(noun(thing, r))}"
    size = {None: [""], "small": ["small ", "tiny ", "little "],
            "large": ["large ", "big ", "huge "]}[s.size]
    words = r.choice(size) + words + noun(thing, r)
    return "one " + words if r.random() < 0.1 else article(words)


def caption(s, r):
    say = dict(landscape=of_landscape, city=of_city, pals=of_pals, things=of_things)[s.kind]
    said, prefix = say(s, r).strip(), r.choice(PREFIXES)
    # "a picture of in the morning, a lake" is no English.
    if said.split()[0] in ("at", "by", "during", "in", "on", "under", "with"):
        prefix = ""
    out = prefix + said + r.choice(SUFFIXES)
    if r.random() < 0.5:
        out = out[0].upper() + out[1:]
    return out + ("." if r.random() < 0.15 else "")


def told(s, said):
    """The scene as a caption tells it: a colour of the two friends that it leaves open is ANY_COLOUR,
    a place that it leaves open is None."""
    if s.kind != "pals":
        return s
    said = said.lower()

    def is_told(colour, nouns):
        return colour and any(f"{word} {noun}" in said for noun in nouns
                              for word in COLOUR_WORDS.get(colour, [colour]))

    if s.backdrop == "plain":
        has_place = is_told(s.background, ["background", "wall"])
    else:
        has_place = any(words in said for words in BACKDROP_WORDS[s.backdrop])
    return dataclasses.replace(
        s, backdrop=s.backdrop if has_place else None,
        robot=s.robot and (s.robot if is_told(s.robot, ROBOT_NAMES) else scenes.ANY_COLOUR),
        kitten=s.kitten and (s.kitten if is_told(s.kitten, KITTEN_NAMES) else scenes.ANY_COLOUR))
