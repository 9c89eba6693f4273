"""What the tests of ci/gpu share: GPUs that are not there, programs, reports, and their page."""
import html.parser
import json
import pathlib
import shutil
import stat
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

GPU = {"id": "opencl:0", "name": "Fake <GPU> & \"Co\"", "vendor": "Fake", "platform": "p", "driver": "1",
       "version": "OpenCL 3.0", "class": "gpu", "unusable": "", "quirks": "", "cache_bytes": 1 << 20,
       "global_bytes": 1 << 34, "compute_units": 8}
VULKAN = dict(GPU, id="vulkan:0", platform="q", version="1.3")
WRONG = dict(GPU, id="opencl:wrong", name="Other")
RESTING = dict(GPU, id="vulkan:1", name="Third", unusable="device lost: it is asleep")


def make_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make_fake_build(folder):
    """A build folder whose program is fake_anynorm.py."""
    source = pathlib.Path(__file__).with_name("fake_anynorm.py")
    make_program(folder / "host" / "cli" / "anynorm", f'#!/bin/sh\nexec "{sys.executable}" -I -S "{source}" "$@"\n')
    return folder


def read(folder):
    """The report of a folder, and its raw records by device and name of the step."""
    document = json.loads((folder / "report.json").read_text())
    records = {}
    for step in document["steps"]:
        path = folder / step["file"]
        if path.exists():
            records[step["device"], step["name"]] = json.loads(path.read_text())
    return document, records


def states(document):
    return {(step["device"], step["name"]): "kept" if step["kept"] else step["state"]
            for step in document["steps"]}


def copy_of(folder, target):
    shutil.copytree(folder, target)
    return target


class Reader(html.parser.HTMLParser):
    """Demands that tags close in order, and collects them and the text."""
    EMPTY = {"meta"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


def check_page(text):
    """Well formed, and nothing in it loads or runs anything."""
    reader = Reader(text)
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in text and "@import" not in text and "://" not in text.replace("&", "")
    return reader
