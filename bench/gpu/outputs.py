"""What the commands print, as values."""
import json
import re

ALIKE = 1.03  # what a choice must gain to count: less may be the weather (host/cli/tune/tune.c)

VERIFY_LINE = re.compile(r"^(\w+) +(f32|f16|bf16|f64|family|backward) +(\d+) +(\S+) +(\S+) +(pass|FAIL|skipped: .*)$")
TAP_LINE = re.compile(r"^(not )?ok\b *\d* *(?:- )?(.*)$")
TUNE_LINE = re.compile(r"^(f32|f16|bf16|f64) +(\d+) +(\d+) +(\d+|-) +(\d+\.\d+|-)  (.*)$")
GAIN = re.compile(r"# (\d+\.\d+|inf) x ")


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def read_verify(record):
    lines = []
    for line in record["stdout"].splitlines():
        match = VERIFY_LINE.match(line)
        if match:
            lines.append({"schedule": match[1], "type": match[2], "cases": int(match[3]),
                          "worst": number(match[4]), "bound": number(match[5]), "result": match[6]})
    return lines


def read_bench(record):
    """(results, skipped) of a document, of which a killed program has printed none."""
    try:
        document = json.loads(record["stdout"])
    except ValueError:
        return [], []
    return document["results"], document["skipped"]


def read_tap(record):
    """Names of tests: passed, failed, skipped."""
    found = {"passed": [], "failed": [], "skipped": []}
    for line in record["stdout"].splitlines():
        match = TAP_LINE.match(line)
        if match:
            name, _, directive = match[2].partition("#")
            skipped = directive.strip().lower().startswith("skip")
            found["failed" if match[1] else "skipped" if skipped else "passed"].append(name.strip())
    return found


def read_tune(record):
    """(what was fastest at each shape, the lines of the database)."""
    shapes, op = [], None
    for line in record["stdout"].splitlines():
        if re.match(r"^[a-z0-9-]+:$", line):
            op = line[:-1]
        match = TUNE_LINE.match(line)
        if match:
            shapes.append({"op": op, "type": match[1], "columns": int(match[2]), "rows": int(match[3]),
                           "tried": number(match[4]), "gain": number(match[5]), "fastest": match[6]})
    database = (record.get("made") or {}).get("lines", "")
    return shapes, [line for line in database.splitlines() if " -> " in line and line[0] != "#"]


def lines_alike(first, second):
    """The lines that both runs of `tune` came to, of each the one that claims less."""
    def choice(line):
        return line.split(" # ")[0].rstrip()

    def gain(line):
        match = GAIN.search(line)
        return float(match[1]) if match else 0.0
    again = {choice(line): line for line in second}
    return [min(line, again[choice(line)], key=gain) for line in first if choice(line) in again]


def read_peer(record):
    """(what it is and on which device, its results, what it skipped), line by line as it went."""
    head, results, skipped = {}, [], []
    for line in record["stdout"].splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if not isinstance(value, dict):
            continue
        if "skipped" in value:
            skipped.append(value)
        elif "us" in value:
            results.append(value)
        elif "peer" in value:
            head = value
    return head, results, skipped


def last_words(record):
    lines = [line.strip() for line in (record.get("stderr") or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
