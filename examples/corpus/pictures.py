"""The pictures that the example corpus is made from: where they come from, their licences, and how they are encoded."""

import csv
import functools
import hashlib
import importlib.util
import io
import lzma
import pathlib
import subprocess
import tarfile

import resvg_py
from PIL import Image

OPENMOJI = ("openmoji-17.0.0.tgz", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68")
HANDBOOK = ("debian-handbook_11.20220922_all.deb", "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa")
HANDBOOK_ROOT = "usr/share/doc/debian-handbook/html/en-US/"

CC0 = "CC0-1.0"
SKIMAGE_URL = "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data."
HANDBOOK_LICENSE = "CC-BY-SA-3.0 OR GPL-2.0-or-later"
HANDBOOK_SOURCE = "The Debian Administrator's Handbook, Raphaël Hertzog and Roland Mas (Debian package debian-handbook 11.20220922)"

# name: file in the package's data folder, licence, author
SKIMAGE = {
    "astronaut": ("astronaut.png", "public domain", "NASA"),
    "brick": ("brick.png", CC0, "CC0Textures"),
    "camera": ("camera.png", CC0, "Lav Varshney"),
    "cell": ("cell.png", CC0, "Paul Müller and others"),
    "chelsea": ("chelsea.png", CC0, "Stéfan van der Walt"),
    "clock": ("clock_motion.png", "public domain", "Stéfan van der Walt"),
    "coffee": ("coffee.png", CC0, "Rachel Michetti, Pikolo Espresso Bar"),
    "coins": ("coins.png", "no known copyright restrictions", "Brooklyn Museum"),
    "grass": ("grass.png", CC0, "CC0Textures"),
    "gravel": ("gravel.png", CC0, "CC0Textures"),
    "horse": ("horse.png", CC0, "Andreas Preuss (marauder)"),
    "hubble": ("hubble_deep_field.jpg", "public domain", "NASA, Hubble Space Telescope"),
    "ihc": ("ihc.png", "no known copyright restrictions", "Center for Microscopy and Molecular Imaging"),
    "microaneurysms": ("microaneurysms.png", CC0, "Andreas Maier"),
    "retina": ("retina.jpg", CC0, "Mikael Häggström"),
    "rocket": ("rocket.jpg", "public domain", "SpaceX"),
    "text": ("text.png", "public domain", "Wikipedia"),
}
# The functions of skimage.data that are not named as the pictures are here.
SKIMAGE_FUNCTION = {"hubble": "hubble_deep_field", "ihc": "immunohistochemistry"}

SKLEARN = {
    "china": ("china.jpg", "danielbuechele", "https://www.flickr.com/photos/danielbuechele/6061409035/"),
    "flower": ("flower.jpg", "vultilion", "https://www.flickr.com/photos/vultilion/6056698931/"),
}


class Sources:
    """The packages, downloaded into one folder with their own clients and checked by their digests."""

    def __init__(self, cache):
        self.cache = pathlib.Path(cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self._openmoji = tarfile.open(self._fetch(*OPENMOJI, ["npm", "pack", "--silent", "openmoji@17.0.0"]))
        self._handbook = self._open_deb(self._fetch(*HANDBOOK, ["apt-get", "download", "debian-handbook=11.20220922"]))

    def _fetch(self, name, sha256, command):
        path = self.cache / name
        if not path.exists():
            subprocess.run(command, cwd=self.cache, check=True)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256:
            raise SystemExit(f"{path} has sha256 {found}, expected {sha256}: remove it and try again")
        return path

    @staticmethod
    def _open_deb(path):
        data = path.read_bytes()
        at = len(b"!<arch>\n")
        while at < len(data):  # the members of an ar archive: a header of 60 bytes, then the content, padded to even
            name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
            if name == "data.tar.xz":
                return tarfile.open(fileobj=io.BytesIO(lzma.decompress(data[at + 60 : at + 60 + size])))
            at += 60 + size + size % 2
        raise SystemExit(f"{path} has no data.tar.xz")

    @functools.cached_property
    def emoji(self):
        """OpenMoji's table: hexcode -> row."""
        table = self._openmoji.extractfile("package/data/openmoji.csv").read().decode()
        return {row["hexcode"]: row for row in csv.DictReader(io.StringIO(table))}

    def emoji_svg(self, hexcode):
        return self._openmoji.extractfile(f"package/color/svg/{hexcode}.svg").read()

    def emoji_image(self, hexcode, side):
        png = resvg_py.svg_to_bytes(
            svg_string=self.emoji_svg(hexcode).decode(), width=side, height=side, skip_system_fonts=True
        )
        return Image.open(io.BytesIO(bytes(png))).convert("RGBA")

    def emoji_credit(self, hexcode):
        """(url, licence, source)"""
        author = self.emoji[hexcode]["openmoji_author"]
        return f"https://openmoji.org/library/emoji-{hexcode}/", "CC-BY-SA-4.0", f"OpenMoji 17.0.0, {author}"

    def handbook_page(self, name):
        return self._handbook.extractfile(f"./{HANDBOOK_ROOT}{name}").read().decode()

    def open(self, name):
        """A photograph or figure in its own mode, by the name that captions.toml uses."""
        if name.startswith("handbook/"):
            data = self._handbook.extractfile(f"./{HANDBOOK_ROOT}images/{name.split('/')[1]}").read()
            return Image.open(io.BytesIO(data))
        if name in SKIMAGE:
            return Image.open(_package("skimage") / "data" / SKIMAGE[name][0])
        return Image.open(_package("sklearn") / "datasets" / "images" / SKLEARN[name][0])

    @staticmethod
    def credit(name):
        """(url, licence, source) of a photograph or figure."""
        if name.startswith("handbook/"):
            return "https://debian-handbook.info/", HANDBOOK_LICENSE, HANDBOOK_SOURCE
        if name in SKIMAGE:
            _, license, author = SKIMAGE[name]
            return SKIMAGE_URL + SKIMAGE_FUNCTION.get(name, name), license, f"scikit-image 0.26.0, {author}"
        _, author, url = SKLEARN[name]
        return url, "CC-BY-2.0", f"scikit-learn 1.9.1, {author}"


def _package(name):
    return pathlib.Path(importlib.util.find_spec(name).origin).parent


def part(image, box=None, width=None):
    """Cuts out `box` and scales it to `width`."""
    if box:
        image = image.crop(box)
    if width and width != image.width:
        mode = "RGBA" if image.mode in ("P", "RGBA", "LA") else image.mode
        image = image.convert(mode).resize((width, max(1, round(image.height * width / image.width))), Image.LANCZOS)
    return image


def opaque(image):
    """RGB, on white where the picture is transparent."""
    if image.mode in ("RGBA", "LA", "P"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def encode(image, how):
    """Encodes as a word of settings says: `jpeg q=80 420 progressive`, `png palette`, `webp lossless`, `gif`, ..."""
    kind, *words = how.split()
    out = io.BytesIO()
    if kind == "jpeg":
        quality = next(int(w[2:]) for w in words if w.startswith("q="))
        if "grey" in words:
            opaque(image).convert("L").save(out, "JPEG", quality=quality)
        else:
            sampling = next(i for i, w in enumerate(("444", "422", "420")) if w in words)
            progressive = "progressive" in words
            opaque(image).save(out, "JPEG", quality=quality, subsampling=sampling, progressive=progressive, optimize=True)
    elif kind == "png":
        if "palette" in words:
            image = opaque(image).quantize(32, dither=Image.Dither.NONE)
        elif "rgba" in words:
            image = image.convert("RGBA")
        image.save(out, "PNG", optimize=True)
    elif kind == "webp":
        if "lossless" in words:
            image.save(out, "WEBP", lossless=True)
        else:
            opaque(image).save(out, "WEBP", quality=int(words[0][2:]))
    elif kind == "gif":
        opaque(image).quantize(64, dither=Image.Dither.NONE).save(out, "GIF")
    elif kind == "bmp":
        opaque(image).save(out, "BMP")
    elif kind == "tiff":
        image.save(out, "TIFF", compression="tiff_lzw")
    else:
        raise ValueError(how)
    return out.getvalue()
