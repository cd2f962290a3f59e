"""What the pictures show: objects with their names, keywords, kin and code points, and which of them are kept back."""

import dataclasses
import hashlib
import pathlib
import re

# So many objects of a block, and blocks, are kept back whole: never trained on, chosen before anything was looked at.
KEPT_BLOCKS = 25
KEPT_OF_A_BLOCK = 3

LINE = re.compile(r"(?P<codes>(?:[12][0-9a-f]{3,4} )+)(?P<names>[^:]+)(?::(?P<keywords>.*))?")


@dataclasses.dataclass(frozen=True)
class Object:
    """A thing that there are drawings of."""

    name: str
    names: tuple  # others that are right
    keywords: tuple
    block: int
    codes: tuple
    is_kept_back: bool = False

    def facts(self, kin):
        """What `tamis synth` is told of it."""
        return {"name": self.name, "names": list(self.names), "keywords": list(self.keywords), "kin": list(kin)}


def split(text, sign):
    return tuple(part.strip() for part in (text or "").split(sign) if part.strip())


def read(keeps_back=True, path=pathlib.Path(__file__).parent / "objects.txt"):
    """All objects; where some are kept back, they are marked, and their names are no words of the others."""
    objects, block, head = [], -1, ()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("["):
            block, head = block + 1, split(line.strip("[] "), ",")
        elif line and not line.startswith("#"):
            match = LINE.fullmatch(line)
            if not match:
                raise SystemExit(f"{path}:{number}: expected code points, names and keywords, found {line!r}")
            name, *others = split(match["names"], "/")
            keywords = head + split(match["keywords"], ",")
            objects.append(Object(name, tuple(others), keywords, block, tuple(match["codes"].split())))
    return keep_back(objects) if keeps_back else objects


def keep_back(objects):
    """Marks a few of the objects of some blocks; digests of names decide, so that one more object moves few others."""
    def order(text):
        return hashlib.sha256(text.encode()).digest()

    blocks = {}
    for thing in objects:
        blocks.setdefault(thing.block, []).append(thing)
    large = [block for block in blocks.values() if len(block) > KEPT_OF_A_BLOCK + 1]
    chosen = sorted(large, key=lambda block: order(block[0].name))[:KEPT_BLOCKS]
    kept = {thing.name for block in chosen for thing in sorted(block, key=lambda o: order(o.name))[:KEPT_OF_A_BLOCK]}
    words = {word for thing in objects if thing.name in kept for word in (thing.name, *thing.names)}

    def marked(thing):
        if thing.name in kept:
            return dataclasses.replace(thing, is_kept_back=True)
        names, keywords = (tuple(word for word in of if word not in words) for of in (thing.names, thing.keywords))
        return dataclasses.replace(thing, names=names, keywords=keywords)

    return [marked(thing) for thing in objects]


def kin(thing, among):
    """Names of those that are like a thing and not it."""
    own = {thing.name, *thing.names, *thing.keywords}
    return [
        o.name for o in among
        if o.block == thing.block and o.name not in own and thing.name not in {o.name, *o.names, *o.keywords}
    ]


# Words that English counts nothing of, or that have no plural worth having.
MASS = {
    "fire", "bread", "bacon", "garlic", "butter", "soap", "spaghetti", "up", "down", "badminton", "bowling", "hockey", "tennis",
    "pong", "dna", "helix", "yang", "racing", "yarn", "thread", "sushi", "tempura", "pasta", "ginger", "popcorn", "poo", "sake",
    "champagne", "tea", "drink", "milk", "coffee", "beer", "whisky", "corn", "maize", "paella", "stew", "luggage", "cash", "art",
    "geography", "paper", "wood", "earth", "saturn", "sun", "broccoli", "lettuce", "green", "chocolate", "pudding", "liberty",
    "clothes", "timber", "mecca", "kaaba", "bento", "onigri", "candy",
}
SINGULAR_IN_S = {"bus", "lotus", "cactus", "octopus", "walrus", "hippopotamus", "lens", "compass"}


def is_countable(thing):
    """Whether there may be several of it in a caption, under any of its names."""
    def countable(name):
        head = re.split(" of | with | on | in | and | without ", name)[0]
        word = re.split("[ -]", head)[-1]
        return word not in MASS and (not word.endswith("s") or word.endswith("ss") or word in SINGULAR_IN_S)

    return all(countable(name) for name in (thing.name, *thing.names)) and " and " not in thing.name
