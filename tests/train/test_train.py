"""examples/train, the program of $ANYNORM_TRAIN: its gradients, its repeatability, what it writes."""
import collections
import csv
import html.parser
import os
import subprocess

import pytest

PLACEMENTS = ["post-norm", "pre-norm", "rms-norm", "no-norm"]
# A model that takes a moment.
SMALL = "--layers 2 --deep 3 --width 16 --heads 2 --context 8 --batch 4".split()
# Beside a tensor's largest gradient; the program's own bound, which it must not hide behind.
GRADIENT_BOUND = 1e-5


@pytest.fixture(scope="session")
def train():
    path = os.environ.get("ANYNORM_TRAIN")
    if not path:
        pytest.fail("ANYNORM_TRAIN must name the program under test")

    def call(*arguments):
        result = subprocess.run([os.path.abspath(path), *map(str, arguments)], capture_output=True, text=True,
                                timeout=600)
        if result.returncode == 77:
            pytest.skip("no OpenCL device")
        return result
    return call


@pytest.fixture(scope="session")
def trained(train, tmp_path_factory):
    """The folder of a run of all placements, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    result = train(*SMALL, "--steps", 40, "--rate", 0.01, "--warmup", 0, "--warmup", 10, folder)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_gradients_are_those_of_differences(train):
    result = train("--check")
    errors = collections.defaultdict(list)
    for line in result.stdout.splitlines():
        name, error = line.split(": ")
        errors[name.split()[0]].append((name, float(error.split()[0])))
    # Loss, two embeddings, output; of each of two layers seven tensors and, of each of its two norms, the
    # weight and the bias; with the norm first there is one more norm.
    assert {name: len(lines) for name, lines in errors.items()} == {
        "post-norm": 4 + 2 * (7 + 4), "pre-norm": 4 + 2 * (7 + 4) + 2, "rms-norm": 4 + 2 * (7 + 2) + 1,
        "no-norm": 4 + 2 * 7}
    for name, error in sum(errors.values(), []):
        assert error <= GRADIENT_BOUND, name
    assert result.returncode == 0, result.stderr


def test_two_runs_agree_to_the_bit(train, trained, tmp_path):
    folder, printed = trained
    again = train(*SMALL, "--steps", 40, "--rate", 0.01, "--warmup", 0, "--warmup", 10, tmp_path)
    assert again.stdout == printed
    for name in ["curves.csv", "gradients.csv", "train.html"]:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_is_another_run(train, trained, tmp_path):
    options = [*SMALL, "--post-norm", "--steps", 40, "--rate", 0.01, "--warmup", 0]
    assert train(*options, "--seed", 2, tmp_path).returncode == 0
    other = [row["loss"] for row in rows_of(tmp_path / "curves.csv")]
    first = [row["loss"] for row in rows_of(trained[0] / "curves.csv")][:40]
    assert not set(other) & set(first)


def test_every_placement_learns(trained):
    losses = collections.defaultdict(list)
    for row in rows_of(trained[0] / "curves.csv"):
        losses[row["placement"], row["warmup"]].append(float(row["loss"]))
    assert list(losses) == [(name, warmup) for name in PLACEMENTS for warmup in ["0", "10"]]
    for name, values in losses.items():
        assert len(values) == 40, name
        assert sum(values[-5:]) / 5 < values[0] - 0.7, name


def test_warm_up_is_a_straight_line(trained):
    rates = [float(row["rate"]) for row in rows_of(trained[0] / "curves.csv")
             if (row["placement"], row["warmup"]) == ("pre-norm", "10")]
    assert rates == pytest.approx([0.001 * step for step in range(1, 11)] + [0.01] * 30)


def test_gradients_of_a_layer_are_those_of_its_tensors(trained):
    parts, whole = collections.defaultdict(float), {}
    for row in rows_of(trained[0] / "gradients.csv"):
        key, norm = (row["placement"], row["layer"]), float(row["gradient_norm"])
        if row["tensor"] == "all":
            whole[key] = norm
        else:
            parts[key] += norm**2
    assert list(whole) == [(name, str(layer)) for name in PLACEMENTS for layer in [1, 2, 3]]
    for key, norm in whole.items(): # both are means over seeds, of roots here and of squares there
        assert norm == pytest.approx(parts[key]**0.5, rel=0.05), key


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.foreign, self.paths, self.text = collections.Counter(), [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.foreign += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "path":
            self.paths.append(dict(attrs)["d"])

    def handle_data(self, data):
        self.text += data


def test_page_has_all_in_it(trained):
    text = (trained[0] / "train.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.foreign and "url(" not in text and page.tags["script"] == 0
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert page.tags["figure"] == 2 + len(PLACEMENTS)
    assert page.tags["tr"] == 1 + 2 * len(PLACEMENTS)
    assert all(name in page.text for name in PLACEMENTS)
    assert "nan" not in "".join(page.paths) and "inf" not in "".join(page.paths)


def test_a_run_that_diverges_is_still_written(train, tmp_path):
    result = train(*SMALL, "--no-norm", "--steps", 12, "--rate", 1, "--warmup", 0, tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(rows_of(tmp_path / "curves.csv")) == 12
    assert "no-norm" in (tmp_path / "train.html").read_text()


@pytest.mark.parametrize("arguments, told", [
    ("", "no FOLDER to write to"),
    ("--fast .", "unknown option --fast"),
    ("--middle-norm .", "unknown option --middle-norm"),
    ("--steps", "--steps takes a number from 1 to 100000, not nothing"),
    ("--steps 0 .", "--steps takes a number from 1 to 100000, not 0"),
    ("--steps 1.5 .", "--steps takes a whole number, not 1.5"),
    ("--steps 1x .", "--steps takes a number from 1 to 100000, not 1x"),
    ("--rate nan .", "--rate takes a number from 0 to 1, not nan"),
    ("--layers 25 .", "--layers takes a number from 1 to 24, not 25"),
    ("--warmup -1 .", "--warmup takes a number from 0 to 100000, not -1"),
    ("--warmup 0 --warmup 1 --warmup 2 --warmup 3 --warmup 4 .", "--warmup may be given 4 times"),
    ("--width 20 --heads 3 .", "--width must be a multiple of 4 times --heads"),
    ("one two", "one FOLDER only, not one and two"),
    ("--check .", "--check takes nothing beside it"),
])
def test_misuse_is_one_line(train, arguments, told):
    result = train(*arguments.split())
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith(f"train: {told}") and result.stderr.count("\n") == 1


def test_help_names_every_option(train):
    result = train("--help")
    assert result.returncode == 0 and result.stderr == ""
    for word in ["steps", "rate", "seed", "layers", "width", "heads", "context", "batch", "deep", "warmup", "check",
                 *PLACEMENTS]:
        assert f"--{word}" in result.stdout, word


def test_folder_that_is_not_there(train, tmp_path):
    result = train(*SMALL, tmp_path / "missing")
    assert result.returncode == 1 and result.stdout == ""
    assert "train: cannot write" in result.stderr and "curves.csv: No such file" in result.stderr
