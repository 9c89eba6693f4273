"""Values: types, axes, parameters, mean and rstd, blocks."""
import numpy as np
import pytest
from support import assert_close, expected, from_bf16, to_bf16

TYPES = ["f2", "f4", pytest.param("f8", marks=pytest.mark.needs_f64)]


def make(random, shape, kind):
    x = random.normal(1.0, 3.0, shape)
    return to_bf16(x) if kind == "bf16" else x.astype(kind)


def values(array, kind):
    return from_bf16(array) if kind == "bf16" else array


@pytest.mark.parametrize("kind", TYPES + ["bf16"])
@pytest.mark.parametrize("parameters", ["", "weight", "bias", "weight bias"])
def test_types_and_parameters(layer_norm, save, random, kind, parameters):
    x = make(random, (7, 33), kind)
    w = make(random, 33, kind) if "weight" in parameters else None
    b = make(random, 33, kind) if "bias" in parameters else None
    options = ["--dtype", "bf16"] if kind == "bf16" else []
    if w is not None:
        options += ["--weight", save("w", w)]
    if b is not None:
        options += ["--bias", save("b", b)]
    y = layer_norm(save("x", x), *options)
    assert y.dtype == x.dtype and y.shape == x.shape
    want = expected(values(x, kind), weight=None if w is None else values(w, kind),
                    bias=None if b is None else values(b, kind))[0]
    assert_close(values(y, kind), want, kind, scale=30)


@pytest.mark.parametrize("types", [("f2", "f4"), ("f4", "f2"),
                                   pytest.param(("f8", "f2"), marks=pytest.mark.needs_f64)])
def test_parameters_of_two_types(layer_norm, save, random, types):
    x = random.normal(size=(5, 12)).astype("f4")
    w = random.normal(size=12).astype(types[0])
    b = random.normal(size=12).astype(types[1])
    w[0] = 6e-8  # subnormal in f2
    y = layer_norm(save("x", x), "--weight", save("w", w), "--bias", save("b", b))
    assert_close(y, expected(x, weight=w, bias=b)[0], "f4", scale=10)


def test_parameters_of_two_types_in_fortran_order(layer_norm, save, random):
    x = random.normal(size=(5, 3, 4)).astype("f4")
    w = np.asfortranarray(random.normal(size=(3, 4)).astype(">f2"))
    b = np.asfortranarray(random.normal(size=(3, 4)).astype("f4"))
    y = layer_norm(save("x", x), "--axis", 1, "--weight", save("w", w), "--bias", save("b", b))
    assert_close(y, expected(x, 1, w, b)[0], "f4", scale=10)


def test_bf16_with_a_parameter_of_f4(layer_norm, save, random):
    x = to_bf16(random.normal(size=(5, 12)))
    w = to_bf16(random.normal(size=12))
    b = random.normal(size=12).astype(">f4")
    y = layer_norm(save("x", x), "--dtype", "bf16", "--weight", save("w", w), "--bias",
                   save("b", b))
    want = expected(from_bf16(x), weight=from_bf16(w), bias=b)[0]
    assert_close(from_bf16(y), want, "bf16", scale=10)


@pytest.mark.parametrize("shape", [(5,), (1, 1), (3, 1), (2, 3, 4, 5), (1, 4096), (4, 1, 6),
                                   (2,) * 16])
def test_shapes(layer_norm, save, random, shape):
    x = random.normal(2.0, 1.0, shape).astype("f4")
    y = layer_norm(save("x", x))
    assert y.shape == shape and y.flags.c_contiguous
    assert_close(y, expected(x)[0], "f4")


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_axis(layer_norm, save, random, axis, tmp_path):
    x = random.normal(2.0, 1.0, (3, 4, 5)).astype("f4")
    shape = x.shape[axis % 3:]
    w = random.normal(size=shape).astype("f4")
    b = random.normal(size=int(np.prod(shape))).astype("f4")
    y = layer_norm(save("x", x), "--axis", axis, "--weight", save("w", w), "--bias", save("b", b),
                   "--mean-output", tmp_path / "mean.npy", "--rstd-output", tmp_path / "rstd.npy")
    want, mean, rstd = expected(x, axis, w, b)
    assert_close(y, want, "f4", scale=10)
    for name, value in (("mean", mean), ("rstd", rstd)):
        have = np.load(tmp_path / f"{name}.npy")
        assert have.dtype == np.dtype("<f4") and have.shape == x.shape[:axis % 3]
        assert_close(have, value, "f4")


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-3, 10.0])
def test_eps(layer_norm, save, random, eps):
    x = random.normal(0.0, 0.01, (4, 50)).astype("f4")
    assert_close(layer_norm(save("x", x), "--eps", eps), expected(x, eps=eps)[0], "f4")


def test_constant_rows_give_the_bias(layer_norm, save):
    b = np.linspace(-1, 1, 9, dtype="f4")
    y = layer_norm(save("x", np.full((3, 9), 1e7, "f4")), "--bias", save("b", b))
    np.testing.assert_array_equal(y, np.tile(b, (3, 1)))


def test_nan_stays_in_its_row(layer_norm, save, random):
    x = random.normal(size=(5, 40)).astype("f4")
    whole = layer_norm(save("x", x))
    x[2, 7] = np.nan
    x[4, 0] = np.inf
    y = layer_norm(save("x", x))
    assert np.isnan(y[[2, 4]]).all()
    np.testing.assert_array_equal(y[[0, 1, 3]], whole[[0, 1, 3]])


@pytest.mark.parametrize("form", ["direct", "swapped", "fortran"])
@pytest.mark.parametrize("block_bytes", [1, 100, 1000, 4096])
def test_blocks_give_the_same_bits(layer_norm, save, random, form, block_bytes, tmp_path):
    x = random.normal(size=(101, 3, 7)).astype("f4")
    stored = {"direct": x, "swapped": x.astype(">f4"), "fortran": np.asfortranarray(x)}[form]
    outputs = ["--mean-output", tmp_path / "mean.npy", "--rstd-output", tmp_path / "rstd.npy"]
    whole = layer_norm(save("x", x), *outputs)
    mean = np.load(tmp_path / "mean.npy")
    rstd = np.load(tmp_path / "rstd.npy")
    y = layer_norm(save("x", stored), "--block-bytes", block_bytes, *outputs)
    np.testing.assert_array_equal(y.view("u4"), whole.view("u4"))
    np.testing.assert_array_equal(np.load(tmp_path / "mean.npy"), mean)
    np.testing.assert_array_equal(np.load(tmp_path / "rstd.npy"), rstd)


@pytest.mark.parametrize("shape,axis", [((0, 5), -1), ((3, 0, 5), -1), ((0, 2, 5), 1)])
def test_no_rows(run, layer_norm, save, shape, axis, tmp_path):
    path = save("x", np.zeros(shape, "f4"))
    y = layer_norm(path, "--axis", axis, "--mean-output", tmp_path / "mean.npy")
    assert y.shape == shape
    assert np.load(tmp_path / "mean.npy").shape == shape[:axis % len(shape)]
    result = run("layer-norm", path, "--axis", axis)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert run("layer-norm", path, "--axis", axis, "--timing").returncode == 0
