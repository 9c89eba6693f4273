"""Every allocation of the program and the library fails, once and with all later ones: an error is
one line and a status of 1, and leaves no output; or the result is the same without."""
import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

from support import safetensors_bytes


@pytest.fixture(scope="session")
def failing(program):
    """A build of the program whose allocations can be made to fail: beside the usual one."""
    built = pathlib.Path(program).parents[2] / "tests/cli/anynorm_failing"
    path = os.environ.get("ANYNORM_FAILING_PROGRAM", str(built))
    if not os.path.exists(path):
        pytest.skip("no program was built whose allocations fail")
    return path


@pytest.fixture
def fail_each(failing, environment, tmp_path):
    """fail_each(arguments..., output=name) fails one allocation after the other, and returns how
    many runs that were and the set of places that failed: all, or every `step`th. same(stdout,
    stdout without a fault, stderr) says whether what was printed is right where the status is
    0."""
    def run(arguments, at, output):
        report = tmp_path / "report"
        report.unlink(missing_ok=True)
        (tmp_path / "out").mkdir(exist_ok=True)
        for left in (tmp_path / "out").iterdir():
            left.unlink()
        env = dict(environment, ANYNORM_TEST_ALLOCATION=at, ANYNORM_TEST_REPORT=str(report))
        if arguments[0] != "devices":  # those of other devices are tests/calls/test_allocations.c's
            env["ANYNORM_DEVICE"] = "reference"
        result = subprocess.run([failing, *map(str, arguments)], env=env, cwd=tmp_path, timeout=300,
                                capture_output=True, text=True, check=False)
        assert report.exists(), f"{arguments}, {at}: {result}"  # else it crashed
        calls, fired, live, *sites = report.read_text().split()
        files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert output or not files
        return result, files, int(fired), int(live), set(sites)

    def call(*arguments, output=None, step=1,
             same=lambda have, want, told: (have, told) == (want, "")):
        clean, expected, fired, kept, _ = run(arguments, "0", output)
        assert (clean.returncode, clean.stderr, fired) == (0, "", 0)
        assert set(expected) == ({output} if output else set())
        runs, places = 0, set()
        for more in "", "+":
            at = 1
            while True:
                result, files, fired, live, sites = run(arguments, f"{at}{more}", output)
                what = f"{' '.join(map(str, arguments))}: allocation {at}{more} failed: {result}"
                places |= sites
                assert live <= kept, what
                if result.returncode == 0:
                    assert files == expected, what
                    assert same(result.stdout, clean.stdout, result.stderr), what
                else:
                    assert result.returncode == 1, what
                    assert result.stderr.startswith("anynorm: "), what
                    assert result.stderr.endswith("\n") and result.stderr.count("\n") == 1, what
                    assert "memory" in result.stderr, what
                    assert files == {}, what
                if not fired:
                    break
                runs += 1
                at += step
        return runs, places
    return call


@pytest.fixture
def inputs(tmp_path):
    generator = np.random.default_rng(5)
    tensors = {"x": generator.normal(size=(5, 8)).astype("f4"),
               "residual": generator.normal(size=(5, 8)).astype("f2"),
               "weight": generator.normal(size=8).astype("f4"),
               "rows": generator.normal(size=(5, 1)).astype("f4")}
    np.save(tmp_path / "x.npy", tensors["x"])
    np.save(tmp_path / "columns.npy", np.asfortranarray(tensors["x"]))
    (tmp_path / "model.safetensors").write_bytes(
        safetensors_bytes(tensors, metadata={"format": "pt", "title": "a model"}))


def tell(record_property, capsys, results):
    runs = sum(runs for runs, _ in results)
    places = len(set().union(*(places for _, places in results)))
    record_property("faults", runs)
    record_property("places", places)
    with capsys.disabled():
        print(f"\n{runs} runs with a failing allocation, in {places} places")
    assert runs >= 8


def test_norms(fail_each, inputs, record_property, capsys):
    results = [
        fail_each("layer-norm", "x.npy", "-o", "out/y.npy", output="y.npy"),
        fail_each("layer-norm", "columns.npy", "-o", "out/y.npy", "--stats", output="y.npy"),
        fail_each("rms-norm", "model.safetensors:x", "--weight", "model.safetensors:weight",
                  "--residual", "model.safetensors:residual", "--stats"),
        fail_each("layer-norm", "x.npy", "--bias", "model.safetensors:rows", "--shift",
                  "model.safetensors:rows", "--scale", "model.safetensors:weight", "--mean",
                  "model.safetensors:rows", "--rstd", "model.safetensors:rows"),
        fail_each("rms-norm", "columns.npy", "--weight", "model.safetensors:weight", "--backward",
                  "model.safetensors:x", "--dweight-output", "out/dw.npy", output="dw.npy"),
        fail_each("batch-norm", "x.npy", "--training", "--running-mean", "model.safetensors:weight",
                  "--running-mean-output", "out/mean.npy", output="mean.npy"),
        fail_each("batch-norm", "x.npy", "--running-mean", "model.safetensors:weight",
                  "--running-var", "model.safetensors:weight"),
    ]
    tell(record_property, capsys, results)


def test_verify(fail_each, record_property, capsys):
    """Its cases are many, and alike."""
    tell(record_property, capsys, [fail_each("verify", "--quick", step=401)])


def test_devices(fail_each, record_property, capsys):
    """The list is shown even where no device can be opened: it then has no mark. One that there was
    no memory for is passed over, and said to be unusable. The size of a cache is a hint, for which
    no device is refused."""
    def plain(text):
        text = re.sub(r'"unusable": "[^"]*memory[^"]*"', '"unusable": ""', text)
        text = re.sub(r"\S+ cannot be used:\n  .*memory.*\n", "", text)
        lines = [re.sub(r'"cache_bytes": \d+|"default": \w+', "", line) for line in
                 text.splitlines()]
        lines = [line.replace("*", " ").strip() for line in lines if not line.startswith("* is")]
        return [line for line in lines if line]

    def same(have, want, told):
        marked = "*" in have or '"default": true' in have
        return (plain(have) == plain(want) or have == "") and marked != ("memory" in told)

    tell(record_property, capsys, [fail_each("devices", same=same),
                                   fail_each("devices", "--json", same=same)])


def test_measuring(fail_each, record_property, capsys):
    """What they print are times, or the largest errors."""
    def same(have, want, told):
        return told == "" and have.count("\n") == want.count("\n")

    tell(record_property, capsys, [
        fail_each("bench", "--shapes", "1x64", "--warm", same=same),
        fail_each("bench", "--shapes", "1x64", "--warm", "--json", "--op", "residual-rms-norm",
                  same=same)])
