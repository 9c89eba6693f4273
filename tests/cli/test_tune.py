"""anynorm tune: what it measures, writes, keeps, and refuses."""
import json
import re
import signal
import subprocess
import time

import numpy as np
import pytest

from support import assert_error, heed_signals, wrong_opencl

SMALL = ["--quick", "--shapes", "4x64"]
ROW = re.compile(r"^(f32|f16|bf16|f64) +(\d+) +(\d+) +(\d+) +(\d+\.\d\d)  (\w+ .*)$")


@pytest.fixture
def tunable(device):
    if device["class"] == "reference":
        pytest.skip("the reference has one schedule")
    return device


def rows_of(result, ops=("layer-norm",)):
    """The table as (type, columns, rows, tried, gain, choice), its ops one after the other."""
    lines = result.stdout.split("\n\n")[0].splitlines()
    assert lines[1].split() == ["TYPE", "COLUMNS", "ROWS", "TRIED", "GAIN", "FASTEST"]
    assert [line for line in lines[2:] if line.endswith(":")] == [f"{op}:" for op in ops]
    rows = [ROW.match(line) for line in lines[2:] if not line.endswith(":")]
    assert rows and all(rows), result.stdout
    return [row.groups() for row in rows]


def entries(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_quick(run, tunable, tmp_path):
    path = tmp_path / "tuning"
    result = run("tune", "--quick", "--shapes", "4x64,4x64,1x64,3x65", "--dtype", "f32,f16,f32",
                 "-o", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(tunable["id"] + ": ")
    rows = rows_of(result)
    assert [row[:3] for row in rows] == [
        (kind, columns, count) for kind in ("f32", "f16")
        for columns, count in (("64", "1"), ("64", "4"), ("65", "3"))]
    for row in rows:
        assert 2 <= int(row[3]) <= 24
    lines = entries(path.read_text())
    assert str(path) in result.stdout
    for line in lines:
        assert line in result.stdout
        assert re.search(r"type=(f32|f16) columns=6[45] rows=(\*|1|2-8) -> (row|column)_\w+ .* # \d+\.\d\d x ",
                         line)


OPS = ["layer-norm", "rms-norm", "residual-layer-norm", "residual-rms-norm", "adaptive", "group-norm",
       "rms-norm-int8", "per-head", "batch-norm", "batch-norm-1d", "layer-norm-backward",
       "rms-norm-backward", "residual-layer-norm-backward", "residual-rms-norm-backward",
       "adaptive-backward", "group-norm-backward"]


def test_ops(run, tunable, tmp_path):
    """Each is written under its word, beside the lines of others."""
    path = tmp_path / "tuning"
    head = f"device \"{tunable['name']}\" platform=\"{tunable['platform']}\" type=f32"
    kept = [f"{head} columns=4096 rows=* -> row_reread", f"{head} op=adaptive columns=4096 rows=* -> x"]
    path.write_text("\n".join(kept + [f"{head} op={op} columns=4096 rows=* -> row_reread # old"
                                      for op in ("residual-rms-norm", "group-norm")]) + "\n")
    ops = ["residual-rms-norm", "group-norm"]
    result = run("tune", "--quick", "--op", ",".join(ops), "--shapes", "67x4096", "-o", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert [row[:3] for row in rows_of(result, ops)] == [("f32", "4096", "67")] * 2
    lines = path.read_text().splitlines()
    assert lines[:2] == kept and not any("# old" in line for line in lines)
    assert all(re.match(re.escape(head) + r" op=(residual-rms-norm|group-norm) columns=4096 rows=", line)
               for line in lines[2:])


def test_gradients(run, tunable, tmp_path):
    """Under a word of their own; the library takes such a line for gradients, and for these alone."""
    path = tmp_path / "tuning"
    ops = ["layer-norm-backward", "residual-rms-norm-backward"]
    result = run("tune", "--quick", "--op", ",".join(ops), "--shapes", "1x67,100x67", "-o", path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = rows_of(result, ops)
    assert [row[:3] for row in rows] == [("f32", "67", count) for _ in ops for count in ("1", "100")]
    assert all(int(row[3]) >= 2 and re.match("row_(per_item|reread) ", row[5]) for row in rows)
    assert all(" op=backward columns=67 " in line for line in entries(path.read_text()))

    path.write_text("class * op=backward -> row_reread group=32\n".replace("*", tunable["class"]))
    used = {"ANYNORM_TUNING": str(path)}
    for text, took in (("layer-norm 9x67 weight bias backward", True), ("layer-norm 9x67", False)):
        document = json.loads(run("bench", "--json", "--repetitions", "1", "--warm", "--spec", text,
                                  env=used).stdout)
        assert document["results"][0]["choice"].startswith("row_reread group=32 ") == took


def test_interleaved_rows(run, tunable, tmp_path):
    """More of them than differ, so that some lie between the columns of their likes."""
    path = tmp_path / "tuning"
    result = run("tune", "--quick", "--op", "batch-norm-1d", "--shapes", "67x40,3x50", "-o", path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = rows_of(result, ["batch-norm-1d"])
    assert [row[:3] for row in rows] == [("f32", "40", "67"), ("f32", "50", "3")]
    assert all(int(row[3]) >= 2 and row[5].startswith("column_walk ") for row in rows)
    assert all(re.search(r" op=batch-norm columns=[45]0 rows=\S+ -> column_walk ", line)
               for line in entries(path.read_text()))

    # The library takes such a line for columns that lie apart or in runs, and for these alone.
    path.write_text(f"class {tunable['class']} op=batch-norm -> row_reread group=32\n")
    runs = "layer-norm 8x60 run=20 x-column=160 y-column=160"
    for text, took in ((runs, True), ("layer-norm 8x60", False)):
        document = json.loads(run("bench", "--json", "--repetitions", "1", "--warm", "--spec", text,
                                  env={"ANYNORM_TUNING": str(path)}).stdout)
        assert document["results"][0]["choice"].startswith("row_reread group=32 ") == took


def default_choice(run, save, columns):
    x = save("x", np.zeros((4, columns), dtype="f4"))
    weight = save("w", np.ones(columns, dtype="f4"))
    result = run("layer-norm", x, "--weight", weight, "--bias", weight, "-o", "/dev/null",
                 env={"ANYNORM_LOG": "info"})
    assert result.returncode == 0
    return re.search(r": (row_\w+( \w+=\w+)*) for layer-norm", result.stderr)[1]


def test_wrong_choices_are_told_and_avoided(run, tunable, save, tmp_path):
    """The library's own choice is wrong on a driver like this: the tuning is the way out."""
    path = tmp_path / "tuning"
    default = default_choice(run, save, 64)
    number = "vector" if default.startswith("row_per_item") else "group"
    value = re.search(rf"{number}=(\d+)", default)[1]
    shim = wrong_opencl(tunable, tmp_path, f"{number.upper()} == {value}")
    result = run("tune", *SMALL, "-o", path, env=shim)
    assert result.returncode == 1, result
    errors = [line for line in result.stderr.splitlines() if line.startswith("anynorm: ")]
    assert len(errors) >= 2
    assert all(" is WRONG for layer-norm 0x64 f32" in line and "error" in line
               for line in errors[:-1])
    assert default in result.stderr
    assert re.match(rf"anynorm: {tunable['id']}: {len(errors) - 1} wrong, first row_", errors[-1])
    lines = entries(path.read_text())
    assert len(lines) == 1 and " type=f32 columns=64 rows=* -> " in lines[0]
    chosen = lines[0].split(" -> ")[1].split(" # ")[0]
    assert chosen != default and not re.search(rf"\b{number}={value}\b", chosen)

    # And the library uses what was written, for these columns.
    x = save("x", np.zeros((4, 64), dtype="f4"))
    used = {"ANYNORM_TUNING": str(path), "ANYNORM_LOG": "debug"}
    result = run("layer-norm", x, "-o", "/dev/null", env=used)
    assert f"{path}:1 has {chosen}" in result.stderr
    assert re.search(rf"\[info\] {tunable['id']}: {chosen} for", result.stderr)
    other = run("layer-norm", save("z", np.zeros((4, 65), dtype="f4")), "-o", "/dev/null", env=used)
    assert other.returncode == 0 and "tuning" not in other.stderr


def test_other_lines_are_kept(run, tunable, tmp_path):
    path = tmp_path / "tuning"
    head = f"device \"{tunable['name']}\" platform=\"{tunable['platform']}\""
    stale = [f"{head} type=f32 columns=64 rows=* -> row_reread group=32 # old",
             f"{head} type=f32 columns=64 rows=2-8 -> row_reread group=32"]
    kept = ["# mine", "", "device \"Other -> x\" type=f32 columns=64 rows=* -> row_reread",
            f"{head} type=f32 columns=63 rows=* -> row_reread",
            f"{head} type=f16 columns=64 rows=* -> row_reread",
            f"{head} type=f32 columns=64 rows=9-64 -> row_reread",
            "what is this", "class gpu -> row_reread # without an end of line"]
    path.write_text("\n".join([stale[0], *kept[:4], stale[1], *kept[4:]]))
    path.chmod(0o640)
    result = run("tune", *SMALL, "-o", path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = path.read_text().splitlines()
    assert lines[:len(kept)] == kept
    assert all(f"{head} type=f32 columns=64 rows=" in line for line in lines[len(kept):])
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tuning"]


def test_default_file(run, tunable, tmp_path):
    """Its folders are made; nothing but the owner may look."""
    result = run("tune", *SMALL, env={"ANYNORM_TUNING": "", "XDG_CONFIG_HOME": f"{tmp_path}/new"})
    assert (result.returncode, result.stderr) == (0, "")
    path = tmp_path / "new" / "anynorm" / "tuning"
    assert path.is_file() and str(path) in result.stdout
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_bad_line_is_a_warning(run, tunable, save, tmp_path):
    path = tmp_path / "tuning"
    path.write_text("\n\nclass gpu rows=0 -> row_reread\n")
    x = save("x", np.zeros((4, 6), dtype="f4"))
    result = run("layer-norm", x, "-o", "/dev/null",
                 env={"ANYNORM_TUNING": str(path), "ANYNORM_LOG": "warn"})
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        f"anynorm: [warn] {path}:3: left out: \"rows=0\" has no range; give a number from 1, a range "
        "such as 1025-2048 or 4097-*, or *"]


@pytest.mark.parametrize("arguments, words", [
    (["--shapes", "4"], ["--shapes", "'4' is no ROWSxCOLUMNS"]),
    (["--shapes", "4x"], ["'4x'"]),
    (["--shapes", "x4"], ["'x4'"]),
    (["--shapes", "4x64,"], ["'' is no ROWSxCOLUMNS"]),
    (["--shapes", "4x64,0x64"], ["'0x64'"]),
    (["--shapes", "4x0"], ["'4x0'"]),
    (["--shapes", "4x64 "], ["'4x64 '"]),
    (["--shapes", "-4x64"], ["'-4x64'"]),
    (["--shapes", "4x64x2"], ["'4x64x2'"]),
    (["--shapes", "4x2147483648"], ["2147483648"]),
    (["--shapes", "99999999999999999999x4"], ["99999999999999999999x4"]),
    (["--shapes", ",".join(f"1x{n}" for n in range(1, 300))], ["more than 256"]),
    (["--op", "softmax"], ["--op", "'softmax'", *OPS]),
    (["--op", "rms-norm,"], ["--op", "there is no ''"]),
    (["--op", "batch-norm", "--shapes", "3x3136,5x3136"], ["--shapes: batch-norm", "3136 columns"]),
    (["--op", "batch-norm", "--shapes", "3x64"], ["--shapes", "batch-norm cannot be 3x64"]),
    (["--op", "group-norm", "--shapes", "4x64"], ["--shapes", "group-norm cannot be 4x64"]),
    (["--dtype", "f8"], ["--dtype", "'f8' is no type", "f32, f16, bf16 or f64"]),
    (["--dtype", "f32,"], ["'' is no type"]),
    (["--dtype", "f32;f16"], ["'f32;f16'"]),
    (["--device", "opencl:99"], ["opencl:99"]),
    (["--device", "reference"], ["--device", "reference", "nothing to tune"]),
    (["x.npy"], ["x.npy"]),
])
def test_bad_options(run, tmp_path, arguments, words):
    result = run("tune", "--quick", "-o", "out", *arguments)
    assert_error(result, 2, *words)
    assert not list(tmp_path.iterdir())


def test_no_file_to_write(run, tunable):
    assert_error(run("tune", *SMALL, env={"ANYNORM_TUNING": "off"}), 2, "ANYNORM_TUNING", "-o FILE")
    assert_error(run("tune", *SMALL, env={"ANYNORM_TUNING": "", "XDG_CONFIG_HOME": "", "HOME": ""}),
                 2, "-o FILE")


def test_unwritable_output(run, tunable, tmp_path):
    assert_error(run("tune", *SMALL, "-o", "no/such/file"), 2, "no/such/file", "no folder")
    assert_error(run("tune", *SMALL, "-o", tmp_path), 2, "folder")
    result = run("tune", *SMALL, "-o", "/proc/version")
    assert_error(result, result.returncode, "/proc/version")
    assert result.returncode in (1, 2) # root may, as far as permissions go
    (tmp_path / "plain").write_text("")
    result = run("tune", *SMALL, env={"ANYNORM_TUNING": "", "XDG_CONFIG_HOME": f"{tmp_path}/plain"})
    assert_error(result, 1, "plain", "-o FILE")


def test_a_file_that_is_no_database(run, tunable, save, tmp_path):
    x = save("x", np.zeros((4, 6), dtype="f4"))
    before = x.read_bytes()
    assert_error(run("tune", *SMALL, "-o", x), 2, "x.npy", "no tuning database")
    assert x.read_bytes() == before
    (tmp_path / "huge").write_text("#\n" * 600000)
    assert_error(run("tune", *SMALL, "-o", "huge"), 2, "huge", "1 MiB")


def test_interrupted(program, environment, tunable, tmp_path):
    path = tmp_path / "tuning"
    path.write_text("# mine\n")
    with subprocess.Popen([program, "tune", "-o", path], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, preexec_fn=heed_signals) as process:
        assert process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert path.read_text() == "# mine\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tuning"]
