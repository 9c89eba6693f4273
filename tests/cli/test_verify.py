"""anynorm verify: what it prints, and that it finds a wrong kernel."""
import re

import pytest

from support import assert_error, wrong_opencl

LINE = re.compile(r"^(\w+) +(f32|f16|bf16|f64) +(\d+) +(\S+) +(\S+)  (.*)$")


def table(result):
    """The rows of the table as (schedule, type, cases, error, bound, verdict)."""
    lines = result.stdout.splitlines()
    assert lines[1].split()[:3] == ["SCHEDULE", "TYPE", "CASES"]
    rows = [LINE.match(line) for line in lines[2:]]
    assert rows and all(rows), result.stdout
    return [row.groups() for row in rows]


def test_quick_passes(run, device):
    result = run("verify", "--quick")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(device["id"] + ": ")
    rows = table(result)
    schedules = {row[0] for row in rows}
    if device["class"] == "reference":
        assert schedules == {"reference"}
    else:
        assert schedules == {"row_per_item", "row_per_subgroup", "row_per_group", "row_in_local",
                             "row_reread", "row_split", "column_walk"}
    for schedule, kind, cases, error, bound, verdict in rows:
        if schedule == "row_per_subgroup" and device["subgroup_size"] == 0:
            assert verdict.startswith("skipped")
            continue
        assert verdict == "pass"
        assert int(cases) > 0
        assert float(error) <= float(bound) == (0.6 if kind in ("f16", "bf16") else 8)


def test_one_case(run):
    result = run("verify", "--case", "layer-norm 5x300 f16 weight bias rstd eps=1e-3")
    assert (result.returncode, result.stderr) == (0, "")
    assert {row[1] for row in table(result)} == {"f16"}


@pytest.mark.parametrize("text, words", [
    ("layer-norm 5x0", ["columns"]),
    ("layer-norm 5x300 f8", ["f8"]),
    ("rms-norm 5x300", ["rms-norm"]),
    ("layer-norm 5x300 x-stride=301", ["dense"]),
    ("layer-norm 5x300 weight weight-offset=1", ["another norm"]),
    ("layer-norm 5x300 weight parameter-rows=5", ["another norm"]),
    ("layer-norm 0x300", ["rows"]),
    ("", ["empty"]),
])
def test_bad_case(run, text, words):
    result = run("verify", "--case", text)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("anynorm: --case: ")
    assert all(word in lines[0] for word in words)


def test_unknown_device(run):
    assert_error(run("verify", "--device", "opencl:99"), 2, "opencl:99")


def test_operand_is_refused(run):
    assert_error(run("verify", "x.npy"), 2, "x.npy")


def test_wrong_kernel_is_found(run, device, tmp_path):
    shim = wrong_opencl(device, tmp_path, "1")
    result = run("verify", "--quick", "--device", device["id"], env=shim)
    assert result.returncode == 1, result
    rows = table(result)
    assert {row[5] for row in rows if row[1] == "f32" and int(row[2]) > 0} == {"FAIL"}
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"anynorm: {device['id']}: wrong results; first in ")
    assert "layer-norm" in lines[0] and "f32" in lines[0]
