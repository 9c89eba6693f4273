"""A quantized result: its codes, its scales, and options that do not go together."""
import numpy as np
import pytest
from support import assert_error, family


def e4m3_values():
    """The number of each code."""
    codes = np.arange(128)
    exponent, fraction = codes >> 3, codes & 7
    values = np.where(exponent == 0, fraction / 8 * 2.0**-6,
                      (1 + fraction / 8) * 2.0**(exponent - 7.0))
    values[127] = np.nan
    return np.concatenate([values, -values])


def decode(codes, kind):
    return codes.astype("f8") if kind == "int8" else e4m3_values()[codes]


def step(values, kind):
    """Half of the distance between the numbers around each, and a hundredth."""
    if kind == "int8":
        return np.full(np.shape(values), 0.505)
    return np.maximum(np.abs(values) / 16, 2.0**-10) * 1.01


MOST = {"int8": 127, "fp8-e4m3": 448}
TYPES = {"int8": "|i1", "fp8-e4m3": "|u1"}


@pytest.fixture
def x(random):
    return random.normal(1.0, 3.0, (6, 2, 50)).astype("f4")


@pytest.mark.parametrize("kind", MOST)
@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("scale", [None, 0.02, 1e-3])
def test_one_scale(norm, save, x, command, kind, scale):
    options = [] if scale is None else ["--quantize-scale", scale]
    y = norm(command, save("x", x), "--quantize", kind, *options)
    assert y.dtype.str == TYPES[kind] and y.shape == x.shape
    want = family(x, rms=command == "rms-norm")[0].reshape(x.shape) / (scale or 1)
    least = -128 if kind == "int8" else -448
    want = np.clip(want, least, MOST[kind])
    assert (np.abs(decode(y, kind) - want) <= step(want, kind)).all()


@pytest.mark.parametrize("kind", MOST)
@pytest.mark.parametrize("bound", [None, 1.5])
@pytest.mark.parametrize("block_bytes", [1, 10**6])
def test_scales_of_rows(norm, save, x, tmp_path, kind, bound, block_bytes):
    x[2, 1] = 7  # a constant row, of which nothing is left
    options = [] if bound is None else ["--quantize-bound", bound]
    y = norm("layer-norm", save("x", x), "--quantize", kind, "--scale-output",
             tmp_path / "scale.npy", "--block-bytes", block_bytes, *options)
    scale = np.load(tmp_path / "scale.npy")
    assert scale.dtype == np.float32 and scale.shape == (6, 2)
    want = family(x)[0].reshape(x.shape)
    largest = np.abs(want).max(axis=2)
    if bound:
        largest = np.minimum(largest, bound)
    np.testing.assert_allclose(scale, largest / MOST[kind], rtol=1e-5)
    assert scale[2, 1] == 0 and not decode(y[2, 1], kind).any()
    quotient = want / np.where(scale == 0, 1, scale)[..., None]
    quotient = np.clip(quotient, -128 if kind == "int8" else -448, MOST[kind])
    assert (np.abs(decode(y, kind) - quotient) <= step(quotient, kind)).all()


def test_of_channels(norm, save, random, tmp_path):
    x = random.normal(size=(2, 6, 5)).astype("f4")
    y = norm("group-norm", save("x", x), "--groups", 3, "--quantize", "int8", "--scale-output",
             tmp_path / "scale.npy")
    scale = np.load(tmp_path / "scale.npy")
    assert y.shape == x.shape and scale.shape == (2, 3)
    assert (np.abs(y.reshape(6, 10)).max(axis=1) == 127).all()


def test_printed_as_numbers(run, save):
    path = save("x", np.array([[3, 4]], "f4"))
    result = run("rms-norm", path, "--eps", 0, "--quantize", "int8", "--quantize-scale", 0.01)
    np.testing.assert_array_equal(np.loadtxt([result.stdout]), [85, 113])
    result = run("rms-norm", path, "--eps", 0, "--quantize", "fp8-e4m3")
    np.testing.assert_array_equal(np.loadtxt([result.stdout]), [0.875, 1.125])


def test_told_in_help(run):
    text = " ".join(run("rms-norm", "--help").stdout.split())
    assert "as u1, its bits" in text


@pytest.mark.parametrize("options,words", [
    ("--quantize int4", ["--quantize: ", "int8, fp8-e4m3"]),
    ("--quantize int8 --output-dtype f32", ["--quantize: ", "--output-dtype"]),
    ("--quantize-scale 0.5", ["--quantize-scale: ", "--quantize too"]),
    ("--scale-output s.npy", ["--scale-output: ", "--quantize too"]),
    ("--quantize int8 --quantize-scale 1 --scale-output s.npy",
     ["--scale-output: ", "--quantize-scale"]),
    ("--quantize int8 --quantize-bound 1", ["--quantize-bound: ", "--scale-output"]),
    ("--quantize int8 --quantize-scale 1 --quantize-bound 1",
     ["--quantize-bound: ", "--scale-output"]),
    ("--quantize int8 --quantize-scale 0", ["--quantize-scale: ", "above 0"]),
    ("--quantize int8 --quantize-scale -1", ["--quantize-scale: ", "above 0"]),
    ("--quantize int8 --quantize-scale 1e-40", ["--quantize-scale: ", "normal range"]),
    ("--quantize int8 --quantize-scale 1e39", ["--quantize-scale: ", "normal range"]),
    ("--quantize int8 --quantize-scale inf", ["--quantize-scale: "]),
    ("--quantize int8 --quantize-scale nan", ["--quantize-scale: "]),
    ("--quantize int8 --scale-output s.npy --quantize-bound 0", ["--quantize-bound: ", "1e-30"]),
    ("--quantize int8 --scale-output s.npy --quantize-bound 1e-31", ["--quantize-bound: ", "1e-30"]),
    ("--quantize int8 --scale-output s.npy --quantize-bound nan", ["--quantize-bound: "]),
    ("--quantize int8 --scale-output y.npy", ["y.npy", "-o", "--scale-output"]),
])
def test_refused(run, x_file, tmp_path, options, words):
    assert_error(run("layer-norm", x_file, "-o", "y.npy", *options.split()), 2, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_codes_are_not_read(run, save):
    for kind in TYPES.values():
        assert_error(run("layer-norm", save("x", np.zeros((2, 3), kind))), 2, "x.npy: ", kind)
