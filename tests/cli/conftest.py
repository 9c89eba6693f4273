"""The program comes from $ANYNORM_PROGRAM; it uses the device of $ANYNORM_DEVICE."""
import json
import os
import subprocess

import numpy as np
import pytest
from support import assert_error


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("ANYNORM_PROGRAM")
    if not path:
        pytest.fail("ANYNORM_PROGRAM must name the program under test")
    return os.path.abspath(path)


@pytest.fixture(scope="session")
def environment():
    """Only our own lines on stderr: a fallback to another device is told as a warning."""
    return dict(os.environ, ANYNORM_LOG="error", ANYNORM_CACHE="off", ANYNORM_TUNING="off")


@pytest.fixture
def run(program, environment, tmp_path):
    """run("layer-norm", path, ...) in an empty folder; keywords go to subprocess.run."""
    def call(*arguments, env=None, **keywords):
        settings = dict(capture_output=True, text=True, timeout=1200, cwd=tmp_path)
        settings.update(keywords)
        return subprocess.run([program, *map(str, arguments)], env=dict(environment, **(env or {})),
                              check=False, **settings)
    return call


@pytest.fixture
def norm(run, tmp_path):
    """norm(command, file, options...) demands success and returns the array it wrote."""
    def call(command, source, *options):
        output = tmp_path / "y.npy"
        result = run(command, source, "-o", output, *options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        return np.load(output)
    return call


@pytest.fixture
def layer_norm(norm):
    def call(source, *options):
        return norm("layer-norm", source, *options)
    return call


@pytest.fixture
def save(tmp_path):
    """save("x", array) writes x.npy and returns its path; bytes are written as they are."""
    def call(name, content):
        path = tmp_path / f"{name}.npy"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content)
        return path
    return call


@pytest.fixture
def files(save, random):
    """files(name=shape, ...) saves normal numbers of these shapes; (arrays, options)."""
    def call(kind="f4", **shapes):
        arrays = {name: random.normal(size=shape).astype(kind) for name, shape in shapes.items()}
        options = []
        for name, array in arrays.items():
            options += ["--" + name.replace("_", "-"), save(name, array)]
        return arrays, options
    return call


@pytest.fixture
def refuse(run, save, tmp_path):
    """refuse(command, arguments, x's shape, {option: shape, value or None}, words...): status 2, a line
    with the words, and no file made or changed."""
    def call(command, arguments, shape, options, *words):
        given = list(arguments)
        for option, value in options.items():
            if isinstance(value, tuple):
                value = save(option, np.ones(value, "f4"))
            given += [f"--{option}"] if value is None else [f"--{option}", value]
        save("x", np.ones(shape, "f4"))
        (tmp_path / "old.npy").write_bytes(b"old")
        before = sorted(os.listdir(tmp_path))
        assert_error(run(command, "x.npy", *given), 2, *words)
        assert sorted(os.listdir(tmp_path)) == before
        assert (tmp_path / "old.npy").read_bytes() == b"old"
    return call


@pytest.fixture
def x_file(save):
    """A small input for tests whose values do not matter."""
    return save("x", np.arange(24, dtype="f4").reshape(4, 6))


@pytest.fixture(scope="session")
def device(program, environment):
    """What `anynorm devices` says of the device that the tests run on."""
    result = subprocess.run([program, "devices", "--json"], env=environment, check=True,
                            capture_output=True, text=True)
    return next(entry for entry in json.loads(result.stdout) if entry["default"])


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_f64: skipped on a device without double precision")


@pytest.fixture(autouse=True)
def skip_without_f64(request):
    if request.node.get_closest_marker("needs_f64"):
        if not request.getfixturevalue("device")["fp64"]:
            pytest.skip("the device has no double precision")


@pytest.fixture
def random():
    return np.random.default_rng(1607)
