#!/usr/bin/env python3
"""Makes the small pictures of this folder and manifest.json: what Pillow's convert("RGB") gives for each.

    pip install pillow==11.3.0 numpy && python make.py

Kinds of files that Pillow does not write are put together by hand. `sha256` null: Pillow refuses the file. `ours`
"unsupported": Pillow reads it, the decoder says clearly that it does not.
"""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

HERE = Path(__file__).parent
W, H = 23, 17
FILES = {}


def texture(width=W, height=H, channels=3):
    """Gradients and a deterministic disorder on top."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    noise = (x * 7919 + y * 104729 + c * 1299709) % 61
    return ((x * 9 + y * 5 * (c + 1) + noise * 2) % 256).astype(np.uint8)


RGB = Image.fromarray(texture())
ALPHA = Image.fromarray(texture(channels=4))
GREY = RGB.convert("L")
INDEXED = RGB.quantize(23)
CMYK = Image.frombytes("CMYK", (W, H), texture(channels=4).tobytes())
SMALL_INDEXED = RGB.quantize(4)


def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def add(name, data):
    assert name not in FILES, name
    FILES[name] = data


# ---------------------------------------------------------------- PNG


def png(width, height, depth, colour, rows, before=(), after=(), interlace=0):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
        + b"".join(chunk(*c) for c in before)
        + chunk(b"IDAT", zlib.compress(raw, 9))
        + b"".join(chunk(*c) for c in after)
        + chunk(b"IEND", b"")
    )


def wide(channels):
    """16-bit samples of which some are below 256."""
    values = texture(channels=channels).astype(np.uint16) * 2 + 3
    values[::3] *= 113
    return [row.astype(">u2").tobytes() for row in values]


def packed_rows(bits, levels):
    per_byte = 8 // bits
    rows = []
    for row in levels:
        row = np.concatenate([row, np.zeros(-len(row) % per_byte, np.uint8)]).reshape(-1, per_byte)
        rows.append(bytes(sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(group)) for group in row))
    return rows


def adam7(levels):
    """Rows of 8-bit grey in the order of Adam7."""
    rows = []
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = levels[y::dy, x::dx]
        if part.size:
            rows += [row.tobytes() for row in part]
    return rows


def pngs():
    grey = np.asarray(GREY)
    add("png-grey1.png", png(W, H, 1, 0, packed_rows(1, grey >> 7)))
    add("png-grey2.png", png(W, H, 2, 0, packed_rows(2, grey >> 6)))
    add("png-grey4.png", png(W, H, 4, 0, packed_rows(4, grey >> 4)))
    add("png-grey8-trns.png", png(W, H, 8, 0, [r.tobytes() for r in grey], [(b"tRNS", b"\0\x40")]))
    add("png-grey16.png", png(W, H, 16, 0, wide(1)))
    add("png-grey-alpha16.png", png(W, H, 16, 4, wide(2)))
    add("png-rgb16.png", png(W, H, 16, 2, wide(3)))
    add("png-rgb16-trns.png", png(W, H, 16, 2, wide(3), [(b"tRNS", b"\0\1\0\2\0\3")]))
    add("png-rgba16.png", png(W, H, 16, 6, wide(4)))
    add("png-rgba.png", saved(ALPHA, "PNG"))
    add("png-la.png", saved(ALPHA.convert("LA"), "PNG"))
    add("png-palette1.png", saved(RGB.quantize(2), "PNG", bits=1))
    add("png-palette2.png", saved(SMALL_INDEXED, "PNG", bits=2, transparency=1))
    add("png-palette4.png", saved(RGB.quantize(16), "PNG", bits=4, transparency=bytes(range(16))))
    add("png-palette8.png", saved(INDEXED, "PNG", transparency=3))
    # Index 5 and above are not in the palette.
    add("png-palette-short.png", png(W, H, 8, 3, [r.tobytes() for r in grey // 16], [(b"PLTE", bytes(range(15)))]))
    add("png-adam7.png", png(W, H, 8, 0, adam7(grey), interlace=1))
    rgb = texture(5, 3)
    add("png-adam7-tiny.png", png(5, 3, 8, 2, adam7(rgb), interlace=1))
    add("png-animated.png", saved(RGB, "PNG", save_all=True, append_images=[RGB.rotate(90), RGB.rotate(180)]))
    add("png-animated-default.png", saved(RGB, "PNG", save_all=True, default_image=True, append_images=[RGB.rotate(90)]))
    add("png-1x40.png", saved(Image.fromarray(texture(1, 40)), "PNG"))
    add("png-40x1.png", saved(Image.fromarray(texture(40, 1)), "PNG"))
    text = zlib.compress(b"a" * 3000)
    good = png(W, H, 8, 0, [r.tobytes() for r in grey], [(b"zTXt", b"k\0\0" + text)], [(b"tEXt", b"k\0v")])
    add("png-text.png", good)
    add("png-cut-in-text.png", good[:-20])
    add("png-cut-before-end.png", good[:-8])
    at = good.index(b"zTXt")
    add("png-bad-checksum.png", good[: at + 6] + b"\xff" + good[at + 7 :])
    at = good.index(b"IDAT")
    size = struct.unpack(">I", good[at - 4 : at])[0]
    add("png-bad-data-checksum.png", good[: at + 4 + size] + b"\0\0\0\0" + good[at + 8 + size :])


# ---------------------------------------------------------------- JPEG


def jpegs():
    add("jpeg-grey.jpg", saved(GREY, "JPEG", quality=60))
    add("jpeg-444.jpg", saved(RGB, "JPEG", quality=60, subsampling=0))
    add("jpeg-422.jpg", saved(RGB, "JPEG", quality=60, subsampling=1))
    add("jpeg-420.jpg", saved(RGB, "JPEG", quality=60, subsampling=2))
    add("jpeg-progressive.jpg", saved(RGB, "JPEG", quality=60, progressive=True))
    add("jpeg-progressive-grey.jpg", saved(GREY, "JPEG", quality=60, progressive=True))
    add("jpeg-restart.jpg", saved(RGB, "JPEG", quality=60, restart_marker_blocks=1))
    add("jpeg-restart-progressive.jpg", saved(RGB, "JPEG", quality=60, progressive=True, restart_marker_rows=1))
    add("jpeg-rgb.jpg", saved(RGB, "JPEG", quality=60, keep_rgb=True))
    add("jpeg-cmyk.jpg", saved(CMYK, "JPEG", quality=60))
    add("jpeg-1x40.jpg", saved(Image.fromarray(texture(1, 40)), "JPEG", quality=60))
    add("jpeg-40x1.jpg", saved(Image.fromarray(texture(40, 1)), "JPEG", quality=60))
    exif = Image.Exif()
    exif[0x0112] = 6
    good = saved(RGB, "JPEG", quality=60, exif=exif)
    add("jpeg-exif-rotated.jpg", good)
    add("jpeg-no-end.jpg", good[:-2])
    # The same four planes, once told to be YCCK (Adobe transform 2), once without an Adobe marker.
    cmyk = FILES["jpeg-cmyk.jpg"]
    at = cmyk.index(b"Adobe")
    add("jpeg-ycck.jpg", cmyk[: at + 11] + b"\2" + cmyk[at + 12 :])
    add("jpeg-cmyk-bare.jpg", cmyk[: at - 4] + cmyk[at + 12 :])
    # Bits flipped within the scan: a warning, not an error.
    scan = good.index(b"\xff\xda") + 60
    add("jpeg-flipped-bits.jpg", good[:scan] + bytes(b ^ 8 if b not in (0xFF, 0xF7, 0) else b for b in good[scan:-2]) + good[-2:])


# ---------------------------------------------------------------- GIF


def gif_lzw(indices, bits=8):
    """Uncompressed codes: a clear code often enough that the code length never grows."""
    clear, out, acc, n = 1 << bits, bytearray(), 0, 0

    def put(code):
        nonlocal acc, n
        acc |= code << n
        n += bits + 1
        while n >= 8:
            out.append(acc & 255)
            acc >>= 8
            n -= 8

    for i, index in enumerate(indices):
        if i % (clear // 2) == 0:
            put(clear)
        put(index)
    put(clear + 1)
    out.append(acc & 255)
    blocks = b"".join(bytes([len(out[i : i + 255])]) + bytes(out[i : i + 255]) for i in range(0, len(out), 255))
    return bytes([bits]) + blocks + b"\0"


def gif(screen, at, size, indices, control=b"", global_palette=None, local_palette=None, interlaced=0, background=0, bits=8):
    def palette(colours):
        return (0x80 | (len(colours).bit_length() - 2), np.asarray(colours, np.uint8).tobytes()) if colours is not None else (0, b"")

    flags, table = palette(global_palette)
    local_flags, local_table = palette(local_palette)
    return (
        b"GIF89a" + struct.pack("<HHBBB", *screen, flags, background, 0) + table + control
        + b"," + struct.pack("<HHHHB", *at, *size, local_flags | interlaced << 6) + local_table
        + gif_lzw(indices, bits) + b";"
    )


def gifs():
    colours = texture(16, 16).reshape(256, 3)
    others = 255 - colours
    indices = texture(W, H, 1).ravel().tolist()
    control = b"!\xf9\4\1\x0a\0\x2a\0"
    add("gif-palette.gif", saved(INDEXED, "GIF"))
    add("gif-transparent.gif", saved(INDEXED, "GIF", transparency=5))
    add("gif-grey.gif", saved(GREY, "GIF"))
    add("gif-interlaced.gif", saved(INDEXED, "GIF", interlace=1))
    add("gif-plain.gif", saved(INDEXED, "GIF", interlace=0))
    add("gif-animated.gif", saved(INDEXED, "GIF", save_all=True, append_images=[INDEXED.rotate(90)], disposal=2, loop=0))
    add("gif-1x40.gif", saved(Image.fromarray(texture(1, 40)).quantize(9), "GIF"))
    add("gif-offset.gif", gif((40, 30), (5, 7), (W, H), indices, b"", colours, background=9))
    add("gif-offset-transparent.gif", gif((40, 30), (5, 7), (W, H), indices, control, colours, background=9))
    add("gif-offset-local.gif", gif((40, 30), (5, 7), (W, H), indices, control, colours, others))
    add("gif-local-only.gif", gif((W, H), (0, 0), (W, H), indices, b"", None, others))
    add("gif-no-palette.gif", gif((40, 30), (5, 7), (W, H), indices, control))
    add("gif-beyond-screen.gif", gif((10, 8), (5, 7), (W, H), indices, b"", colours))
    add("gif-zero-screen.gif", gif((0, 0), (0, 0), (W, H), indices, b"", colours))
    add("gif-comment.gif", gif((W, H), (0, 0), (W, H), indices, b"!\xfe\5hello\0!\xff\x0bNETSCAPE2.0\3\1\0\0\0" + control, colours))
    add("gif-index-beyond-palette.gif", gif((W, H), (0, 0), (W, H), [i % 8 for i in indices], b"", colours[:4], bits=3))
    good = FILES["gif-offset.gif"]
    add("gif-no-trailer.gif", good[:-1])
    add("gif-no-terminator.gif", good[:-2])
    add("gif-too-few-pixels.gif", gif((W, H), (0, 0), (W, H), indices[:-30], b"", colours))


# ---------------------------------------------------------------- BMP


def bmp(width, height, bits, data, compression=0, palette=b"", header=40, extra=b"", colours=0, offset=None):
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 2835, 2835, colours, 0)
        info += extra + bytes(max(0, header - 40 - len(extra)))
    begin = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", begin + len(data), 0, 0, begin if offset is None else offset) + info + palette + data


def padded(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


def bmps():
    colours = texture(16, 16).reshape(256, 3)
    table = b"".join(c.tobytes() + b"\0" for c in colours)
    grey = texture(W, H, 1)[:, :, 0]
    rgb = texture()
    add("bmp-rgb.bmp", saved(RGB, "BMP"))
    add("bmp-rgba.bmp", saved(ALPHA, "BMP"))
    add("bmp-grey.bmp", saved(GREY, "BMP"))
    add("bmp-1bit.bmp", saved(GREY.convert("1"), "BMP"))
    add("bmp-palette.bmp", saved(INDEXED, "BMP"))
    add("bmp-palette1.bmp", bmp(W, H, 1, padded(packed_rows(1, grey & 1)), palette=table[:8]))
    add("bmp-palette4.bmp", bmp(W, H, 4, padded(packed_rows(4, grey & 15)), palette=table[:64]))
    add("bmp-palette4-short.bmp", bmp(W, H, 4, padded(packed_rows(4, grey & 15)), palette=table[:20], colours=5))
    add("bmp-os2.bmp", bmp(W, H, 8, padded(r.tobytes() for r in grey), header=12, palette=colours.tobytes()))
    add("bmp-os2-rgb.bmp", bmp(W, H, 24, padded(r.tobytes() for r in rgb), header=12))
    add("bmp-no-offset.bmp", bmp(W, H, 8, padded(r.tobytes() for r in grey), palette=table, offset=0))
    add("bmp-offset-without-palette.bmp", bmp(W, H, 8, padded(r.tobytes() for r in grey), palette=table, offset=54))
    add("bmp-top-down.bmp", bmp(W, -H, 24, padded(r.tobytes() for r in rgb)))
    words = (texture(W, H, 1).astype(np.uint16) * 257 + texture(W, H, 2)[:, :, 1:2] * 31).astype("<u2")[:, :, 0]
    add("bmp-16.bmp", bmp(W, H, 16, padded(r.tobytes() for r in words)))
    for name, masks in [("555", (0x7C00, 0x3E0, 0x1F)), ("565", (0xF800, 0x7E0, 0x1F)), ("444", (0xF00, 0xF0, 0xF))]:
        add(f"bmp-16-{name}.bmp", bmp(W, H, 16, padded(r.tobytes() for r in words), 3, struct.pack("<III", *masks)))
    four = texture(channels=4)
    add("bmp-32.bmp", bmp(W, H, 32, four.tobytes()))
    for i, masks in enumerate([
        (0xFF0000, 0xFF00, 0xFF, 0x0), (0xFF000000, 0xFF0000, 0xFF00, 0x0), (0xFF000000, 0xFF00, 0xFF, 0x0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0x0, 0x0, 0x0, 0x0), (0x3FF00000, 0xFFC00, 0x3FF, 0x0),
    ]):
        add(f"bmp-32-fields{i}.bmp", bmp(W, H, 32, four.tobytes(), 3, header=108, extra=struct.pack("<IIII", *masks)))
    add("bmp-24-fields.bmp", bmp(W, H, 24, padded(r.tobytes() for r in rgb), 3, header=56, extra=struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0)))
    rle8 = b"\x05\x2a\x00\x04\x01\x02\x03\x04\x00\x03\x09\x08\x07\x00\x30\x11\x00\x00" + b"\x17\x21\x00\x00" * 9 + b"\x00\x02\x03\x01" + b"\x04\x07\x00\x00" + b"\x17\x33\x00\x00" * 6 + b"\x00\x01"
    add("bmp-rle8.bmp", bmp(W, H, 8, rle8, 1, table))
    rle4 = b"\x05\x2a\x00\x04\x12\x34\x00\x06\x98\x76\x54\x00\x30\x1c\x00\x00" + b"\x17\x21\x00\x00" * 16 + b"\x00\x01"
    add("bmp-rle4.bmp", bmp(W, H, 4, rle4, 2, table[:64]))
    odd = b"\x00\x05\x12\x34\x50\x00" + b"\x20\x4b\x00\x00" + b"\x17\x21\x00\x00" * 16 + b"\x00\x01"
    add("bmp-rle4-odd.bmp", bmp(W, H, 4, odd, 2, table[:64]))
    add("bmp-rle8-short.bmp", bmp(W, H, 8, rle8[:40] + b"\x00\x01", 1, table))
    add("bmp-1x40.bmp", saved(Image.fromarray(texture(1, 40)), "BMP"))
    good = FILES["bmp-palette4.bmp"]
    add("bmp-no-last-padding.bmp", FILES["bmp-rgb.bmp"][:-3])
    add("bmp-cut.bmp", good[:-9])


# ---------------------------------------------------------------- TIFF

KINDS = {"B": 1, "H": 3, "I": 4}


def tiff(tags, strips, order="<", big=False, tile=False):
    """tags: {tag: (kind, numbers)}. Strip or tile places are filled in."""
    out = io.BytesIO()
    mark = b"II" if order == "<" else b"MM"
    head = 16 if big else 8
    body = b""
    places = []
    for strip in strips:
        places.append(head + len(body))
        body += strip + b"\0" * (len(strip) % 2)
    tags = dict(tags)
    tags[324 if tile else 273] = ("I", places)
    tags[325 if tile else 279] = ("I", [len(s) for s in strips])
    directory = head + len(body)
    entry, room = (20, 8) if big else (12, 4)
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    values_at = directory + len(count) + entry * len(tags) + room
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(order + kind * len(numbers), *numbers)
        field = data.ljust(room, b"\0")
        if len(data) > room:
            field = struct.pack(order + ("Q" if big else "I"), values_at + len(values))
            values += data + b"\0" * (len(data) % 2)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, KINDS[kind], len(numbers)) + field
    if big:
        out.write(mark + struct.pack(order + "HHHQ", 43, 8, 0, directory))
    else:
        out.write(mark + struct.pack(order + "HI", 42, directory))
    out.write(body + count + entries + b"\0" * room + values)
    return out.getvalue()


def base(photometric, bits, compression=1, rows=H, samples=None, width=W, height=H, **more):
    tags = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", bits), 259: ("H", [compression]),
        262: ("H", [photometric]), 277: ("H", [samples or len(bits)]), 278: ("I", [rows]),
    }
    names = {"fill": 266, "orientation": 274, "planar": 284, "predictor": 317, "map": 320, "extra": 338, "format": 339}
    for name, numbers in more.items():
        tags[names[name]] = ("H", numbers)
    return tags


def tiffs():
    grey = texture(W, H, 1)[:, :, 0]
    rgb, four = texture(), texture(channels=4)
    raw = rgb.tobytes()
    for name in ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]:
        short = name.replace("tiff_", "").replace("adobe_", "")
        add(f"tiff-rgb-{short}.tif", saved(RGB, "TIFF", compression=name))
    add("tiff-grey-lzw.tif", saved(GREY, "TIFF", compression="tiff_lzw"))
    add("tiff-1bit-packbits.tif", saved(GREY.convert("1"), "TIFF", compression="packbits"))
    for name in ["group3", "group4", "tiff_ccitt"]:
        add(f"tiff-1bit-{name}.tif", saved(GREY.convert("1"), "TIFF", compression=name))
    add("tiff-rgb-lzma.tif", saved(RGB, "TIFF", compression="lzma"))
    add("tiff-palette-deflate.tif", saved(INDEXED, "TIFF", compression="tiff_adobe_deflate"))
    add("tiff-rgba-lzw.tif", saved(ALPHA, "TIFF", compression="tiff_lzw"))
    add("tiff-la.tif", saved(ALPHA.convert("LA"), "TIFF"))
    add("tiff-cmyk.tif", saved(CMYK, "TIFF"))
    add("tiff-cmyk-lzw.tif", saved(CMYK, "TIFF", compression="tiff_lzw"))
    add("tiff-ycbcr.tif", saved(RGB.convert("YCbCr"), "TIFF", compression="tiff_lzw"))
    add("tiff-lab.tif", tiff(base(8, [8] * 3), [raw]))
    add("tiff-rgb-jpeg.tif", saved(RGB, "TIFF", compression="jpeg", quality=60))
    add("tiff-ycbcr-jpeg.tif", saved(RGB.convert("YCbCr"), "TIFF", compression="jpeg", quality=60))
    add("tiff-grey-jpeg.tif", saved(GREY, "TIFF", compression="jpeg", quality=60))
    add("tiff-cmyk-jpeg.tif", saved(CMYK, "TIFF", compression="jpeg", quality=60))
    tall = Image.fromarray(texture(40, 64))
    add("tiff-jpeg-strips.tif", saved(tall, "TIFF", compression="jpeg", quality=60, strip_size=40 * 3 * 16))
    add("tiff-int32.tif", saved(Image.fromarray(grey.astype(np.int32) * 3 - 100), "TIFF"))
    floats = grey.astype(np.float32) * 1.7 - 60
    floats[0, :4] = [np.nan, np.inf, -np.inf, 1e30]
    add("tiff-float32.tif", saved(Image.fromarray(floats), "TIFF"))
    add("tiff-multi-page.tif", saved(RGB, "TIFF", save_all=True, append_images=[GREY, INDEXED]))
    add("tiff-big.tif", tiff(base(2, [8] * 3), [raw], big=True))
    for order, name in [("<", "le"), (">", "be")]:
        words = (grey.astype(np.uint16) * 2 + 3)
        words[::3] *= 113
        data = words.astype(order + "u2").tobytes()
        add(f"tiff-grey16-{name}.tif", tiff(base(1, [16]), [data], order))
        add(f"tiff-grey16-white0-{name}.tif", tiff(base(0, [16]), [data], order))
        add(f"tiff-grey16-deflate-{name}.tif", tiff(base(1, [16], 8), [zlib.compress(data)], order))
        delta = np.diff(words, axis=1, prepend=np.uint16(0)).astype(order + "u2").tobytes()
        add(f"tiff-grey16-predictor-{name}.tif", tiff(base(1, [16], 8, predictor=[2]), [zlib.compress(delta)], order))
        signed = (grey.astype(np.int16) * 3 - 100).astype(order + "i2").tobytes()
        add(f"tiff-int16-{name}.tif", tiff(base(1, [16], format=[2]), [signed], order))
        wide3 = b"".join(np.frombuffer(r, ">u2").astype(order + "u2").tobytes() for r in wide(3))
        add(f"tiff-rgb16-{name}.tif", tiff(base(2, [16] * 3), [wide3], order))
        add(f"tiff-rgb16-deflate-{name}.tif", tiff(base(2, [16] * 3, 8), [zlib.compress(wide3)], order))
        wide4 = b"".join(np.frombuffer(r, ">u2").astype(order + "u2").tobytes() for r in wide(4))
        add(f"tiff-cmyk16-{name}.tif", tiff(base(5, [16] * 4), [wide4], order))
        add(f"tiff-rgba16-premultiplied-{name}.tif", tiff(base(2, [16] * 4, extra=[1]), [wide4], order))
    for bits in (1, 2, 4, 8):
        rows = b"".join(packed_rows(bits, grey >> (8 - bits)))
        colour_map = [v * 257 for v in texture(1 << bits, 3, 1).ravel().tolist()]
        add(f"tiff-white0-{bits}.tif", tiff(base(0, [bits]), [rows]))
        add(f"tiff-palette{bits}.tif", tiff(base(3, [bits], map=colour_map), [rows]))
        flipped = bytes(int(f"{b:08b}"[::-1], 2) for b in rows)
        add(f"tiff-fill2-{bits}.tif", tiff(base(1, [bits], fill=[2]), [flipped]))
    flipped = bytes(int(f"{b:08b}"[::-1], 2) for b in zlib.compress(raw))
    add("tiff-fill2-deflate.tif", tiff(base(2, [8] * 3, 8, fill=[2]), [flipped]))
    step = W * 3 * 5
    add("tiff-strips.tif", tiff(base(2, [8] * 3, rows=5), [raw[i : i + step] for i in range(0, len(raw), step)]))
    add("tiff-strips-deflate.tif", tiff(base(2, [8] * 3, 8, rows=5), [zlib.compress(raw[i : i + step]) for i in range(0, len(raw), step)]))
    delta = np.diff(rgb, axis=1, prepend=np.zeros((H, 1, 3), np.uint8)).tobytes()
    add("tiff-predictor.tif", tiff(base(2, [8] * 3, 8, predictor=[2]), [zlib.compress(delta)]))
    big = np.zeros((32, 32, 3), np.uint8)
    big[:H, :W] = rgb
    tiles = [big[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16)]
    for compression, squeeze in [(1, bytes), (8, zlib.compress)]:
        tags = base(2, [8] * 3, compression)
        del tags[278]
        tags[322], tags[323] = ("I", [16]), ("I", [16])
        add(f"tiff-tiles-{compression}.tif", tiff(tags, [squeeze(t) for t in tiles], tile=True))
    planes = [rgb[:, :, c].tobytes() for c in range(3)]
    add("tiff-planes.tif", tiff(base(2, [8] * 3, planar=[2]), planes))
    add("tiff-planes-deflate.tif", tiff(base(2, [8] * 3, 8, planar=[2]), [zlib.compress(p) for p in planes]))
    add("tiff-premultiplied.tif", tiff(base(2, [8] * 4, extra=[1]), [four.tobytes()]))
    add("tiff-rgbx.tif", tiff(base(2, [8] * 4, extra=[0]), [four.tobytes()]))
    add("tiff-rgb-5-samples.tif", tiff(base(2, [8] * 5, extra=[2, 0]), [texture(channels=5).tobytes()]))
    add("tiff-cmyk-5-samples.tif", tiff(base(5, [8] * 5, extra=[0]), [texture(channels=5).tobytes()]))
    for n in range(1, 9):
        add(f"tiff-orientation{n}.tif", tiff(base(2, [8] * 3, orientation=[n], width=7, height=5), [texture(7, 5).tobytes()]))
    add("tiff-1x40.tif", tiff(base(2, [8] * 3, width=1, height=40, rows=40), [texture(1, 40).tobytes()]))
    add("tiff-40x1.tif", tiff(base(2, [8] * 3, width=40, height=1, rows=1), [texture(40, 1).tobytes()]))
    add("tiff-one-bits-value.tif", tiff(base(2, [8], samples=3), [raw]))
    add("tiff-short-strip.tif", tiff(base(2, [8] * 3, 8), [zlib.compress(raw[:-40])]))
    good = FILES["tiff-rgb-raw.tif"]
    add("tiff-cut.tif", good[:-100])


# ---------------------------------------------------------------- WebP


def webps():
    add("webp-lossy.webp", saved(RGB, "WEBP", quality=60))
    add("webp-lossless.webp", saved(RGB, "WEBP", lossless=True))
    add("webp-lossy-alpha.webp", saved(ALPHA, "WEBP", quality=60))
    add("webp-lossless-alpha.webp", saved(ALPHA, "WEBP", lossless=True, exact=True))
    hidden = ALPHA.copy()
    hidden.putalpha(Image.fromarray(np.where(texture(W, H, 1)[:, :, 0] > 128, 255, 0).astype(np.uint8)))
    add("webp-hidden-colours.webp", saved(hidden, "WEBP", lossless=True, exact=True))
    frames = [hidden, hidden.rotate(90), hidden.rotate(180)]
    add("webp-animated.webp", saved(frames[0], "WEBP", lossless=True, exact=True, save_all=True, append_images=frames[1:], background=(200, 100, 50, 255)))
    add("webp-animated-lossy.webp", saved(RGB, "WEBP", quality=60, save_all=True, append_images=[RGB.rotate(90)]))
    spot = Image.new("RGBA", (40, 30))
    spot.paste(ALPHA, (8, 6))
    add("webp-animated-offset.webp", saved(spot, "WEBP", lossless=True, save_all=True, append_images=[spot.rotate(180)], background=(200, 100, 50, 255)))
    add("webp-1x40.webp", saved(Image.fromarray(texture(1, 40)), "WEBP", quality=60))
    add("webp-40x1.webp", saved(Image.fromarray(texture(40, 1)), "WEBP", lossless=True))
    add("webp-exif.webp", saved(RGB, "WEBP", quality=60, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"))
    add("webp-trailing.webp", FILES["webp-lossy.webp"] + b"trailing bytes")
    add("webp-cut.webp", FILES["webp-lossless.webp"][:-1])


# What Pillow reads and the decoder refuses, saying so.
UNSUPPORTED = {
    "tiff-1bit-group3.tif", "tiff-1bit-group4.tif", "tiff-1bit-tiff_ccitt.tif", "tiff-rgb-lzma.tif",
    "tiff-ycbcr.tif", "tiff-lab.tif",
}


def pillow(data):
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        image = image.convert("RGB")
    except Exception:
        return {"width": None, "height": None, "sha256": None}
    return {"width": image.width, "height": image.height, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}


def main():
    assert PIL.__version__ == "11.3.0", PIL.__version__
    for make in (pngs, jpegs, gifs, bmps, tiffs, webps):
        make()
    for old in HERE.iterdir():
        if old.suffix not in (".py", ".json") and old.name not in FILES:
            old.unlink()
    manifest = []
    for name, data in sorted(FILES.items()):
        (HERE / name).write_bytes(data)
        ours = "unsupported" if name in UNSUPPORTED else "pillow"
        manifest.append({"file": name, **pillow(data), "ours": ours})
    lines = ",\n".join(json.dumps(entry) for entry in manifest)
    (HERE / "manifest.json").write_text(f"[\n{lines}\n]\n")
    print(len(FILES), "files,", sum(map(len, FILES.values())), "bytes")


main()
