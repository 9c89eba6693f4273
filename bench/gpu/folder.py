"""The folder of a run: each step's raw result is one file, kept for as long as what it depends on is
the same. Whatever ends a run, the files that are there are whole."""
import fcntl
import hashlib
import json
import os
import pathlib
import re


class InUse(Exception):
    pass


def write_whole(path, text):
    """The old file or the new one, never a part."""
    beside = path.with_name(path.name + ".new")
    with open(beside, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def seal(record):
    rest = {key: value for key, value in record.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_name(text):
    """What serves as one on every system; two texts that come out alike are told apart by a hash."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")
    if len(plain) > 100:
        plain = plain[:80] + "-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return plain


class Folder:
    def __init__(self, path):
        self.path = pathlib.Path(path).absolute()
        self.raw = self.path / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.path / ".lock", "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUse(f"{self.path}: another run is writing there") from None

    def file_of(self, device, name):
        return self.raw / file_name(device) / (file_name(name) + ".json")

    def read(self, device, name, key):
        """The record of a step that was done with the same key, or None."""
        try:
            record = json.loads(self.file_of(device, name).read_text(encoding="utf-8"))
            whole = record["seal"] == seal(record) and record["key"] == key
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if whole else None

    def write(self, device, name, record):
        path = self.file_of(device, name)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(dict(record, seal=seal(record)), indent=1) + "\n")
