"""anynorm bench: what it measures and prints, and what it refuses. Speed itself is not tested."""
import json
import math
import re
import signal
import subprocess
import time

import pytest
from support import assert_error, heed_signals

# Bytes of the tensors of each op: those of rows, how many of the type (None: x, and y of a byte); numbers of f32 beside them, by its shape.
OPS = {"layer-norm": (2, lambda rows, columns: 2 * columns),
       "rms-norm": (2, lambda rows, columns: columns),
       "residual-layer-norm": (4, lambda rows, columns: 2 * columns),
       "residual-rms-norm": (4, lambda rows, columns: columns),
       "adaptive": (2, lambda rows, columns: 2 * columns * -(-rows // 256)),
       "group-norm": (2, lambda rows, columns: 2 * 32 * columns // 4096),
       "rms-norm-int8": (None, lambda rows, columns: columns + rows),
       "per-head": (2, lambda rows, columns: columns),
       "batch-norm": (2, lambda rows, columns: 2 * rows),
       "batch-norm-1d": (2, lambda rows, columns: 2 * rows),
       "layer-norm-backward": (3, lambda rows, columns: 3 * columns + 2 * rows),
       "rms-norm-backward": (3, lambda rows, columns: 2 * columns + rows),
       "residual-layer-norm-backward": (4, lambda rows, columns: 3 * columns + 2 * rows),
       "residual-rms-norm-backward": (4, lambda rows, columns: 2 * columns + rows),
       "adaptive-backward": (3, lambda rows, columns: 3 * columns * -(-rows // 256) + 2 * rows),
       "group-norm-backward": (3, lambda rows, columns: 3 * 32 * columns // 4096 + 2 * rows)}
TEXTS = {"op": set(OPS), "dtype": {"f32", "f16", "bf16", "f64"}, "regime": {"cold", "warm"},
         "best_copy": {"copy", "copy_streaming", "add"}, "clock": {"wall", "event"}}
COUNTS = ["rows", "columns", "bytes", "repetitions"]
NUMBERS = ["wall_us_p50", "wall_us_p10", "wall_us_p90", "gbps", "copy_gbps", "copy_share",
           "launch_us", "host_ns", "copy_us"]
# null where the device does not measure, the shape is too large to be batched, or nothing is added.
OPTIONAL = ["event_us_p50", "event_us_p10", "event_us_p90", "batched_us", "batched_launch_us",
            "unfused_us_p50", "fused_gain"]
QUICK = ["--repetitions", "3"]


@pytest.fixture
def bench(run):
    """bench(options...) demands success and returns the document."""
    def call(*options):
        result = run("bench", "--json", *QUICK, *options)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)
    return call


def size(dtype):
    return {"f16": 2, "bf16": 2, "f32": 4, "f64": 8}[dtype]


def check(entry):
    for key, words in TEXTS.items():
        assert entry[key] in words
    assert isinstance(entry["schedule"], str)
    assert entry["choice"].split()[0] == entry["schedule"]
    for key in COUNTS:
        assert type(entry[key]) is int and entry[key] > 0
    for key in NUMBERS:
        assert isinstance(entry[key], (int, float)) and entry[key] > 0
    for key in OPTIONAL:
        assert entry[key] is None or entry[key] > 0
    for what in ("wall_us", "event_us"):
        if entry[what + "_p50"] is not None:
            assert entry[what + "_p10"] <= entry[what + "_p50"] <= entry[what + "_p90"]
    assert set(entry) == set(TEXTS) | set(COUNTS) | set(NUMBERS) | set(OPTIONAL) | {"schedule",
                                                                                    "choice"}
    # Each tensor once; the figures hang together.
    tensors, others = OPS[entry["op"]]
    element = tensors * size(entry["dtype"]) if tensors else size(entry["dtype"]) + 1
    assert entry["bytes"] == (element * entry["rows"] * entry["columns"]
                              + 4 * others(entry["rows"], entry["columns"]))
    used = entry["event_us_p50" if entry["clock"] == "event" else "wall_us_p50"]
    back = entry["op"].endswith("-backward")
    assert back or entry["best_copy"] != "add"
    adds = entry["op"].startswith("residual-") and not back
    assert (entry["unfused_us_p50"] is not None, entry["fused_gain"] is not None) == (adds, adds)
    if adds:
        assert math.isclose(entry["fused_gain"], entry["unfused_us_p50"] / used, rel_tol=1e-5)
    assert math.isclose(entry["gbps"], entry["bytes"] / used / 1e3, rel_tol=1e-5)
    assert math.isclose(entry["copy_share"], entry["gbps"] / entry["copy_gbps"], rel_tol=1e-5)


def test_json(bench, device):
    document = bench("--shapes", "3x64,2x1000", "--dtype", "f32,f16")
    assert document["device"] == device["name"] and document["id"] == device["id"]
    assert document["skipped"] == []
    assert [(e["dtype"], e["rows"], e["columns"], e["regime"]) for e in document["results"]] == [
        (dtype, rows, columns, regime) for dtype in ("f32", "f16")
        for rows, columns in ((3, 64), (2, 1000)) for regime in ("cold", "warm")]
    for entry in document["results"]:
        check(entry)
        assert entry["repetitions"] == 3
        assert entry["batched_us"] is not None
        if device["class"] == "reference":
            assert entry["event_us_p50"] is None
            assert entry["schedule"] == "reference"


def test_ops(bench):
    """Each op, at shapes that all but one of them have; where they are not given, at its own."""
    document = bench("--op", ",".join(OPS), "--shapes", "3x8192", "--dtype", "f32,bf16", "--warm")
    assert {e["op"] for e in document["skipped"]} == {"batch-norm"}
    assert [(e["op"], e["dtype"]) for e in document["results"]] == [
        (op, dtype) for op in OPS if op != "batch-norm" for dtype in ("f32", "bf16")]
    for entry in document["results"]:
        check(entry)
        assert (entry["rows"], entry["columns"]) == (3, 8192)
    (entry,) = bench("--op", "batch-norm", "--shapes", "3x6272", "--warm")["results"]
    check(entry)
    (entry,) = bench("--op", "per-head,per-head", "--warm")["results"]
    assert (entry["rows"], entry["columns"]) == (65536, 128)


def test_a_shape_that_an_op_cannot_have_is_skipped(bench):
    document = bench("--op", "group-norm,rms-norm,batch-norm", "--shapes", "3x100,3x8192", "--warm")
    assert [(e["op"], e["columns"]) for e in document["results"]] == [
        ("group-norm", 8192), ("rms-norm", 100), ("rms-norm", 8192)]
    skipped = [(entry["op"], entry["columns"]) for entry in document["skipped"]]
    assert skipped == [("group-norm", 100), ("batch-norm", 100), ("batch-norm", 8192)]
    assert "parameters.run" in document["skipped"][0]["reason"]
    assert "column_run" in document["skipped"][1]["reason"]


def test_spec(bench, run):
    text = "layer-norm 6x100 f16 y=f32 bias residual gate sum sample-rows=3 silu"
    (entry,) = bench("--spec", text, "--cold")["results"]
    assert (entry["op"], entry["dtype"], entry["rows"], entry["columns"]) == (text, "f16", 6, 100)
    assert entry["bytes"] == 6 * 100 * (2 + 4 + 2 + 2) + 4 * (100 + 2 * 100)
    assert entry["unfused_us_p50"] is None  # an addition would have to gate
    (entry,) = bench("--spec", "rms-norm 6x100 residual sum stored-sum", "--warm")["results"]
    assert entry["fused_gain"] > 0
    text = "layer-norm 8x60 weight bias run=20 x-column=160 y-column=160 parameter-rows=8 parameter-run=60"
    (entry,) = bench("--spec", text, "--warm")["results"]
    assert (entry["op"], entry["bytes"]) == (text, 8 * 60 * 8 + 8 * 8)
    for bad, words in (("rms-norm 6x0", ["columns"]), ("rms-norm 6", ["'6'"]),
                       ("rms-norm 0x6", ["no rows"]), ("rms-norm 6x6 x-stride=7", ["gaps", "dense"]),
                       ("rms-norm 6x6 any-alignment", ["any-alignment"]),
                       ("layer-norm 6x6 mean rstd dpartials", ["partials", "gradients"]),
                       ("rms-norm 6x6 backward dx-stride=7", ["dense"]),
                       ("rms-norm 9999999999x2000000000", ["2^58"])):
        assert_error(run("bench", "--spec", bad), 2, "--spec: ", *(w.strip("'") for w in words))
    for other in (["--op", "rms-norm"], ["--shapes", "2x3"], ["--dtype", "f16"]):
        assert_error(run("bench", "--spec", "rms-norm 6x6", *other), 2, "--spec", other[0])


@pytest.mark.parametrize("text, expected", [
    # x, dy and dx; the weight and what becomes of it.
    ("layer-norm 6x100 f16 weight bias backward dx=f32", 600 * (2 + 2 + 4) + 4 * 3 * 100),
    # There is no dx that the baselines might write, and no sum that is read.
    ("layer-norm 6x100 weight bias residual sum dweight dbias", 600 * 3 * 4 + 4 * 3 * 100),
    ("rms-norm 6x100 residual sum sums=bf16 dx dsum saved-sum y=f16 eps=1",
     600 * (2 + 2 + 2 + 4)),
    ("layer-norm 6x100 bias scale shift sample-rows=3 dscale dshift",
     600 * 2 * 4 + 4 * (100 + 3 * 200))])
def test_gradients(bench, text, expected):
    for entry in bench("--spec", text)["results"]:
        assert entry["bytes"] == expected
        assert entry["unfused_us_p50"] is None and entry["copy_share"] > 0
        assert entry["best_copy"] in TEXTS["best_copy"]


def test_partials_of_shards(bench):
    (entry,) = bench("--spec", "layer-norm 6x100 partials-input shards=2", "--warm")["results"]
    assert entry["bytes"] == 4 * (2 * 600 + 3 * 2 * 6)


@pytest.mark.parametrize("option", ["cold", "warm"])
def test_one_regime(bench, option):
    results = bench("--shapes", "4x100", "--" + option)["results"]
    assert [entry["regime"] for entry in results] == [option]


def test_large_shapes_are_not_batched(bench):
    entry = bench("--shapes", "2000x300", "--warm")["results"][0]
    check(entry)
    assert entry["batched_us"] is None and entry["batched_launch_us"] is None


def test_seconds_bound_the_rounds(run):
    started = time.monotonic()
    result = run("bench", "--json", "--shapes", "1x64", "--warm", "--seconds", "0.01")
    assert time.monotonic() - started < 60
    assert json.loads(result.stdout)["results"][0]["repetitions"] >= 5


def test_schedule(run, bench, device):
    if device["class"] == "reference":
        schedule, choice = "reference", "reference group=1"
    else:
        schedule, choice = "row_reread", "row_reread group=32"
    entry = bench("--shapes", "4x100", "--schedule", choice)["results"][0]
    assert entry["schedule"] == schedule and entry["choice"].startswith(choice)
    assert_error(run("bench", "--json", "--schedule", "fast"), 2, "--schedule", "fast")


def test_table(run, device):
    result = run("bench", *QUICK, "--op", "layer-norm,residual-rms-norm", "--shapes",
                 "3x64,2000x300")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(device["id"] + ": ")
    heading = lines[2].split()
    assert heading[:4] == ["ROWSxCOLUMNS", "TYPE", "REGIME", "SCHEDULE"]
    assert lines[3] == "layer-norm:" and lines[8] == "residual-rms-norm:"
    for first in (4, 9):
        assert [line.split()[:3] for line in lines[first:first + 4]] == [
            [shape, "f32", regime] for shape in ("3x64", "2000x300") for regime in ("cold", "warm")]
        for line in lines[first:first + 4]:
            cells = line.split()[4:]
            assert len(cells) == 14
            assert all(re.fullmatch(r"\d+(\.\d+)?|-", cell) for cell in cells)
            batched, unfused, gain = cells[-3:]
            assert batched == "-" if "2000x300" in line else batched != "-"
            assert (unfused == "-", gain == "-") == ((True, True) if first == 4 else (False, False))


def test_what_does_not_fit_is_skipped(run, bench):
    document = bench("--shapes", "2x64,100000000x1000000,3x64", "--warm")
    assert [entry["rows"] for entry in document["results"]] == [2, 3]
    (skipped,) = document["skipped"]
    assert (skipped["rows"], skipped["columns"], skipped["dtype"]) == (100000000, 1000000, "f32")
    assert "MiB" in skipped["reason"]
    result = run("bench", *QUICK, "--shapes", "100000000x1000000,3x64", "--warm")
    assert result.returncode == 0
    assert re.search(r"^100000000x1000000 +f32 +skipped: .*MiB", result.stdout, re.M)


def test_nothing_measured_is_a_failure(run):
    result = run("bench", "--json", "--shapes", "100000000x1000000")
    assert result.returncode == 1
    assert json.loads(result.stdout)["results"] == []
    assert result.stderr.startswith("anynorm: bench: nothing was measured; ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("shapes", [
    "0x5", "5x0", "5x", "x5", "x", "5", "5x6x7", "5X6", "-1x5", "5x-1", "+5x5", " 5x5", "5x5 ",
    "5x5,", ",5x5", "5x5,,5x5", ",", "1e3x5", "0x", "5x2147483648", "99999999999999999999x5",
    "5x99999999999999999999", "18446744073709551616x1", "288230376151711744x2"])
def test_bad_shapes(run, shapes):
    assert_error(run("bench", "--shapes", shapes), 2, "--shapes: '", "give ")


@pytest.mark.parametrize("types", ["f8", "f32,", ",f32", "F32", "f32 ,f16", "f32,f16,f8", "float32"])
def test_bad_types(run, types):
    assert_error(run("bench", "--dtype", types), 2, "--dtype", "f32, f16, bf16 or f64")


@pytest.mark.parametrize("arguments,words", [
    (["--shapes", ""], ["--shapes", "empty"]),
    (["--dtype="], ["--dtype", "empty"]),
    (["--op", "softmax"], ["--op", "'softmax'", *OPS]), (["--op", "rms"], ["'rms'", *OPS]),
    (["--op", ""], ["--op", "empty"]), (["--op", "rms-norm,"], ["--op", "there is no ''"]),
    (["--spec", ""], ["--spec", "empty"]),
    (["--seconds", "0"], ["--seconds"]), (["--seconds", "-1"], ["--seconds"]),
    (["--seconds", "1e9"], ["--seconds"]), (["--seconds", "nan"], ["--seconds"]),
    (["--repetitions", "0"], ["--repetitions"]), (["--repetitions", "x"], ["--repetitions"]),
    (["--repetitions", "1000000000"], ["--repetitions"]),
    (["--seconds", "1", "--repetitions", "3"], ["--seconds", "--repetitions"]),
    (["--device", "abacus"], ["--device", "abacus"]),
    (["--cold=yes"], ["--cold", "yes"]), (["--jason"], ["--jason", "--json"]),
    (["512x768"], ["512x768", "anynorm bench"])])
def test_bad_options(run, arguments, words):
    assert_error(run("bench", *arguments), 2, *words)


def test_interrupted(program, environment, tmp_path):
    """Ends at once, and prints no half of a document."""
    with subprocess.Popen([program, "bench", "--json"], preexec_fn=heed_signals,
                          env=environment, cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")


def test_full_standard_output(run):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("bench", "--json", *QUICK, "--shapes", "2x64", "--warm", stdout=full,
                     stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1
    assert result.stderr.startswith("anynorm: standard output: ")
