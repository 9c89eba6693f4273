"""The norm family against its formulas in double: values, shapes, blocks."""
import numpy as np
import pytest
from support import assert_close, family, from_bf16, safetensors_bytes, to_bf16


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, (6, 2, 10)).astype("f4")


@pytest.fixture
def check(norm, save, tmp_path):
    """check(command, x, options, axis, formula's keywords): y, sum, mean and rstd."""
    def call(command, x, options=(), axis=-1, **keywords):
        rms = command == "rms-norm"
        outputs = {"sum": 1}
        if "rstd" not in keywords:
            outputs |= {"rstd": 3} if rms else {"mean": 2, "rstd": 3}
        for name in outputs:
            options = [*options, f"--{name}-output", tmp_path / f"out-{name}.npy"]
        y = norm(command, save("x", x), "--axis", axis, *options)
        want = family(x, axis, rms=rms, **keywords)
        assert_close(y, want[0].reshape(x.shape), "f4", scale=20)
        for name, index in outputs.items():
            shape = x.shape if name == "sum" else x.shape[:axis % x.ndim]
            assert_close(np.load(tmp_path / f"out-{name}.npy"), want[index].reshape(shape), "f4",
                         scale=5)
    return call


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axes(check, x, command, axis):
    check(command, x, axis=axis)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("axis", [1, -1])
def test_parameters(check, files, x, command, axis):
    shape = x.shape[axis:]
    arrays, options = files(weight=shape, bias=shape, pre_bias=int(np.prod(shape)))
    check(command, x, options, axis, **arrays)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.5])
def test_eps_outside(check, x, command, eps):
    check(command, x, ["--eps-mode", "outside", "--eps", eps], eps=eps, outside=True)
    check(command, x, ["--eps-mode=inside", "--eps", eps], eps=eps)


def test_correction(check, x):
    check("layer-norm", x, ["--correction", 1], correction=1)
    check("layer-norm", x, ["--correction", 0, "--axis=-1"][:2])


@pytest.mark.parametrize("eps", [0.0, 1e-3, 4.0])
def test_eps_floor(check, x, eps):
    check("layer-norm", x, ["--eps-mode", "floor", "--eps", eps], eps=eps, floor=True)
    check("rms-norm", x, ["--l2", "--eps-mode=floor", "--eps", eps], l2=True, eps=eps, floor=True)


@pytest.mark.parametrize("mode", ["inside", "outside"])
def test_l2(check, files, x, mode):
    arrays, options = files(weight=10)
    check("rms-norm", x, [*options, "--l2", "--eps-mode", mode, "--eps", 0.25], l2=True, eps=0.25,
          outside=mode == "outside", **arrays)
    check("rms-norm", x, ["--l2"], axis=1, l2=True)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("offset", [1, -0.25, 0])
def test_weight_offset(check, files, x, command, offset):
    arrays, options = files(weight=10)
    check(command, x, [*options, "--weight-offset", offset], offset=offset, **arrays)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
def test_activation(check, files, x, command):
    arrays, options = files(weight=10, bias=10)
    check(command, x, [*options, "--activation", "silu"], silu=True, **arrays)
    check(command, x, [*options, "--activation", "none"], **arrays)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("axis", [1, -1])
def test_residual(check, files, x, command, axis):
    columns = int(np.prod(x.shape[axis:]))
    arrays, options = files(residual=x.shape, pre_bias=columns, weight=columns)
    check(command, x, options, axis, **arrays)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
@pytest.mark.parametrize("samples", [(12,), (6, 2), (6, 1), (6,), (1,), ()])
def test_samples(check, files, x, command, samples):
    """Consecutive rows share a sample."""
    shape = (*samples, 10)
    arrays, options = files(residual=x.shape, gate=shape, scale=shape, shift=shape)
    check(command, x, options, **arrays)


def test_samples_of_two_axes(check, files, x):
    arrays, options = files(scale=(3, 2, 10), shift=(3, 20))
    check("layer-norm", x, options, axis=1, **arrays)


def test_given_statistics(check, files, x):
    arrays, options = files(mean=(6, 2), rstd=12, weight=10)
    check("layer-norm", x, options, **arrays)
    arrays, options = files(rstd=(6, 2))
    check("rms-norm", x, options, **arrays)
    arrays, options = files(mean=1, rstd=1)
    check("layer-norm", x, options, 0, **arrays)


def test_all_at_once(check, files, x):
    arrays, options = files(residual=x.shape, gate=(6, 10), scale=(6, 10), shift=(6, 10), weight=10,
                            bias=10, pre_bias=10)
    check("layer-norm", x, [*options, "--eps-mode", "outside", "--correction", 1,
                            "--weight-offset", 1, "--activation", "silu"],
          outside=True, correction=1, offset=1, silu=True, **arrays)


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
def test_not_a_number_with_given_statistics(norm, files, save, x, command):
    """No element looks at another."""
    arrays, options = files(rstd=12, **({} if command == "rms-norm" else {"mean": 12}))
    x[0, 0, 3], x[0, 1, 4], x[1, 0, 5] = np.nan, np.inf, -np.inf
    y = norm(command, save("x", x), *options)
    want = family(x, rms=command == "rms-norm", **arrays)[0].reshape(x.shape)
    assert np.isnan(want).sum() == 1 and np.isinf(want).sum() == 2
    assert_close(y, want, "f4", scale=20)


@pytest.mark.parametrize("kind", ["f2", "bf16"])
@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
def test_round_first(norm, save, random, command, kind):
    x = random.normal(size=(7, 64)).astype("f4")
    w = random.normal(size=64).astype("f4")
    stored = to_bf16(x) if kind == "bf16" else x.astype(kind)
    values = from_bf16(stored) if kind == "bf16" else stored
    options = ["--weight", save("w", w), "--output-dtype", "f32"]
    if kind == "bf16":
        options += ["--dtype", "bf16"]
        save("w", to_bf16(w))
        w = from_bf16(to_bf16(w))
    path = save("x", stored)
    rms = command == "rms-norm"
    y = norm(command, path, *options, "--round-first")
    exact = family(values, rms=rms, weight=w)[0]
    rounded = family(values, rms=rms, weight=w, kind=kind)[0]
    # n may lie so near to a tie that it is rounded the other way.
    assert np.isclose(y, rounded, rtol=1e-6, atol=1e-7).mean() > 0.99
    assert not np.allclose(exact, rounded, rtol=1e-5, atol=1e-6)
    assert_close(norm(command, path, *options), exact, "f4", scale=10)


@pytest.mark.parametrize("kind,name", [("f2", "f16"), ("f4", "f32"), ("bf16", "bf16"),
                                       pytest.param("f8", "f64", marks=pytest.mark.needs_f64)])
def test_output_dtype(norm, save, random, kind, name):
    x = random.normal(size=(5, 33)).astype("f4")
    y = norm("layer-norm", save("x", x), "--output-dtype", name)
    assert y.dtype == np.dtype("u2" if kind == "bf16" else kind)
    y = from_bf16(y) if kind == "bf16" else y
    assert_close(y, family(x)[0], "f4" if kind == "f8" else kind)


def test_types_may_differ(norm, save, random, tmp_path):
    """x in bf16, its residual in f4 of the other byte order, samples of two types."""
    x, r, scale, shift = (random.normal(size=shape) for shape in ((6, 8), (6, 8), (2, 8), (2, 8)))
    r, shift = r.astype(">f4"), shift.astype("f4")
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes({"x": to_bf16(x), "scale": to_bf16(scale)}))
    y = norm("rms-norm", f"{path}:x", "--residual", save("r", np.asfortranarray(r)), "--scale",
             f"{path}:scale", "--shift", save("shift", shift), "--output-dtype", "f32",
             "--sum-output", tmp_path / "sum.npy")
    want = family(from_bf16(to_bf16(x)), rms=True, residual=r, scale=from_bf16(to_bf16(scale)),
                  shift=shift)
    assert_close(y, want[0], "f4", scale=10)
    assert_close(from_bf16(np.load(tmp_path / "sum.npy")), want[1], "bf16")


def by_channel(x, groups, values):
    """Of a value for each channel, those of every element of the rows of x."""
    spatial = int(np.prod(x.shape[2:]))
    return np.tile(np.repeat(values, spatial).reshape(groups, -1), (x.shape[0], 1))


CHANNELS = [("group-norm", groups) for groups in (1, 2, 3, 6)] + [("instance-norm", 6)]


LAYOUTS = {"nchw": (lambda array: array, []),
           "nhwc": (lambda array: np.moveaxis(array, 1, -1), ["--layout", "nhwc"])}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("command,groups", CHANNELS)
@pytest.mark.parametrize("shape", [(4, 6, 5), (2, 6, 3, 4), (1, 6, 2, 3, 2), (3, 6, 1, 1, 4, 1)])
def test_channels(norm, save, random, files, tmp_path, command, groups, shape, layout):
    lay, more = LAYOUTS[layout]
    x = random.normal(2.0, 3.0, shape).astype("f4")
    arrays, options = files(weight=6, bias=6, pre_bias=6)
    spread = {name: by_channel(x, groups, values) for name, values in arrays.items()}
    residuals = {"residual": random.normal(size=shape).astype("f4")}
    options += ["--residual", save("residual", lay(residuals["residual"]))]
    options += more + ["--activation", "silu", "--weight-offset", 1, "--correction", 1]
    if command == "group-norm":
        options += ["--groups", groups]
    y = norm(command, save("x", lay(x)), *options, "--sum-output", tmp_path / "sum.npy",
             "--mean-output", tmp_path / "mean.npy", "--rstd-output", tmp_path / "rstd.npy")
    want = family(x.reshape(shape[0] * groups, -1), silu=True, offset=1, correction=1, **spread,
                  **residuals)
    assert_close(y, lay(want[0].reshape(shape)), "f4", scale=20)
    assert_close(np.load(tmp_path / "sum.npy"), lay(want[1].reshape(shape)), "f4", scale=5)
    for name, index in (("mean", 2), ("rstd", 3)):
        assert_close(np.load(tmp_path / f"{name}.npy"), want[index].reshape(shape[0], groups), "f4",
                     scale=5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_without_pixels(norm, save, files, random, layout):
    x = random.normal(size=(5, 8)).astype("f4")
    arrays, options = files(weight=8)
    y = norm("group-norm", save("x", x), "--groups", 2, "--layout", layout, *options)
    want = family(x.reshape(10, 4), weight=by_channel(x, 2, arrays["weight"]))[0]
    assert_close(y, want.reshape(5, 8), "f4", scale=5)


def test_given_statistics_of_channels(norm, save, files, random):
    """As instance normalization with the statistics of a training."""
    x = random.normal(size=(2, 3, 4, 5)).astype("f4")
    arrays, options = files(mean=(2, 3), rstd=(2, 3))
    y = norm("instance-norm", save("x", x), *options)
    assert_close(y, family(x.reshape(6, 20), **arrays)[0].reshape(x.shape), "f4", scale=5)


def test_given_statistics_of_channels_last(norm, save, files, random):
    x = random.normal(size=(2, 6, 20)).astype("f4")
    arrays, options = files(mean=(2, 3), rstd=(2, 3))
    y = norm("group-norm", save("x", np.moveaxis(x, 1, 2)), "--groups", 3, "--layout=nhwc",
             *options)
    want = family(x.reshape(6, 40), **arrays)[0].reshape(x.shape)
    assert_close(y, np.moveaxis(want, 1, 2), "f4", scale=5)


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_channels_last_without_parameters(norm, save, random, groups):
    x = random.normal(size=(2, 6, 20)).astype("f2")
    y = norm("group-norm", save("x", np.moveaxis(x, 1, 2)), "--groups", groups, "--layout=nhwc")
    want = family(x.astype("f4").reshape(2 * groups, -1))[0].reshape(x.shape)
    assert_close(y, np.moveaxis(want, 1, 2), "f2")


@pytest.mark.parametrize("form", ["direct", "swapped"])
@pytest.mark.parametrize("block_bytes", [1, 100, 280, 900, 4096])
@pytest.mark.parametrize("samples", [1, 4, 12, 36])
def test_blocks_of_samples_give_the_same_bits(norm, files, save, random, tmp_path, form,
                                              block_bytes, samples):
    x = random.normal(size=(36, 7)).astype("f4")
    arrays, options = files(residual=x.shape, gate=(samples, 7), scale=(samples, 7),
                            shift=(samples, 7), mean=36, rstd=36)
    options += ["--sum-output", tmp_path / "sum.npy"]
    whole = norm("layer-norm", save("x", x), *options)
    summed = np.load(tmp_path / "sum.npy")
    if form == "swapped":
        save("x", x.astype(">f4"))
        save("residual", arrays["residual"].astype(">f4"))
    y = norm("layer-norm", tmp_path / "x.npy", *options, "--block-bytes", block_bytes)
    np.testing.assert_array_equal(y.view("u4"), whole.view("u4"))
    np.testing.assert_array_equal(np.load(tmp_path / "sum.npy"), summed)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("block_bytes", [1, 100, 500, 1000])
def test_blocks_of_channels_give_the_same_bits(norm, files, save, random, block_bytes, layout):
    lay, more = LAYOUTS[layout]
    x = save("x", lay(random.normal(size=(9, 6, 5)).astype("f4")))
    _, options = files(weight=6, bias=6, pre_bias=6)
    options += more
    whole = norm("group-norm", x, "--groups", 3, *options)
    y = norm("group-norm", x, "--groups", 3, *options, "--block-bytes", block_bytes)
    np.testing.assert_array_equal(y.view("u4"), whole.view("u4"))


@pytest.mark.parametrize("command,shape,options", [
    ("layer-norm", (0, 6), ["scale", "shift"]), ("rms-norm", (3, 0, 6), ["scale"]),
    ("group-norm", (0, 6, 2), []), ("instance-norm", (0, 6, 2), []),
    ("group-norm", (0, 2, 6), []), ("instance-norm", (0, 2, 6), [])])
def test_no_rows(norm, save, command, shape, options, tmp_path):
    arguments = ["--groups", 3] if command == "group-norm" else []
    if shape == (0, 2, 6):
        arguments += ["--layout", "nhwc"]
    for option in options:
        arguments += [f"--{option}", save(option, np.ones((0, 6), "f4"))]
    y = norm(command, save("x", np.zeros(shape, "f4")), *arguments, "--weight",
             save("w", np.ones(6, "f4")), "--rstd-output", tmp_path / "rstd.npy")
    assert y.shape == shape and np.load(tmp_path / "rstd.npy").size == 0


def table(result, heads):
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["row", *heads]
    return np.loadtxt(lines[1:], ndmin=2)[:, 1:]


def test_stats(run, save, files, x):
    path = save("x", x)
    arrays, options = files(residual=x.shape, gate=(6, 10), pre_bias=10)
    _, h, mean, rstd = family(x, correction=1, **arrays)
    have = table(run("layer-norm", path, *options, "--correction", 1, "-o", "y.npy", "--stats"),
                 ["mean", "variance", "rstd"])
    np.testing.assert_allclose(have[:, 0], mean[:, 0], rtol=2e-5)
    np.testing.assert_allclose(have[:, 1], h.var(axis=1, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(have[:, 2], rstd[:, 0], rtol=1e-5)
    have = table(run("rms-norm", path, "-o", "y.npy", "--stats"), ["mean-square", "rstd"])
    np.testing.assert_allclose(have[:, 0], (x.astype("f8")**2).mean(axis=2).ravel(), rtol=1e-5)
    np.testing.assert_allclose(have[:, 1], family(x, rms=True)[3][:, 0], rtol=1e-5)
    have = table(run("rms-norm", path, "--l2", "-o", "y.npy", "--stats"), ["square-sum", "rstd"])
    np.testing.assert_allclose(have[:, 0], (x.astype("f8")**2).sum(axis=2).ravel(), rtol=1e-5)
    np.testing.assert_allclose(have[:, 1], family(x, rms=True, l2=True)[3][:, 0], rtol=1e-5)
    arrays, options = files(mean=12, rstd=12)
    have = table(run("layer-norm", path, *options, "-o", "y.npy", "--stats"),
                 ["mean", "variance", "rstd"])
    np.testing.assert_allclose(have[:, 0], arrays["mean"], rtol=1e-5)
    np.testing.assert_allclose(have[:, 1], x.astype("f8").var(axis=2).ravel(), rtol=1e-5)
    np.testing.assert_allclose(have[:, 2], arrays["rstd"], rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stats_of_channels(run, save, files, random, layout):
    lay, more = LAYOUTS[layout]
    x, residual = random.normal(size=(2, 2, 6, 5)).astype("f4")
    arrays, options = files(pre_bias=6)
    options += [*more, "--residual", save("residual", lay(residual))]
    have = table(run("group-norm", save("x", lay(x)), "--groups", 3, *options, "-o", "y.npy",
                     "--stats"), ["mean", "variance", "rstd"])
    h = family(x.reshape(6, 10), residual=residual.reshape(6, 10),
               pre_bias=by_channel(x, 3, arrays["pre_bias"]))[1]
    np.testing.assert_allclose(have[:, 0], h.mean(axis=1), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(have[:, 1], h.var(axis=1), rtol=1e-5)


def test_printed_by_pixel(run, norm, save, random):
    """Channels last, of which 20 pixels of 3 images are shortened to the outer ones."""
    x = save("x", random.normal(size=(3, 20, 6)).astype("f4"))
    options = ["group-norm", x, "--groups", 2, "--layout", "nhwc"]
    lines = run(*options).stdout.splitlines()
    pixels = norm(*options).reshape(60, 6)
    assert lines[4] == "..." and len(lines) == 9
    np.testing.assert_allclose(np.loadtxt(lines[:4] + lines[5:]),
                               np.concatenate([pixels[:4], pixels[-4:]]), rtol=1e-4, atol=1e-6)


def test_printed_in_the_type_of_the_result(run, save):
    result = run("rms-norm", save("x", np.array([[3, 4]], "f2")), "--eps", 0, "--output-dtype",
                 "f32")
    np.testing.assert_allclose(np.loadtxt([result.stdout]), [3 / 12.5**0.5, 4 / 12.5**0.5],
                               rtol=1e-5)


def test_timing(run, save, files, x):
    _, options = files(residual=x.shape)
    result = run("rms-norm", save("x", x), *options, "-o", "y.npy", "--sum-output", "s.npy",
                 "--timing")
    assert (result.returncode, result.stdout) == (0, "")
    assert "12 rows x 10 columns, f32" in result.stderr
