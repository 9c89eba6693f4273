"""Tensors beside x whose shape is not that of x: what numpy broadcasts means what it means there,
and what else is not documented is refused."""
import itertools

import numpy as np
import pytest
from support import assert_close, assert_error, family

SHAPE = (2, 3, 4)
PARAMETERS = ["weight", "bias", "pre_bias"]
SAMPLES = ["gate", "scale", "shift"]
OPTIONS = [*PARAMETERS, *SAMPLES, "residual"]


def broadcastable(shape):
    """All shapes that numpy broadcasts to this one."""
    for first in range(len(shape) + 1):
        for sizes in itertools.product(*({1, size} for size in shape[first:])):
            yield sizes


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, SHAPE).astype("f4")


@pytest.fixture
def files(save, random):
    """files({name: shape}): (arrays, options), as those of test_norms."""
    def call(shapes):
        arrays = {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}
        options = []
        for name, array in arrays.items():
            options += ["--" + name.replace("_", "-"), save(name, array)]
        return arrays, options
    return call


def stretch(arrays, x, axis=-1):
    """As numpy broadcasts them: to a number for each element, or for statistics for each row."""
    wide = {name: np.broadcast_to(array, x.shape) for name, array in arrays.items()}
    for name in set(wide) & {"mean", "rstd"}:
        wide[name] = wide[name].reshape(*x.shape[:axis % x.ndim], -1)[..., 0].ravel()
    return wide


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (3, 4), (2, 1, 1), (2, 1, 4), (2, 3, 4)])
def test_each_is_stretched(norm, files, save, x, option, shape):
    shapes = {"residual": SHAPE, option: shape} if option == "gate" else {option: shape}
    arrays, options = files(shapes)
    y = norm("layer-norm", save("x", x), *options)
    assert_close(y.reshape(6, 4), family(x, **stretch(arrays, x))[0], "f4", scale=20)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("axis", [-1, 1, 0])
@pytest.mark.parametrize("turn", range(0, 15, 4))
def test_all_are_stretched(norm, files, save, x, command, axis, turn, tmp_path):
    """Each to another shape, and in blocks of a row or two."""
    shapes = [*broadcastable(SHAPE)]
    arrays, options = files({name: shapes[(turn + 2 * i) % len(shapes)]
                             for i, name in enumerate(OPTIONS)})
    options += ["--axis", axis, "--sum-output", tmp_path / "sum.npy"]
    y = norm(command, save("x", x), *options)
    want = family(x, axis, rms=command == "rms-norm", **stretch(arrays, x))
    assert_close(y, want[0].reshape(SHAPE), "f4", scale=50)
    assert_close(np.load(tmp_path / "sum.npy"), want[1].reshape(SHAPE), "f4", scale=20)
    again = norm(command, tmp_path / "x.npy", *options, "--block-bytes", 40)
    np.testing.assert_array_equal(again.view("u4"), y.view("u4"))


def test_stretched_from_other_types(norm, files, save, x, random):
    """Of two types, one in the other byte order and one in Fortran order."""
    arrays, options = files({"weight": (3, 4), "scale": (3, 1), "residual": (1, 4)})
    more = {"bias": np.asfortranarray(random.normal(size=(2, 1, 4)).astype(">f2")),
            "shift": random.normal(size=(2, 3, 1)).astype(">f2")}
    for name, array in more.items():
        options += [f"--{name}", save(name, array)]
    y = norm("layer-norm", save("x", x), *options)
    assert_close(y.reshape(6, 4), family(x, **stretch({**arrays, **more}, x))[0], "f4", scale=20)


def test_stretched_in_the_table(run, files, save, x):
    arrays, options = files({"residual": (3, 1), "pre_bias": (2, 1, 4), "gate": (1, 3, 4)})
    result = run("layer-norm", save("x", x), *options, "-o", "y.npy", "--stats")
    assert (result.returncode, result.stderr) == (0, "")
    have = np.loadtxt(result.stdout.splitlines()[1:])
    _, h, mean, rstd = family(x, **stretch(arrays, x))
    np.testing.assert_allclose(have[:, 1:], np.stack([mean[:, 0], h.var(axis=1), rstd[:, 0]], 1),
                               rtol=2e-5)


@pytest.mark.parametrize("shape", [(2, 3), (6,), (2, 3, 1), (1, 3, 1), (3, 1), (2, 1, 1), (1,), ()])
def test_statistics(norm, files, save, x, shape):
    arrays, options = files({"mean": shape, "rstd": shape})
    rows = shape in ((2, 3), (6,))  # the rows' own shapes, which come first
    wide = {name: array.ravel() for name, array in arrays.items()} if rows else stretch(arrays, x)
    y = norm("layer-norm", save("x", x), *options)
    assert_close(y.reshape(6, 4), family(x, **wide)[0], "f4", scale=20)


CONTRADICTING = [(3, 2, 4), (1, 2, 4), (5,), (3,), (2,), (24,), (1, *SHAPE), (2, 3, 2), (2, 3, 4, 1),
                 (0,), (0, 4), (3, 4, 1), (5, 4)]


@pytest.mark.parametrize("option", OPTIONS)
def test_contradictions(run, files, save, x, tmp_path, option):
    path = save("x", x)
    more = [] if option in SAMPLES else [(2, 4), (6, 4), (12, 4), (2, 12)]
    for shape in [*CONTRADICTING, *more, *([(3, 12), (12,)] if option == "residual" else [])]:
        _, options = files({"residual": SHAPE, option: shape})
        result = run("layer-norm", path, "-o", "y.npy", *options)
        name = f"{option}.npy: "
        assert_error(result, 2, name, str(shape), "--" + option.replace("_", "-"), "(2, 3, 4)")
        assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("shape", [(3,), (4,), (2, 3, 4), (3, 2), (1, 3), (1, 1, 4), (12,), (0,)])
def test_statistics_that_contradict(run, files, save, x, shape):
    _, options = files({"mean": shape, "rstd": (2, 3)})
    assert_error(run("layer-norm", save("x", x), *options), 2, "mean.npy: ", str(shape), "(2, 3)")


@pytest.mark.parametrize("samples", [2, 6])
def test_samples_of_first_axes(norm, files, save, x, samples):
    """Which numpy refuses, as it counts axes from the last."""
    arrays, options = files({"scale": (samples, 4), "shift": (samples, 4)})
    y = norm("layer-norm", save("x", x), *options)
    assert_close(y.reshape(6, 4), family(x, **arrays)[0], "f4", scale=10)


@pytest.mark.parametrize("shapes", [{"scale": (2, 8), "shift": (3, 8)},
                                    {"scale": (4, 8), "shift": (6, 8), "gate": (1, 8)},
                                    {"scale": (6, 8), "shift": (12, 8)}])
def test_samples_of_several_lengths(norm, files, save, random, shapes):
    x = random.normal(2.0, 3.0, (12, 8)).astype("f4")
    arrays, options = files({"residual": x.shape, **shapes})
    y = norm("rms-norm", save("x", x), *options)
    assert_close(y, family(x, rms=True, **arrays)[0], "f4", scale=20)


def test_samples_of_either_axis(run, norm, files, save, random):
    """The batch happens to be as large as the sequence: neither is guessed."""
    x = random.normal(size=(3, 3, 4)).astype("f4")
    path = save("x", x)
    for option in SAMPLES:
        _, options = files({"residual": x.shape, option: (3, 4)})
        assert_error(run("layer-norm", path, *options), 2, f"{option}.npy: ", "(3, 4)", "(3, 3, 4)",
                     "first axes", "last ones")
    for shape in ((1, 3, 4), (3, 1, 4), (1, 4), (9, 4)):
        arrays, options = files({"scale": shape})
        if shape != (9, 4):
            arrays = stretch(arrays, x)
        assert_close(norm("layer-norm", path, *options).reshape(9, 4), family(x, **arrays)[0], "f4",
                     scale=10)


LAYOUTS = {"nchw": (2, 6, 5, 4), "nhwc": (2, 5, 4, 6)}


def channels_first(array, layout):
    return array if layout == "nchw" else np.moveaxis(array, -1, 1)


@pytest.mark.parametrize("layout,shapes", [
    ("nchw", [(6,), (3,), (1,), (), (6, 1, 1), (1, 6, 1, 1), (1, 1, 1, 1)]),
    ("nhwc", [(6,), (3,), (1,), (), (1, 6), (1, 1, 1, 6), (1, 1, 1, 1)])])
@pytest.mark.parametrize("command", ["group-norm", "instance-norm"])
def test_parameters_of_channels(norm, files, save, random, command, layout, shapes):
    """One number for each channel or, as those of ONNX's GroupNormalization-18, for each group."""
    groups = 3 if command == "group-norm" else 6
    x = random.normal(2.0, 3.0, LAYOUTS[layout]).astype("f4")
    shapes = [shape for shape in shapes if command == "group-norm" or shape != (3,)]
    rows = channels_first(x, layout).reshape(2 * groups, -1)
    for i, shape in enumerate(shapes):
        names = {name: shapes[(i + k) % len(shapes)] for k, name in enumerate(PARAMETERS)}
        arrays, options = files(names)
        options += ["--layout", layout, *(["--groups", 3] if command == "group-norm" else [])]
        each = {name: np.repeat(array.ravel(), 6 // array.size) for name, array in arrays.items()}
        wide = {name: np.tile(np.repeat(array, 20).reshape(groups, -1), (2, 1))
                for name, array in each.items()}
        y = norm(command, save("x", x), *options)
        have = channels_first(y, layout).reshape(rows.shape)
        assert_close(have, family(rows, **wide)[0], "f4", scale=20)


def test_channels_come_before_the_last_axis(norm, files, save, random):
    x = random.normal(2.0, 3.0, (2, 4, 3, 4)).astype("f4")
    arrays, options = files({"weight": 4})
    y = norm("instance-norm", save("x", x), *options)
    want = family(x.reshape(8, 12), weight=np.tile(np.repeat(arrays["weight"], 12), 2))[0]
    assert_close(y.reshape(8, 12), want, "f4", scale=10)


@pytest.mark.parametrize("layout,shapes", [
    ("nchw", [(2,), (4,), (5,), (12,), (6, 5, 4), (6, 5, 1), (2, 6, 1, 1), (1, 6), (5, 4), (3, 1, 1)]),
    ("nhwc", [(2,), (4,), (5,), (12,), (5, 4, 6), (4, 1), (2, 1, 1, 6), (6, 1), (5, 1, 1)])])
@pytest.mark.parametrize("option", PARAMETERS)
def test_parameters_that_are_not_of_channels(run, files, save, layout, shapes, option):
    path = save("x", np.ones(LAYOUTS[layout], "f4"))
    for shape in shapes:
        _, options = files({option: shape})
        result = run("group-norm", path, "--groups", 3, "--layout", layout, *options)
        assert_error(result, 2, f"{option}.npy: ", str(shape), "(6,)", "3 groups")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups,shapes", [(3, [(2, 3), (6,), (2, 1, 1, 1), (1,), ()]),
                                           (6, [(2, 6), (12,), "channels", (2, 1, 1, 1)])])
def test_statistics_of_channels(norm, files, save, random, layout, groups, shapes):
    x = random.normal(2.0, 3.0, LAYOUTS[layout]).astype("f4")
    rows = channels_first(x, layout).reshape(2 * groups, -1)
    for shape in shapes:
        if shape == "channels":  # as the statistics of a training, of no image in particular
            shape = (6, 1, 1) if layout == "nchw" else (6,)
        arrays, options = files({"mean": shape, "rstd": shape})
        wide = {name: array.ravel() if array.size in (1, 2 * groups) else
                np.tile(array.ravel(), 2) if array.size == 6 else np.repeat(array.ravel(), groups)
                for name, array in arrays.items()}
        wide = {name: np.broadcast_to(array, 2 * groups) for name, array in wide.items()}
        y = norm("group-norm", save("x", x), "--groups", groups, "--layout", layout, *options)
        have = channels_first(y, layout).reshape(rows.shape)
        assert_close(have, family(rows, **wide)[0], "f4", scale=20)


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6, 5, 1), (2, 6, 1, 1), (3,), (2, 3, 1, 1)])
def test_statistics_that_are_not_of_groups(run, files, save, shape):
    path = save("x", np.ones(LAYOUTS["nchw"], "f4"))
    _, options = files({"mean": shape, "rstd": (2, 3)})
    assert_error(run("group-norm", path, "--groups", 3, *options), 2, "mean.npy: ", str(shape),
                 "(2, 3)")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 3, 4), (1, 4), (3, 1), ()])
def test_stretched_to_no_rows(norm, files, save, option, shape):
    _, options = files({"residual": (0, 3, 4), option: shape})
    assert norm("layer-norm", save("x", np.zeros((0, 3, 4), "f4")), *options).shape == (0, 3, 4)
