"""What ci/gpu makes of what it measured on a GPU: goals, ratios, questions, lines to contribute."""
import json
import math
import re
import sys
import types

import pytest
from gpu_support import GPU, RESTING, ROOT, VULKAN, WRONG, check_page, make_fake_build, make_program, read, states
from gpu import outputs, peers, questions, steps  # isort: skip (gpu_support knows where)

# A Python that has PyTorch 9.9 and no other, and takes twice as long as fake_anynorm's f32 does at 0.95.
PEER = r"""#!/bin/sh
exec {python} -I -S - "$@" <<'END'
import json, sys
if "-c" in sys.argv:
    print('{{"torch": "9.9", "liger_kernel": null, "quack": null, "vllm": null}}')
    sys.exit()
wish = json.loads(sys.argv[-1])
print(json.dumps({{"peer": "torch", "torch": "9.9", "where": "cuda:0", "matched": "by name: x",
                  "clock": "event", "pair_us": 1.5}}))
print("a library's own words")
for op, shape in wish["cases"]:
    rows, columns = map(int, shape.split("x"))
    if op == "rms-norm-int8":
        continue
    if op == "rms-norm":
        print(json.dumps({{"skipped": {{"op": op, "rows": rows, "columns": columns, "dtype": "f32"}},
                          "why": "no rms_norm"}}))
        continue
    for cold in (True, False):
        moved = 2 * rows * columns * 4 + 8 * columns
        us = 2 * moved / 950.0 / 1e3
        print(json.dumps({{"op": op, "rows": rows, "columns": columns, "dtype": "f32", "us": us,
                          "regime": "cold" if cold else "warm", "clock": "event"}}))
        if op == "layer-norm":
            print(json.dumps({{"op": "copy", "rows": rows, "columns": columns, "dtype": "f32", "clock": "event",
                              "us": 2 * rows * columns * 4 / 900.0 / 1e3, "regime": "cold" if cold else "warm"}}))
END
"""


@pytest.fixture(scope="module")
def whole(gpu, tmp_path_factory):
    """Every part but the tests, on two APIs of one GPU, and one GPU that cannot be used."""
    top = tmp_path_factory.mktemp("whole")
    make_fake_build(top / "build")
    python = make_program(top / "python", PEER.format(python=sys.executable))
    result = gpu("--build", top / "build", "--output", top / "out", "--python", python,
                 FAKE_DEVICES=json.dumps([GPU, VULKAN, RESTING]))
    assert result.returncode == 0, result
    return top / "out"


def device_of(document, name):
    return next(device for device in document["devices"] if device["info"]["id"] == name)


def test_every_part_on_every_gpu(whole):
    document, records = read(whole)
    found = states(document)
    plan = steps.Plan(True, "anynorm", ROOT, "python3", 0.1, peers={"torch": "9.9"})
    wanted = [step.name for part in steps.PARTS for step in part.steps(plan, GPU)]
    assert len(wanted) == len(set(wanted)) > 60
    for info in (GPU, VULKAN):
        assert [name for device, name in found if device == info["id"]] == wanted
        assert {found[info["id"], name] for name in wanted} == {"done"}
    assert {device for device, _ in found} == {"opencl:0", "vulkan:0"}
    assert {"what": "vulkan:1", "why": "it cannot be used: device lost: it is asleep"} in document["skipped"]
    assert {"what": "device tests", "why": "this build has none: cmocka was not there"} in document["skipped"]


def test_goals(whole):
    document, _ = read(whole)
    share, torch, launch = device_of(document, "opencl:0")["goals"]
    # fake_anynorm: 0.95 everywhere but 0.5 for rms-norm of 16384 columns in bf16; 16-bit shapes of
    # 64 MiB and a little are in, 65536 columns and small ones are not.
    assert share["state"] == "missed" and share["worst"] == 0.5
    assert {miss["what"] for miss in share["missed"]} == {"rms-norm 1024x16384 bf16"}
    large = [row for row in device_of(document, "opencl:0")["speed"]
             if row["op"] in ("layer-norm", "rms-norm") and row["regime"] == "cold"
             and row["bytes"] >= 64 << 20 and 1024 <= row["columns"] <= 16384]
    assert share["of"] == len(large) > 40 and {row["dtype"] for row in large} == {"f32", "f16", "bf16"}
    assert torch["state"] == "met" and math.isclose(torch["worst"], 2) and torch["of"] == 8
    assert launch["state"] == "missed" and launch["of"] == 3  # 12 us and its own time, over 9
    assert all(miss["figure"] > 1.2 for miss in launch["missed"])


def test_ratios(whole):
    document, _ = read(whole)
    device = device_of(document, "vulkan:0")
    rows = [row for row in device["speed"] if row["peers"]]
    assert {row["op"] for row in rows} == {"layer-norm", "residual-layer-norm", "residual-rms-norm"}
    for row in rows:
        peer = row["peers"]["torch"]
        assert peer["clock"] == peer["own_clock"] == "event"
        assert math.isclose(peer["ratio"], peer["us"] / row["event_us_p50"]) and row["dtype"] == "f32"
        assert math.isclose(peer["ratio"], 2)
    assert {"what": "vulkan:0: torch: rms-norm 4096x4096 f32", "why": "no rms_norm"} in document["skipped"]
    (peer,) = device["peers"]
    assert math.isclose(peer["copy_ratio"], 0.9) and len(peer["copies"]) == 2 * 9  # with 1x4096


def test_questions(whole):
    document, _ = read(whole)
    asked = {question["name"]: question for question in device_of(document, "opencl:0")["questions"]}
    assert set(asked) == {"group", "held", "reread", "rows", "subgroup", "split", "launch"}
    group = asked["group"]
    assert group["changes"] is True and "group=128" in group["answer"] and "1.05" in group["answer"]
    assert len(group["cases"]) == 3 * 2 and len(group["cases"][0]["candidates"]) == 5
    # 512 work-items hold the least and are not the best; the most is not, either.
    assert asked["held"]["changes"] is True and "bytes are too many here" in asked["held"]["answer"]
    assert asked["reread"]["changes"] is False
    refused = [c for case in asked["reread"]["cases"] for c in case["candidates"] if "refused" in c]
    assert refused and {c["asked"] for c in refused} == {"row_in_local"}
    assert asked["launch"]["changes"] is True and "an empty launch 9.0 us" in asked["launch"]["answer"]


def test_apis_are_compared(whole):
    document, _ = read(whole)
    (pair,) = document["apis"]
    assert (pair["first"], pair["second"], pair["how"]) == ("opencl:0", "vulkan:0", "by name")
    assert math.isclose(pair["faster"], 1) and pair["shapes"] > 100


def test_lines_to_contribute(whole):
    text = (whole / "tunings").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == 2 * len(steps.TUNE_QUICK)
    assert all("-> row_per_group group=128" in line and "# 1.08 x" in line for line in lines)
    assert "row_split" not in text  # of one run alone


def test_wrong_results_are_told(gpu, fake_build, tmp_path):
    result = gpu("--build", fake_build, "--output", tmp_path, "--part", "verify",
                 FAKE_DEVICES=json.dumps([GPU, WRONG]))
    assert result.returncode == 1, result
    document, _ = read(tmp_path)
    assert document["bad"] == ["opencl:wrong: verify: anynorm: wrong results; first in row_per_item"]
    assert "WRONG: " + document["bad"][0] in result.stdout
    failed = [line for line in device_of(document, "opencl:wrong")["verify"]["lines"] if line["result"] == "FAIL"]
    assert [(line["schedule"], line["worst"]) for line in failed] == [("row_per_item", 12.5)]
    check_page((tmp_path / "report.html").read_text())


def test_page(whole):
    reader = check_page((whole / "report.html").read_text())
    words = " ".join("".join(reader.words).split())
    assert words.count(GPU["name"]) >= 3
    assert "Where a goal is missed" in words and "torch / ours" in words and "Nothing changes." in words
    circles = [attributes for tag, attributes in reader.tags if tag == "circle"]
    assert len(circles) > 100 and all(0 <= float(c["cx"]) <= 720 and 0 <= float(c["cy"]) <= 340 for c in circles)


# ---- Pieces ----


def test_default_shapes_are_those_of_bench():
    text = (ROOT / "host" / "cli" / "bench" / "bench.c").read_text()

    def numbers(name):
        return list(map(int, re.findall(r"\d+", re.search(name + r"\[\] = \{([^;]*)\};", text)[1])))
    assert numbers("default_columns") == steps.DEFAULT_COLUMNS
    assert numbers("default_rows") == steps.DEFAULT_ROWS
    others = numbers("default_others")
    assert [f"{r}x{c}" for r, c in zip(others[::2], others[1::2])] == steps.DEFAULT_OTHERS
    swept = [shape for step in steps.sweep_steps(steps.Plan(True, "a", ROOT, "p", 0.1), GPU)
             for shape in step.command[step.command.index("--shapes") + 1].split(",")]
    assert len(swept) == len(set(swept)) == 95


def test_ops_are_those_of_the_program():
    text = (ROOT / "host" / "cli" / "cases" / "norms.c").read_text()
    table = re.search(r"struct op table\[\] = \{(.*?)\n\};", text, re.S)[1]
    assert [op.name for op in steps.OPS if op.shapes is None] == re.findall(
        r'\{"([a-z0-9-]+)",\s*"[^"]*"\s*,\s*"\d', table)
    assert {op.name for op in steps.OPS} == set(re.findall(r'^    \{"([a-z0-9-]+)"', table, re.M))


def test_gradients_are_a_part_of_their_own(whole):
    document, _ = read(whole)
    named = [op.name for op in steps.OPS if op.name.endswith("-backward")]
    assert [op.name for op in steps.OPS if op.part == "backward"] == named
    for device in document["devices"]:
        rows = [row for row in device["speed"] if row["op"] in named]
        assert {row["op"] for row in rows} == set(named) and not any(row["peers"] for row in rows)
        lines = [line for line in device["verify"]["lines"] if line["type"] == "backward"]
        assert [line["worst"] for line in lines] == [2.3812]


def test_goal_shapes_are_large_enough():
    for shape in steps.GOAL_SHAPES:
        rows, columns = map(int, shape.split("x"))
        assert 1024 <= columns <= 16384
        assert 2 * rows * columns * 2 + 4 * columns >= 64 << 20  # rms-norm of 16 bits: x, y and weight


@pytest.mark.parametrize("ours, theirs, same", [
    ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090", True),
    ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "AMD Radeon RX 7900 XTX", True),
    ("gfx1100", "gfx1100", True), ("Intel(R) Arc(TM) A770 Graphics", "Intel(R) Arc(tm) A770 Graphics (DG2)", True),
    ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090 Ti", True),  # the one that is there
    ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090", False), ("gfx1100", "gfx110", False), ("", "x", False)])
def test_names(ours, theirs, same):
    assert peers.same_name(ours, theirs) is same


def test_matching_devices():
    gpu = {"class": "gpu", "name": "gfx1100"}
    radeon = ("cuda:1", ["AMD Radeon RX 7900 XTX", "gfx1100"])
    other = ("cuda:0", ["AMD Radeon RX 6400", "gfx1034"])
    assert peers.match_device(gpu, 2, [other, radeon]) == ("cuda:1", "by name: gfx1100")
    assert peers.match_device(dict(gpu, name="Mali"), 1, [other])[0] == "cuda:0"
    assert "only GPU" in peers.match_device(dict(gpu, name="Mali"), 1, [other])[1]
    for gpus, found in ((2, [other]), (1, [other, radeon]), (1, [])):
        assert peers.match_device(dict(gpu, name="Mali"), gpus, found)[0] is None
    assert peers.match_device({"class": "cpu", "name": "x"}, 0, [radeon])[0] == "cpu"


def test_exact_names_come_first():
    ti = ("cuda:0", ["NVIDIA GeForce RTX 3090 Ti"])
    plain = ("cuda:1", ["NVIDIA GeForce RTX 3090"])
    assert peers.match_device({"class": "gpu", "name": "NVIDIA GeForce RTX 3090"}, 2, [ti, plain])[0] == "cuda:1"


def test_lines_alike():
    first = ["device \"a\" columns=1 -> x  # 1.20 x own", "device \"a\" columns=2 -> y # 1.10 x own"]
    second = ["device \"a\" columns=1 -> x # 1.10 x own", "device \"a\" columns=2 -> z # 1.10 x own"]
    assert outputs.lines_alike(first, second) == [second[0]]
    assert outputs.lines_alike(first, []) == []


def test_tap():
    found = outputs.read_tap({"stdout": "1..3\nok 1 - a\nnot ok 2 - b\n# no\nok 3 # SKIP why\nok\n  ok 9 - x\n"})
    assert found == {"passed": ["a", ""], "failed": ["b"], "skipped": [""]}


def test_held_says_when_more_is_worth_trying():
    def case(shares):
        return questions.Case("1x1", "f32", [
            {"asked": f"row_per_group group={group}", "gbps": 1, "clock": "event", "share": share,
             "choice": f"row_per_group group={group} vector=4 held={4096 // group // 4}"}
            for group, share in shares.items()])
    assert questions.answer_held([case({128: 0.9, 256: 0.8})])[0] is True
    assert questions.answer_held([case({128: 0.79, 256: 0.8})])[0] is False
    changes, answer = questions.answer_held([case({128: 0.7, 256: 0.8})])
    assert changes is True and "128 bytes are too many" in answer and "64 bytes 1.00" in answer
    assert questions.answer_held([case({128: 0.7})])[0] is None


def test_rotation_meets_every_copy():
    """As bench_case's: each of a power of two of copies before one comes again."""
    for slots in (2, 4, 8, 32, 128):
        met, slot = set(), 0
        for _ in range(slots):
            slot = (slot + (slots // 8 * 5 | 1)) % slots
            met.add(slot)
        assert len(met) == slots


def test_a_peers_cases():
    wish = {"peer": "torch", "cases": [["layer-norm", "1x4"], ["rms-norm", "1x4"], ["group-norm", "1x4"]]}
    assert peers.cases_of(wish) == [("layer-norm", "1x4"), ("copy", "1x4"), ("rms-norm", "1x4")]
    assert peers.cases_of(dict(wish, peer="vllm")) == [("rms-norm", "1x4")]


class SimulatedGpu:
    """A torch whose device works off what the host issues, each in its own time."""

    def __init__(self):
        self.host = self.device = 0.0
        self.cuda = self

    def perf_counter(self):
        return self.host

    def launch(self, host_seconds, device_seconds):
        self.host += host_seconds
        self.device = max(self.device, self.host) + device_seconds

    def synchronize(self):
        self.host = max(self.host, self.device)

    def ones(self, *_, device):
        assert device == "cuda:0"
        return self

    def __matmul__(self, other):
        self.launch(5e-6, 30e-6)

    def Event(self, enable_timing):
        assert enable_timing
        return SimulatedEvent(self)


class SimulatedEvent:
    def __init__(self, gpu):
        self.gpu = gpu

    def record(self):
        self.gpu.launch(2e-6, 0.5e-6)
        self.at = self.gpu.device

    def elapsed_time(self, end):
        return (end.at - self.at) * 1e3


@pytest.mark.parametrize("host, device", [(100e-6, 40e-6), (3e-6, 40e-6), (20e-6, 2e-6), (500e-6, 5000e-6)])
def test_events_time_the_device_alone(monkeypatch, host, device):
    """However slowly a call is issued, and whatever the events themselves take."""
    gpu = SimulatedGpu()
    monkeypatch.setattr(peers, "time", gpu)
    clock = peers.EventClock(gpu, "cuda:0")
    pair = clock.pair()
    tensors = types.SimpleNamespace(slots=4)
    for cold in (True, False):
        times = peers.measure(clock, tensors, lambda slot: gpu.launch(host, device), cold, 0.01)
        assert peers.LEAST_ROUNDS <= len(times) <= peers.MOST_ROUNDS
        assert math.isclose(peers.microseconds(times, 0.5, pair), device * 1e6, rel_tol=1e-6)
