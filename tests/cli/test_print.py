"""What goes to stdout, and what to stderr."""

import numpy as np
import pytest
from support import assert_close, expected, to_bf16
from terminal import on_terminal


def lines_of(result):
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_small_matrix_whole(run, save, random):
    x = random.normal(2.0, 3.0, (4, 6)).astype("f4")
    lines = lines_of(run("layer-norm", save("x", x)))
    assert len(lines) == 4 and len(set(map(len, lines))) == 1
    np.testing.assert_allclose(np.loadtxt(lines), expected(x)[0], rtol=1e-5)


def test_one_axis_is_one_row(run, save):
    lines = lines_of(run("layer-norm", save("x", np.array([1, 2, 3], "f4")), "--eps", "0"))
    assert lines == ["-1.22474        0  1.22474"]


def test_more_axes_are_rows(run, save, random):
    x = random.normal(size=(2, 2, 3)).astype("f2")
    lines = lines_of(run("layer-norm", save("x", x)))
    np.testing.assert_allclose(np.loadtxt(lines), expected(x)[0].reshape(4, 3), rtol=2e-3)


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 26])
def test_large_matrix_shortened(run, save, random, block_bytes):
    x = random.normal(size=(1000, 300)).astype("f4")
    lines = lines_of(run("layer-norm", save("x", x), "--block-bytes", block_bytes))
    assert len(lines) == 9 and lines[4] == "..."
    del lines[4]
    assert len(set(map(len, lines))) == 1
    y = expected(x)[0]
    rows = [0, 1, 2, 3, 996, 997, 998, 999]
    columns = [0, 1, 2, 3, 296, 297, 298, 299]
    assert all(line.split()[4] == "..." for line in lines)
    have = np.array([[float(word) for word in line.split() if word != "..."] for line in lines])
    np.testing.assert_allclose(have, y[np.ix_(rows, columns)], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("shape,rows,columns", [((10, 8), 10, 8), ((11, 8), 9, 8),
                                                ((10, 9), 10, 9)])
def test_when_it_is_shortened(run, save, shape, rows, columns):
    lines = lines_of(run("layer-norm", save("x", np.ones(shape, "f4"))))
    assert len(lines) == rows and len(lines[0].split()) == columns


def test_bf16_and_f2_values(run, save):
    x = np.array([[1, 2, 3]])
    for array, option in ((x.astype("f2"), []), (to_bf16(x), ["--dtype", "bf16"])):
        lines = lines_of(run("layer-norm", save("x", array), "--eps", "0", *option))
        np.testing.assert_allclose(np.loadtxt(lines), [-1.22474, 0, 1.22474], rtol=5e-3)


def test_half_values_are_exact(run, save):
    """Subnormals and all: a bias in f2 on a constant row comes out as it is."""
    bias = np.array([6e-8, -5.96e-8, 6.1e-5, 65504, -0.333], "f2")
    save("b", bias)
    lines = lines_of(run("layer-norm", save("x", np.zeros((1, 5), "f2")), "--bias", "b.npy"))
    np.testing.assert_allclose(np.loadtxt(lines), bias.astype("f8"), rtol=5e-6)


@pytest.mark.needs_f64
def test_f8_values(run, save):
    lines = lines_of(run("layer-norm", save("x", np.array([[1e300, 0, -1e-300]])), "--stats"))
    assert lines[0].split() == ["nan"] * 3  # the squares overflow
    lines = lines_of(run("layer-norm", save("x", np.array([1.0, 2, 3])), "--eps", "0"))
    assert lines == ["-1.22474        0  1.22474"]


def test_infinite_bias(run, save):
    bias = np.array([np.inf, -np.inf, np.nan], "f2")
    save("b", bias)
    lines = lines_of(run("layer-norm", save("x", np.zeros((1, 3), "f2")), "--bias", "b.npy"))
    assert lines[0].split() == ["inf", "-inf", "nan"]


def test_nan(run, save):
    assert lines_of(run("layer-norm", save("x", np.array([-np.nan, 1], "f4")))) == ["nan nan"]


def test_stats(run, save, random):
    x = (random.normal(size=(20, 64)) * np.geomspace(1e-6, 1e3, 20)[:, None] + 5).astype("f4")
    lines = lines_of(run("layer-norm", save("x", x), "-o", "y.npy", "--stats"))
    assert lines[0].split() == ["row", "mean", "variance", "rstd"]
    assert len(lines) == 21 and len(set(map(len, lines))) == 1
    table = np.loadtxt(lines[1:])
    _, mean, rstd = expected(x)
    np.testing.assert_array_equal(table[:, 0], np.arange(20))
    np.testing.assert_allclose(table[:, 1], mean, rtol=2e-5)
    np.testing.assert_allclose(table[:, 2], x.astype("f8").var(axis=1), rtol=1e-5)
    np.testing.assert_allclose(table[:, 3], rstd, rtol=1e-5)


@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 26])
def test_long_stats_shortened(run, save, random, block_bytes):
    x = random.normal(3.0, 2.0, (2000, 16)).astype(">f4")
    lines = lines_of(run("layer-norm", save("x", x), "-o", "y.npy", "--stats", "--block-bytes",
                         block_bytes))
    assert len(lines) == 18 and lines[9] == "..."
    table = np.loadtxt(lines[1:9] + lines[10:])
    rows = [*range(8), *range(1992, 2000)]
    np.testing.assert_array_equal(table[:, 0], rows)
    np.testing.assert_allclose(table[:, 2], x.astype("f8").var(axis=1)[rows], rtol=1e-5)


def test_result_and_stats(run, save):
    lines = lines_of(run("layer-norm", save("x", np.ones((2, 3), "f4")), "--stats"))
    assert len(lines) == 6 and lines[2] == "" and lines[3].split()[0] == "row"


def test_stats_of_no_rows(run, save):
    lines = lines_of(run("layer-norm", save("x", np.ones((0, 3), "f4")), "-o", "y.npy", "--stats"))
    assert len(lines) == 1


def test_timing(run, save, device, random, tmp_path):
    x = random.normal(size=(100, 50)).astype("f4")
    result = run("layer-norm", save("x", x), "-o", "y.npy", "--timing", "--block-bytes", 3000)
    assert (result.returncode, result.stdout) == (0, "")
    lines = dict(line.split(None, 1) for line in result.stderr.splitlines())
    assert list(lines) == ["device", "schedule", "shape", "normalize", "total"]
    assert lines["device"].startswith(device["id"])
    assert lines["shape"] == "100 rows x 50 columns, f32"
    inside, total = (float(lines[key].split()[0]) for key in ("normalize", "total"))
    assert 0 < inside < total
    assert_close(np.load(tmp_path / "y.npy"), expected(x)[0], "f4")


def test_progress_bar(program, environment, save, tmp_path):
    """With ever smaller blocks, until the work lasts long enough for a bar."""
    save("x", np.ones((1 << 21, 16), "f4"))
    for block_bytes in (1 << 14, 1 << 12, 1 << 10, 1 << 8):
        text = on_terminal([program, "layer-norm", "x.npy", "--block-bytes", str(block_bytes)], environment,
                           tmp_path)
        if text:
            assert text.startswith(b"\r[") and text.endswith(b"\r\x1b[K") and b"%" in text
            return
    pytest.skip("this machine was done before a bar is due")


def test_no_progress_bar_for_short_work(program, environment, x_file):
    assert on_terminal([program, "layer-norm", "x.npy"], environment, x_file.parent) == b""
