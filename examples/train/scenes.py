"""Composes pictures of which everything is known: things, how many, their colours, sizes and places, and what is behind."""

import colorsys
import io
import random

import numpy as np
from PIL import Image

import vocabulary

# The nine places, as the rules of `tamis synth` call them.
PLACES = ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"]
CORNERS = ["top left", "top right", "bottom left", "bottom right"]

# Hue in degrees; saturation and value from, to.
COLOURS = {
    "red": (358, 0.8, 0.95, 0.75, 0.95),
    "orange": (29, 0.85, 1, 0.9, 1),
    "yellow": (54, 0.7, 1, 0.92, 1),
    "green": (122, 0.55, 0.95, 0.4, 0.75),
    "blue": (222, 0.65, 0.95, 0.55, 0.95),
    "purple": (277, 0.55, 0.9, 0.45, 0.75),
    "pink": (330, 0.3, 0.55, 0.95, 1),
    "brown": (24, 0.65, 0.8, 0.3, 0.48),
    "grey": (0, 0, 0.03, 0.42, 0.62),
    "black": (0, 0, 0.1, 0, 0.1),
    "white": (0, 0, 0.02, 0.97, 1),
}
# What things are painted in: grey, black and white are too near to what outlines and light do.
PAINTS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
# A thing in front of another colour than this is made out.
CONTRAST = 70

# How scenes are laid out, and how often.
LAYOUTS = {"alone": 32, "placed": 9, "sized": 6, "several": 13, "two": 22, "three": 6, "four": 4, "groups": 8}


class Composer:
    """Draws scenes of some objects in some styles."""

    def __init__(self, art, objects, styles, kin_among, side, seed):
        self.art, self.styles, self.side = art, styles, side
        self.drawn = {style: [o for o in objects if art.drawings(o, style)] for style in styles}
        self.kin = {o.name: vocabulary.kin(o, kin_among) for o in objects}
        self.random, self.noise = random.Random(seed), np.random.default_rng(list(seed.encode()))

    def scene(self, layout=None):
        """A picture's bytes, its facts, its layout, and the style of its things, if they have one."""
        layout = layout or self.random.choices(list(LAYOUTS), LAYOUTS.values())[0]
        style = self.random.choice(self.styles)
        groups = getattr(self, layout)(style)
        image, name = self.picture(layout, groups)
        facts = {"objects": [self.facts(group) for group in groups], **({"background": name} if name else {})}
        return image, facts, layout, style

    def single(self, thing):
        """A picture of a thing alone, in its own colours."""
        style = self.random.choice([style for style in self.styles if self.art.drawings(thing, style)])
        return self.picture("alone", [self.one(thing, style, painted=0)])[0]

    def picture(self, layout, groups):
        """The picture's bytes, and what its background is called."""
        name, picture = self.behind(layout, groups)
        for group in groups:
            for sprite, (x, y) in zip(group["sprites"], group["centres"]):
                picture.paste(sprite, (self.inside(x, sprite.width), self.inside(y, sprite.height)), sprite)
        return self.encoded(picture), name

    def facts(self, group):
        told = {key: group[key] for key in ("colour", "size", "place") if group.get(key)}
        return {**group["thing"].facts(self.kin[group["thing"].name]), "count": len(group["sprites"]), **told}

    # How things lie.

    def alone(self, style):
        return [self.one(self.thing(style), style, painted=0.12)]

    def one(self, thing, style, painted):
        centre = (0.5 + self.jitter(0.05), 0.5 + self.jitter(0.05))
        return self.group(thing, style, [centre], self.random.uniform(0.62, 0.97), painted)

    def placed(self, style):
        place = self.random.choice(PLACES)
        size = self.random.uniform(0.3, 0.44)
        return [self.group(self.thing(style), style, [self.at(place)], size, place=place)]

    def sized(self, style):
        size = self.random.choice(["small", "large"])
        share = self.random.uniform(0.17, 0.25) if size == "small" else self.random.uniform(0.8, 0.97)
        reach = 0.3 if size == "small" else 0.03
        centre = (0.5 + self.jitter(reach), 0.5 + self.jitter(reach))
        return [self.group(self.thing(style), style, [centre], share, size=size)]

    def several(self, style):
        count = self.random.randint(2, 5)
        size = {2: 0.42, 3: 0.38, 4: 0.36, 5: 0.3}[count] * self.random.uniform(0.85, 1.05)
        centres = self.scattered(count, size, (0, 0, 1, 1))
        return [self.group(self.thing(style, countable=True), style, centres, size)]

    def groups(self, style):
        halves = self.random.choice([
            {"left": (0, 0, 0.5, 1), "right": (0.5, 0, 1, 1)},
            {"top": (0, 0, 1, 0.5), "bottom": (0, 0.5, 1, 1)},
        ])
        made = []
        for place in self.random.sample(list(halves), 2):
            count, size = self.random.randint(1, 4), self.random.uniform(0.21, 0.26)
            centres = self.scattered(count, size, halves[place]) if count > 1 else [self.at(place)]
            thing = self.thing(style, countable=True, other_than=made)
            made.append(self.group(thing, style, centres, size, place=place))
        return made

    def two(self, style):
        sizes = [self.random.uniform(0.32, 0.44)] * 2
        told = [None, None]
        kind = self.random.choice(["across", "down", "corners", "any", "sizes"])
        pairs = {"across": ["left", "right"], "down": ["top", "bottom"], "sizes": ["left", "right"]}
        places = pairs.get(kind) or self.random.sample(CORNERS if kind == "corners" else PLACES, 2)
        if kind == "sizes":
            told = [self.random.choice(["small", "large"]) for _ in sizes]
            sizes = [self.random.uniform(*{"small": (0.15, 0.2), "large": (0.42, 0.48)}[size]) for size in told]
        if kind == "any":
            sizes = [self.random.uniform(0.26, 0.33)] * 2
        self.random.shuffle(places)
        return self.apart(style, places, sizes, told)

    def three(self, style):
        return self.apart(style, self.random.sample(PLACES, 3), [self.random.uniform(0.25, 0.32)] * 3, [None] * 3)

    def four(self, style):
        places = self.random.sample(self.random.choice([CORNERS, PLACES]), 4)
        return self.apart(style, places, [self.random.uniform(0.25, 0.32)] * 4, [None] * 4)

    def apart(self, style, places, sizes, told):
        """Different things, each in a place of its own."""
        made = []
        for place, share, size in zip(places, sizes, told):
            thing = self.thing(style, other_than=made)
            made.append(self.group(thing, style, [self.at(place)], share, place=place, size=size))
        return made

    # Parts.

    def thing(self, style, countable=False, other_than=()):
        taken = {word for group in other_than for word in (group["thing"].name, *group["thing"].names, *group["thing"].keywords)}
        while True:
            thing = self.random.choice(self.drawn[style])
            if {thing.name, *thing.names} & taken or (countable and not vocabulary.is_countable(thing)):
                continue
            return thing

    def group(self, thing, style, centres, share, painted=0.3, **told):
        """One or several equal things: their drawings and where they are."""
        if self.random.random() < 0.25:  # another style beside the others'
            style = self.random.choice([s for s in self.styles if self.art.drawings(thing, s)])
        code = self.random.choice(self.art.drawings(thing, style))
        colour = self.random.choice(PAINTS) if self.random.random() < painted else None
        art = self.art.drawing(style, code)
        if art is None:
            raise SystemExit(f"the drawing of {thing.name} ({code}) in the style {style} is empty: take it out of objects.txt")
        if colour:
            art = self.paint(art, colour)
        sprites = [self.varied(art, share * self.side) for _ in centres]
        return {"thing": thing, "sprites": sprites, "centres": centres, "colour": colour, **told}

    def paint(self, art, colour):
        """The drawing in shades of one colour."""
        pixels = np.asarray(art).astype(np.float32)
        light = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        shown = light[pixels[..., 3] > 60]
        low, high = np.percentile(shown, (3, 97)) if shown.size else (0, 255)
        light = np.clip((light - low) / max(high - low, 1), 0, 1) if high - low > 12 else np.ones_like(light)
        pixels[..., :3] = self.colour(colour) * (0.5 + 0.5 * light[..., None])
        return Image.fromarray(pixels.astype(np.uint8), "RGBA")

    def varied(self, art, size):
        """The drawing in its size, turned, mirrored and lit a little otherwise."""
        if self.random.random() < 0.5:
            art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.random.random() < 0.3:
            art = art.rotate(self.random.uniform(-14, 14), Image.Resampling.BILINEAR, expand=True)
        if self.random.random() < 0.4:
            pixels = np.asarray(art).astype(np.float32)
            pixels[..., :3] = pixels[..., :3] * self.random.uniform(0.85, 1.12) + self.random.uniform(-8, 8)
            art = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")
        scale = size * self.random.uniform(0.95, 1.05) / max(art.size)
        return art.resize((max(4, round(art.width * scale)), max(4, round(art.height * scale))), Image.Resampling.BILINEAR)

    def behind(self, layout, groups):
        """A background in front of which everything is made out: what it is called, if it has a name, and the picture."""
        tried = []
        for _ in range(12):
            plain = layout == "alone" and self.random.random() < 0.6
            name = self.random.choice(["white", "white", "white", "grey", "black"] if plain else list(COLOURS))
            base = self.colour(name)
            worst = min(contrast(group, base, name) for group in groups)
            tried.append((worst, name, base))
            if worst > CONTRAST:
                break
        _, name, base = max(tried, key=lambda t: t[0])
        return self.surface(name, base, layout == "alone")

    def surface(self, name, base, is_plain):
        """A plain, shaded, grainy or striped surface of a colour, or one of two colours, that has no name."""
        shape = (self.side, self.side, 3)
        kinds, weights = ["plain", "shaded", "grainy", "striped", "two"], [80, 8, 5, 2, 5] if is_plain else [50, 18, 12, 8, 12]
        kind = self.random.choices(kinds, weights)[0]
        y, x = np.mgrid[0 : self.side, 0 : self.side].astype(np.float32) / self.side
        along = self.random.choice([x, y, (x + y) / 2, np.hypot(x - 0.5, y - 0.5)])[..., None]
        if kind == "plain":
            pixels = np.broadcast_to(base, shape)
        elif kind == "shaded":
            pixels = base * (0.88 + 0.18 * along)
        elif kind == "grainy":
            cells = self.random.choice([16, 32, 64])
            grain = self.noise.normal(0, self.random.uniform(5, 12), (cells, cells, 1))
            pixels = base + np.asarray(Image.fromarray(grain[..., 0].astype(np.float32)).resize(shape[:2]))[..., None]
        elif kind == "striped":
            pixels = base * np.where(np.floor(along * self.random.choice([6, 10, 16])) % 2 == 0, 1, 0.9)
        else:
            name, pixels = None, base * (1 - along) + self.colour(self.random.choice(list(COLOURS))) * along
        return name, Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")

    def colour(self, name):
        hue, s0, s1, v0, v1 = COLOURS[name]
        hue = (hue + self.random.uniform(-6, 6)) % 360 / 360
        return np.array(colorsys.hsv_to_rgb(hue, self.random.uniform(s0, s1), self.random.uniform(v0, v1)), np.float32) * 255

    def at(self, place):
        row, column = divmod(PLACES.index(place), 3)
        return tuple([0.2, 0.5, 0.8][i] + self.jitter(0.035) for i in (column, row))

    def scattered(self, count, size, box):
        """Centres in a box, far enough from each other."""
        left, top, right, bottom = (box[0] + size / 2, box[1] + size / 2, box[2] - size / 2, box[3] - size / 2)
        for near in (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6):
            for _ in range(60):
                centres = [(self.between(left, right), self.between(top, bottom)) for _ in range(count)]
                pairs = [(a, b) for i, a in enumerate(centres) for b in centres[:i]]
                if all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) > near * size for a, b in pairs):
                    return centres
        return centres

    def inside(self, centre, length):
        """Where something begins that is nearest to its place and not cut off, if it is not longer than the side."""
        return max(min(round(centre * self.side - length / 2), self.side - length), min(0, self.side - length))

    def between(self, a, b):
        return self.random.uniform(a, b) if a < b else (a + b) / 2

    def jitter(self, reach):
        return self.random.uniform(-reach, reach)

    def encoded(self, picture):
        file = io.BytesIO()
        if self.random.random() < 0.15:
            picture.save(file, "PNG", compress_level=3)
        else:
            picture.save(file, "WEBP", quality=self.random.randint(72, 95), method=1)
        return file.getvalue()


def contrast(group, base, name):
    """How far a thing's colour is from what would be behind it."""
    if group.get("colour") == name:
        return 0
    pixels = np.asarray(group["sprites"][0])[::3, ::3].reshape(-1, 4)
    shown = pixels[pixels[:, 3] > 128][:, :3].astype(np.float32)
    return float(np.linalg.norm(shown - base, axis=1).mean()) if len(shown) else 0.0
