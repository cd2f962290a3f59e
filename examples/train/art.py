"""The drawings of the packages, by style and code point."""

import functools
import io
import json
import pathlib
import re

import numpy as np
import resvg_py
from PIL import Image

from fetch import folder

SIDE = 144  # of a drawing, cut to what is drawn
DRAWN = 176  # before it is cut

# The styles: the package, and whether its drawings are named by code point (a map in the package) or by name alone.
ICONS = {
    "twitter": "@iconify-json/twemoji",
    "openmoji": "@iconify-json/openmoji",
    "fluent-flat": "@iconify-json/fluent-emoji-flat",
    "emojione": "@iconify-json/emojione",
    "emojione-1": "@iconify-json/emojione-v1",
    "firefox": "@iconify-json/fxemoji",
    "streamline": "@iconify-json/streamline-emojis",
    "noto": "@iconify-json/noto",
}
PICTURES = {"fluent-3d": "@lobehub/fluent-emoji-3d"}
# Never trained on.
KEPT_BACK = "noto"
SEEN = [style for style in [*ICONS, *PICTURES] if style != KEPT_BACK]


def plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


class Art:
    """All drawings of all objects."""

    def __init__(self, packages, objects):
        self.packages = pathlib.Path(packages)
        self.icons = {style: self._json(package, "icons.json") for style, package in ICONS.items()}
        self.found = {style: self._named(style, objects) for style in ICONS}
        for style, package in PICTURES.items():
            files = (folder(self.packages, package) / "assets").glob("*.webp")
            self.found[style] = {path.stem.replace("-fe0f", ""): path for path in files}

    def _json(self, package, name):
        path = folder(self.packages, package) / name
        return json.loads(path.read_text()) if path.exists() else {}

    @functools.cached_property
    def _annotations(self):
        """What Unicode calls code points, and its keywords for them."""
        path = folder(self.packages, "cldr-annotations-full") / "annotations" / "en" / "annotations.json"
        annotations = json.loads(path.read_text())["annotations"]["annotations"]
        return {f"{ord(sign[0]):x}": entry for sign, entry in annotations.items() if len(sign.rstrip("\ufe0f")) == 1}

    def keywords(self, code):
        """Unicode's keywords for a code point."""
        return list(self._annotations.get(code, {}).get("default", []))

    def _named(self, style, objects):
        """The drawings of a style by code point: by the package's own map, or by name."""
        icons = self.icons[style]
        names = {*icons["icons"], *icons.get("aliases", {})}
        by_code = {code.replace("-fe0f", ""): name for code, name in self._json(ICONS[style], "chars.json").items()}
        if by_code:
            return {code: name for code, name in by_code.items() if name in names}
        by_name = {plain(name): name for name in sorted(names)}
        found = {}
        for thing in objects:
            for i, code in enumerate(thing.codes):
                known = [*self._annotations.get(code, {}).get("tts", []), *((thing.name, *thing.names) if i == 0 else ())]
                tried = [form for name in known for form in (plain(name), plain(name) + "face", plain(name) + "1")]
                match = next((by_name[form] for form in tried if form in by_name), None)
                if match:
                    found[code] = match
        return found

    def drawings(self, thing, style):
        """Code points of a thing that a style has a drawing of."""
        return [code for code in thing.codes if code in self.found[style]]

    @functools.lru_cache(maxsize=None)
    def drawing(self, style, code):
        """A drawing, cut to what is not transparent, or None if it is empty."""
        image = self._webp(style, code) if style in PICTURES else self._svg(style, code)
        box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
        if box is None or np.asarray(image.getchannel("A")).mean() < 8:
            return None
        image = image.crop(box)
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        return image

    def _webp(self, style, code):
        return Image.open(self.found[style][code]).convert("RGBA")

    def _svg(self, style, code):
        icons, name = self.icons[style], self.found[style][code]
        icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box}" width="{DRAWN}" height="{DRAWN}" color="#222">{icon["body"]}</svg>'
        )
        return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=DRAWN)))).convert("RGBA")
