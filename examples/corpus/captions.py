"""The rows of captions.parquet: ordinary ones, and the ones that are deliberately bad or odd."""

import hashlib
import io
import pathlib
import random
import struct
import tomllib
import zlib

from PIL import Image

from pictures import encode, opaque, part

EMOJI = """
1F435 1F43A 1F408 1F42F 1F40E 1F993 1F404 1F416 1F418 1F430 1F994 1F43B 1F43C 1F998 1F414 1F427 1F985 1F9A9 1F99C
1F433 1F420 1F40C 1F41D 1F33B 1F337 1F334 1F341 1F347 1F349 1F34D 1F34E 1F345 1F955 1F966 1F950 1F354 1F363 1F366
1F370 2615 1F30B 1F3D5 1F3E0 1F3F0 1F305 1F683 1F692 1F6B2 2708 1F681 1F6F8 23F0 1F315 1F455 1F451 1F514 1F4FB
1F3BA 1F5A5 1F3A5 1F4A1 1F4D6 2709 1F4E6 1F383 1F3C6 1F3C0 1F9F8 1F3B2 1F3A8
""".split()
SIDES = (60, 72, 96, 128, 144, 160, 200, 256, 320)
EMOJI_ENCODINGS = ("png rgba", "png palette", "webp lossless", "jpeg q=90 444", "webp q=80", "gif", "jpeg q=75 420")


def row(image, text, credit, level=None, size=None, note=None):
    """One row; the size is read from the picture where it is not given."""
    if size is None:
        try:
            size = Image.open(io.BytesIO(image)).size
        except Exception:  # a bad row: nothing to be known
            size = (None, None)
    url, license, source = credit
    return dict(url=url, text=text, image=image, width=size[0], height=size[1], level=level, license=license, source=source, note=note)


def photographs(sources):
    spec = tomllib.loads((pathlib.Path(__file__).parent / "captions.toml").read_text())
    for p in spec["picture"]:
        image = encode(part(sources.open(p["source"]), p.get("box"), p.get("width")), p["encode"])
        for level, text in p["texts"]:
            yield row(image, text, sources.credit(p["source"]), None if level < 0 else level)


def emoji(sources):
    """Emoji with captions from their annotations and tags; every seventh has another's and is of level 0."""
    for i, code in enumerate(EMOJI):
        about = sources.emoji[code]
        name, tags = about["annotation"], about["tags"].split(", ")
        captions = (
            name,
            f"{name} emoji",
            f"A flat, colourful icon of: {name}",
            f"{name} ({', '.join(tags[:4])})",
            f"An emoji with bold black outlines. It shows: {name}. Related words: {', '.join(tags[:8])}.",
        )
        text, level = captions[i % len(captions)], None
        if i % 7 == 3:
            text, level = f"{sources.emoji[EMOJI[(i + 41) % len(EMOJI)]]['annotation']} emoji", 0
        image = encode(sources.emoji_image(code, SIDES[i % len(SIDES)]), EMOJI_ENCODINGS[i % len(EMOJI_ENCODINGS)])
        yield row(image, text, sources.emoji_credit(code), level)


def png_header(width, height):
    """A PNG that claims a size and has next to no pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def saved(image, kind, **settings):
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def odd(sources):
    """Rows that test what a filter does with bad input. Notes begin with what is to be expected: `null` (an argument is
    NULL: NULL and no error), `unscorable` (NULL and a reason), `unusual` (a score)."""
    coffee = opaque(part(sources.open("coffee"), width=300))
    chelsea = opaque(part(sources.open("chelsea"), width=280))
    flower = opaque(part(sources.open("flower"), width=260))
    china = opaque(part(sources.open("china"), width=320))
    cup, cat, bloom, pagoda = (encode(i, "jpeg q=80 420") for i in (coffee, chelsea, flower, china))
    a_cup, a_cat, a_bloom, a_pagoda = "A cup of espresso on a red saucer", "A tabby cat", "An orange dahlia", "A pagoda above a lake"
    to = {n: sources.credit(n) for n in ("coffee", "chelsea", "flower", "china", "camera")}
    own = (None, "CC0-1.0", "made by this script")

    yield row(None, "A picture that could not be downloaded", own, note="null: no image")
    yield row(cup, None, to["coffee"], note="null: no text")
    yield row(None, None, own, note="null: no image and no text")

    yield row(b"", "An empty file", own, note="unscorable: image of zero bytes")
    yield row(cup[: len(cup) // 2], a_cup, to["coffee"], note="unscorable: JPEG cut off in the middle")
    yield row(cat[:150], a_cat, to["chelsea"], note="unscorable: JPEG cut off in its header")
    png = encode(flower, "png")
    yield row(png[: len(png) * 2 // 3], a_bloom, to["flower"], note="unscorable: PNG cut off in the middle")
    yield row(b"This is not an image but a line of text.\n", "A line of text", own, note="unscorable: plain text instead of an image")
    html = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1><p>The requested URL was not found on this server.</p></body></html>\n"
    yield row(html, "Sunset over the harbour", own, note="unscorable: HTML error page instead of an image")
    yield row(sources.emoji_svg("1F431"), "cat face", sources.emoji_credit("1F431"), note="unscorable: SVG, a format that is not understood")
    yield row(png_header(60000, 60000), "An enormous picture", own, size=(60000, 60000), note="unscorable: PNG whose header claims 60000 x 60000 pixels")
    yield row(png_header(64, 0), "A picture without rows", own, size=(64, 0), note="unscorable: PNG whose header claims a height of 0")
    yield row(bytes(2000), "Two thousand zeros", own, note="unscorable: zeros instead of an image")
    webp = encode(china, "webp q=70")
    yield row(webp[: len(webp) // 2], a_pagoda, to["china"], note="unscorable: WebP cut off in the middle")

    yield row(encode(coffee.crop((0, 100, 300, 101)), "png"), "A line of pixels", to["coffee"], note="unusual: one pixel high")
    yield row(encode(coffee.crop((150, 0, 151, 200)), "png"), "A column of pixels", to["coffee"], note="unusual: one pixel wide")
    yield row(encode(coffee.crop((150, 100, 151, 101)), "png"), "A pixel", to["coffee"], note="unusual: one pixel")
    yield row(encode(china.crop((0, 0, 320, 3)), "png"), "A strip of sky", to["china"], note="unusual: three pixels high")
    frames = [opaque(sources.emoji_image(c, 96)).quantize(32) for c in ("1F550", "1F551", "1F552", "1F553")]
    clock = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=300, loop=0)
    yield row(clock, "A clock that shows one o'clock", sources.emoji_credit("1F550"), note="unusual: animated GIF of four frames")
    steps = [opaque(sources.emoji_image(c, 128)) for c in ("1F311", "1F313", "1F315")]
    moon = saved(steps[0], "WEBP", save_all=True, append_images=steps[1:], duration=300, lossless=True)
    yield row(moon, "new moon", sources.emoji_credit("1F311"), note="unusual: animated WebP of three frames")
    yield row(saved(flower.convert("CMYK"), "JPEG", quality=80), a_bloom, to["flower"], note="unusual: CMYK JPEG")
    grey = part(sources.open("camera"), (160, 50, 350, 230))
    deep = Image.frombytes("I;16", grey.size, b"".join(struct.pack("<H", v * 257) for v in grey.tobytes()))
    yield row(saved(deep, "PNG"), "A man looks through a camera", to["camera"], note="unusual: 16-bit grey PNG")
    yield row(encode(sources.emoji_image("1F43C", 160), "png rgba"), "panda", sources.emoji_credit("1F43C"), note="unusual: RGBA PNG, mostly transparent")
    yield row(saved(sources.emoji_image("1F427", 160).convert("LA"), "PNG"), "penguin in grey", sources.emoji_credit("1F427"), note="unusual: grey PNG with alpha")
    yield row(saved(coffee.convert("1"), "PNG"), a_cup, to["coffee"], note="unusual: PNG of one bit a pixel")
    turned = Image.Exif()
    turned[0x0112] = 6
    yield row(saved(chelsea, "JPEG", quality=80, exif=turned), a_cat, to["chelsea"], note="unusual: EXIF orientation 6 (rotate by 90 degrees)")
    yield row(bloom + bytes(500), a_bloom, to["flower"], note="unusual: JPEG with 500 bytes behind its end")

    yield row(pagoda, "", to["china"], note="unusual: empty caption")
    yield row(pagoda, " \n\t ", to["china"], note="unusual: caption of white space")
    long = "A tall Chinese pagoda stands on a hill above a lake. " * 12
    yield row(pagoda, long.strip(), to["china"], note="unusual: caption of more than 75 tokens")
    yield row(cat, "<image>\nA tabby cat<|im_end|>", to["chelsea"], note="unusual: caption with special tokens: <image>, <|im_end|>")
    yield row(cat, "<s>A tabby <|endoftext|> cat", to["chelsea"], note="unusual: caption with special tokens: <s>, <|endoftext|>")
    yield row(cat, "一只绿眼睛的虎斑猫 🐱 gato atigrado de ojos verdes", to["chelsea"], note="unusual: caption in several scripts")
    yield row(bloom, "ORANGE DAHLIA!!! BUY NOW $9.99 >>> click here <<< free shipping", to["flower"], note="unusual: caption is an advertisement")
    for _ in range(3):
        yield row(cup, a_cup, to["coffee"], note="unusual: the same image and text three times")
    for text in ("A red cup", "A metal spoon", "A wooden table"):
        yield row(cup, text, to["coffee"], note="unusual: the same image with several texts")


def rows(sources):
    """All rows, the odd ones spread evenly among the shuffled others."""
    ordinary = [*photographs(sources), *emoji(sources)]
    strange = list(odd(sources))
    shuffle = random.Random(0)
    shuffle.shuffle(ordinary)
    shuffle.shuffle(strange)
    step = len(ordinary) / len(strange)
    everything = sorted([(float(i), r) for i, r in enumerate(ordinary)] + [((i + 0.5) * step, r) for i, r in enumerate(strange)], key=lambda p: p[0])
    out = [r for _, r in everything]
    for i, r in enumerate(out):
        key = f"{i}|{r['text']}|".encode() + (r["image"] or b"")
        r["uid"] = hashlib.sha256(key).hexdigest()[:32]
    return out
