"""The rows of documents.parquet: interleaved documents in the form of OBELICS, ordinary and deliberately bad ones."""

import hashlib
import html
import json
import pathlib
import re
import tomllib

from pictures import HANDBOOK_LICENSE, HANDBOOK_SOURCE, encode, opaque, part

# Pages of the handbook; of each its figures are kept and the paragraphs next to them.
PAGES = (
    "sect.graphical-desktops", "sect.main-desktop-tools", "sect.web-browsers", "sect.master-plan", "sect.remote-login",
    "sect.selinux", "sect.release-lifecycle", "existing-setup",
)
LONG_PAGE = "sect.debian-internals"
MANY_FIGURES = "sect.installation-steps"


def handbook_slots(page):
    """A page as a list of ("text", paragraph) and ("image", file), in reading order."""
    page = page[page.index('<div class="section"') :]
    page = re.sub(r'<div class="sidebar">.*?</div></div>', "", page, flags=re.S)
    token = re.compile(
        r'<h[1-4] class="title">(?P<title>.*?)</h[1-4]>|<img src="images/(?P<image>[^"]+)"'
        r'|<p class="title"><strong>(?P<caption>Figure.*?)</strong></p>|<div class="para">(?P<para>.*?)</div>',
        re.S,
    )
    for match in token.finditer(page):
        if match["image"]:
            yield "image", match["image"]
        else:
            text = html.unescape(re.sub(r"<[^>]+>", "", match["title"] or match["caption"] or match["para"]))
            text = re.sub(r"\s+", " ", text).strip()
            if text:
                yield "text", text


def around_figures(slots, before, after):
    """Keeps figures with their nearest texts."""
    slots = list(slots)
    near = {j for i, (kind, _) in enumerate(slots) if kind == "image" for j in range(i - before, i + after + 1)}
    return [s for i, s in enumerate(slots) if i in near]


def document(slots, title, credit, **about):
    """Parallel lists from ("text" | "image", content), neighbouring texts joined."""
    images, texts = [], []
    for kind, content in slots:
        if kind == "image":
            images.append(content)
            texts.append(None)
        elif texts and texts[-1] is not None:
            texts[-1] += "\n" + content
        else:
            images.append(None)
            texts.append(content)
    return raw(images, texts, title, credit, **about)


def raw(images, texts, title, credit, **about):
    _, license, source = credit
    metadata = {"title": title, **{k: v for k, v in about.items() if v is not None}}
    return dict(images=images, texts=texts, metadata=json.dumps(metadata, ensure_ascii=False), license=license, source=source)


class Pictures:
    """Slots' pictures, encoded small."""

    def __init__(self, sources):
        self.sources = sources

    def figure(self, name, width=300):
        return encode(part(opaque(self.sources.open(f"handbook/{name}")), width=width), "png palette")

    def named(self, name, i=0):
        if name.startswith("emoji:"):
            return encode(self.sources.emoji_image(name[6:], 96), "png palette")
        name, _, box = name.partition("@")
        box = tuple(map(int, box.split(","))) if box else None
        return encode(part(self.sources.open(name), box, 260), ("jpeg q=75 420", "webp q=75")[i % 2])

    def filled(self, slots):
        return [(kind, self.figure(content) if kind == "image" else content) for kind, content in slots]


def is_picture(sources, slot):
    if slot.startswith("emoji:"):
        return True
    try:
        sources.credit(slot.partition("@")[0])
    except KeyError:
        return False
    return True


def composed(sources, pictures):
    for d in tomllib.loads((pathlib.Path(__file__).parent / "documents.toml").read_text())["document"]:
        slots, licenses, origins = [], [], []
        for i, slot in enumerate(d["slots"]):
            if not is_picture(sources, slot):
                slots.append(("text", slot))
                continue
            slots.append(("image", pictures.named(slot, i)))
            _, license, origin = sources.emoji_credit(slot[6:]) if slot.startswith("emoji:") else sources.credit(slot.partition("@")[0])
            licenses.append(license)
            origins.append(origin)
        credit = (None, " AND ".join(dict.fromkeys(licenses)), "; ".join(dict.fromkeys(origins)))
        yield document(slots, d["title"], credit, level=d.get("level"))


def odd(sources, pictures, handbook):
    """Documents that test what a filter does with bad input; notes as in captions.py."""
    own = (None, "CC0-1.0", "made by this script")
    moji = lambda code: pictures.named(f"emoji:{code}")
    emoji = lambda *codes: (None, "CC-BY-SA-4.0", "; ".join(dict.fromkeys(sources.emoji_credit(c)[2] for c in codes)))
    cat, dog = moji("1F431"), moji("1F436")
    pets = emoji("1F431", "1F436")

    many = around_figures(handbook_slots(sources.handbook_page(f"{MANY_FIGURES}.html")), 1, 1)
    yield document(pictures.filled(many), "Installing, Step by Step", handbook, note="unscorable: more than 10 images")
    long = list(handbook_slots(sources.handbook_page(f"{LONG_PAGE}.html")))
    yield document(pictures.filled(long), "The Inner Workings of the Debian Project", handbook, note="unscorable: more than 6000 tokens")
    yield raw([None, cat, None], ["A cat.", None], "Unequal lengths", pets, note="unscorable: three image slots, two text slots")
    yield raw([], [], "Nothing at all", own, note="unscorable: empty lists")
    yield raw([None, None], ["A page of text.", "It has no picture."], "Text only", own, note="unscorable: no image")
    yield raw(None, ["A text without a list of images."], "No list of images", own, note="null: images is NULL")
    yield raw([cat], None, "No list of texts", pets, note="null: texts is NULL")
    yield raw([None, cat[: len(cat) // 2], None], ["A broken cat:", None, "The file was cut off."], "Broken image", pets, note="unscorable: PNG cut off in the middle")
    yield raw([None, b""], ["An empty file:", None], "Empty image", own, note="unscorable: image of zero bytes")
    yield raw([cat, dog], ["A slot with both a cat and its name.", None], "Both in one slot", pets, note="unscorable: a slot with text and image")
    yield raw([None, None, dog], ["Before the gap.", None, None], "Neither in a slot", pets, note="unscorable: a slot with neither text nor image")
    line = encode(part(sources.open("coffee"), (0, 200, 300, 201)), "png")
    yield raw([None, line, None, cat], ["A line of pixels:", None, "and a cat:", None], "One pixel high", (None, "CC0-1.0 AND CC-BY-SA-4.0", pets[2]), note="unusual: an image one pixel high, which is left out")
    yield raw([cat, dog], [None, None], "Images only", pets, note="unusual: no text")
    yield raw([None, cat], ["A literal <image> in the text, and <|endoftext|> too.", None], "Special tokens", pets, note="unusual: special tokens in a text")


def rows(sources):
    pictures = Pictures(sources)
    handbook = (None, HANDBOOK_LICENSE, HANDBOOK_SOURCE)
    ordinary = []
    for page in PAGES:
        slots = list(handbook_slots(sources.handbook_page(f"{page}.html")))
        title = re.sub(r"^[\d.]+\s*", "", slots[0][1])
        kept = [slots[0], *around_figures(slots[1:], 2, 2)]
        ordinary.append(document(pictures.filled(kept), title, handbook, url=f"https://debian-handbook.info/browse/stable/{page}.html"))
    made = list(composed(sources, pictures))
    strange = list(odd(sources, pictures, handbook))
    out = []
    while ordinary or made or strange:
        for queue in (ordinary, strange, made):
            out += queue[:1]
            del queue[:1]
    for i, r in enumerate(out):
        r["uid"] = hashlib.sha256(f"{i}|{r['metadata']}".encode()).hexdigest()[:32]
    return out
