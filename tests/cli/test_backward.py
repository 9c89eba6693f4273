"""Gradients of the norms against their formulas in double, and what does not go together."""
import numpy as np
import pytest
from support import assert_close, assert_error, family, from_bf16, safetensors_bytes, to_bf16

ROWS = ["layer-norm", "rms-norm"]
F64 = pytest.mark.needs_f64


def backward(x, dy, axis=-1, *, rms=False, l2=False, eps=1e-5, outside=False, correction=0,
             weight=None, offset=0, bias=None, pre_bias=None, residual=None, gate=None, scale=None,
             shift=None, silu=False, dsum=None, mean=None, rstd=None):
    """The gradients by name, as matrices of rows: what is summed over rows is left to `summed`."""
    tensors = {"weight": weight, "bias": bias, "pre_bias": pre_bias, "residual": residual,
               "gate": gate, "scale": scale, "shift": shift}
    dy = np.asarray(dy, dtype=np.float64)
    columns = int(np.prod(dy.shape[axis % dy.ndim:]))
    a = dy.reshape(-1, columns)
    rows = len(a)

    def spread(values, default):
        values = np.asarray(default if values is None else values, dtype=np.float64)
        if values.ndim == 0:
            return values
        values = values.reshape(-1, columns)
        return np.repeat(values, rows // len(values), axis=0)
    convention = {"rms": rms, "l2": l2, "eps": eps, "outside": outside, "correction": correction}
    # With the sum as x: its z is y without scale, shift and activation.
    _, h, own_mean, own_rstd = family(x, axis, pre_bias=pre_bias, residual=residual, gate=gate,
                                      **convention)
    mean = own_mean if mean is None else np.asarray(mean, dtype=np.float64).reshape(rows, 1)
    rstd = own_rstd if rstd is None else np.asarray(rstd, dtype=np.float64).reshape(rows, 1)
    n = (h - mean) * rstd
    w = spread(weight, 1 - offset) + offset
    z = n * w + spread(bias, 0)
    if silu:
        y = z * (1 + spread(scale, 0)) + spread(shift, 0)
        s = 1 / (1 + np.exp(-y))
        a = a * s * (1 + y * (1 - s))
    d = a * (1 + spread(scale, 0))
    g = d * w
    share = 1 / (1 - eps * rstd) if outside else 1
    divisor = 1 if l2 else columns - correction
    dh = g - n * share * (g * n).sum(axis=1, keepdims=True) / divisor
    if not rms:
        dh = dh - g.mean(axis=1, keepdims=True)
    dh = rstd * dh + (0 if dsum is None else np.asarray(dsum, dtype=np.float64).reshape(rows, -1))
    found = {"x": dh, "pre_bias": dh, "weight": d * n, "bias": d, "scale": a * z, "shift": a}
    if gate is not None:
        found |= {"residual": dh * spread(gate, 1), "gate": dh * spread(residual, 0)}
    return {name: found[name] for name in found if name == "x" or tensors[name] is not None}


def summed(terms, shape):
    """Added up over consecutive rows, for samples, or over all of them."""
    return terms.reshape(-1, terms.size // int(np.prod(shape)), terms.shape[1]).sum(axis=1).reshape(
        shape)


@pytest.fixture
def gradients(run, save, tmp_path):
    """gradients(command, x, dy, names, options): those by name, as they were written."""
    def call(command, x, dy, names, options=()):
        written = []
        for name in names:
            option = "-o" if name == "x" else f"--d{name.replace('_', '-')}-output"
            written += [option, tmp_path / f"d{name}.npy"]
        result = run(command, save("x", x), "--backward", save("dy", dy), *written, *options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        return {name: np.load(tmp_path / f"d{name}.npy") for name in names}
    return call


@pytest.fixture
def check(gradients, random):
    """check(command, x, options, axis, formula's keywords): all that there are."""
    def call(command, x, options=(), axis=-1, kind="f4", **keywords):
        dy = random.normal(size=x.shape).astype(x.dtype)
        want = backward(x, dy, axis, rms=command == "rms-norm", **keywords)
        have = gradients(command, x, dy, want, ["--axis", axis, *options])
        for name, terms in want.items():
            shape = x.shape if name == "x" else keywords[name].shape
            assert have[name].shape == shape
            of_x = name in ("x", "residual")
            assert have[name].dtype == (x.dtype if of_x else "f8" if x.dtype == "f8" else "f4")
            size = np.abs(terms).max() + 1
            assert_close(have[name], summed(terms, shape), kind if of_x or kind == "f8" else "f4",
                         scale=20 * size)
    return call


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, (6, 2, 10)).astype("f4")


@pytest.mark.parametrize("command", ROWS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axes(check, x, command, axis):
    check(command, x, axis=axis)


@pytest.mark.parametrize("command", ROWS)
@pytest.mark.parametrize("axis", [1, -1])
def test_parameters(check, files, x, command, axis):
    shape = x.shape[axis:]
    arrays, options = files(weight=shape, bias=shape, pre_bias=int(np.prod(shape)))
    check(command, x, options, axis, **arrays)


def test_a_row_has_parameters_of_its_own(check, files, x):
    arrays, options = files(weight=x.shape, bias=x.shape)
    check("layer-norm", x, options, **arrays)


@pytest.mark.parametrize("command,samples", [
    *(("layer-norm", samples) for samples in ((12,), (6, 2), (6, 1), (6,), (1,), ())),
    ("rms-norm", (6,))])
def test_residual_and_samples(check, files, x, command, samples):
    """Consecutive rows share a sample."""
    shape = (*samples, 10)
    arrays, options = files(residual=x.shape, gate=shape, scale=shape, shift=shape, weight=10,
                            bias=10)
    check(command, x, options, **arrays)


def test_residual_without_a_gate(check, files, gradients, random, x):
    """It may be repeated: its gradient is not asked for."""
    arrays, options = files(residual=x.shape, pre_bias=10)
    dy = random.normal(size=x.shape).astype("f4")
    want = backward(x, dy, **arrays)["x"].reshape(x.shape)
    assert_close(gradients("layer-norm", x, dy, ["x"], options)["x"], want, "f4", scale=20)
    arrays, options = files(residual=(2, 10))
    want = backward(x + arrays["residual"], dy)["x"].reshape(x.shape)
    assert_close(gradients("layer-norm", x, dy, ["x"], options)["x"], want, "f4", scale=20)


@pytest.mark.parametrize("command", ROWS)
def test_activation(check, files, x, command):
    arrays, options = files(weight=10, bias=10)
    check(command, x, [*options, "--activation", "silu"], silu=True, **arrays)
    arrays, options = files(bias=10, scale=(6, 10), shift=(6, 10))
    check(command, x, [*options, "--activation", "silu"], silu=True, **arrays)


def test_conventions(check, files, x):
    arrays, options = files(weight=10)
    check("layer-norm", x, [*options, "--correction", 1, "--weight-offset", 1], correction=1,
          offset=1, **arrays)
    check("layer-norm", x, ["--eps-mode", "outside", "--eps", 0.5], outside=True, eps=0.5)
    check("rms-norm", x, ["--l2", "--eps", 0.25], l2=True, eps=0.25)


def test_all_at_once(check, files, x):
    arrays, options = files(residual=x.shape, gate=(6, 10), scale=(6, 10), shift=(6, 10), weight=10,
                            bias=10, pre_bias=10, dsum=x.shape)
    check("layer-norm", x, [*options, "--eps-mode", "outside", "--correction", 1,
                            "--weight-offset", 1, "--activation", "silu"],
          outside=True, correction=1, offset=1, silu=True, **arrays)


def test_gradient_of_the_sum(check, files, x):
    arrays, options = files(dsum=x.shape)
    check("rms-norm", x, options, **arrays)


@pytest.mark.parametrize("command", ROWS)
def test_saved_statistics(norm, gradients, save, random, tmp_path, x, command):
    """Those that the norm wrote; wrong ones are seen in the result."""
    names = ["rstd"] if command == "rms-norm" else ["mean", "rstd"]
    path, dy = save("x", x), random.normal(size=x.shape).astype("f4")
    norm(command, path, "--eps", 0.25, *[word for name in names for word in (
        f"--{name}-output", tmp_path / f"{name}.npy")])
    options = ["--eps", 0.25]
    for name in names:
        options += [f"--{name}", tmp_path / f"{name}.npy"]
    have = gradients(command, x, dy, ["x"], options)["x"]
    want = backward(x, dy, rms=command == "rms-norm", eps=0.25)["x"].reshape(x.shape)
    assert_close(have, want, "f4", scale=20)
    save("rstd", 2 * np.load(tmp_path / "rstd.npy"))
    other = gradients(command, x, dy, ["x"], options)["x"]
    assert not np.allclose(have, other, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["f2", pytest.param("f8", marks=F64)])
def test_types(check, files, random, kind):
    x = random.normal(2.0, 3.0, (8, 33)).astype(kind)
    arrays, options = files(kind, weight=33, bias=33, residual=x.shape, gate=(4, 33), scale=(4, 33),
                            shift=(4, 33))
    check("layer-norm", x, options, kind=kind, **arrays)


def test_types_may_differ(gradients, files, random, save):
    """x in bf16, dy in f4 of the other byte order, in Fortran order."""
    x = random.normal(size=(9, 16)).astype("f4")
    dy = np.asfortranarray(random.normal(size=x.shape).astype(">f4"))
    arrays, options = files("f2", weight=16)
    have = gradients("rms-norm", to_bf16(x), dy, ["x", "weight"],
                     [*options, "--dtype", "bf16", "--output-dtype", "f32", "--gradient-dtype",
                      "f16"])
    want = backward(from_bf16(to_bf16(x)), dy, rms=True, **arrays)
    assert (have["x"].dtype, have["weight"].dtype) == ("f4", "f2")
    assert_close(have["x"], want["x"], "f4", scale=20)
    assert_close(have["weight"], want["weight"].sum(axis=0), "f2", scale=20)


def test_safetensors(run, tmp_path, random):
    """Tensors at any byte of one file."""
    tensors = {"odd": np.zeros(3, "f2"), "x": random.normal(size=(5, 8)).astype("f4"),
               "dy": random.normal(size=(5, 8)).astype("f4"),
               "weight": random.normal(size=8).astype("f4")}
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(tensors))
    result = run("layer-norm", f"{path}:x", "--backward", f"{path}:dy", "--weight",
                 f"{path}:weight", "-o", "dx.npy", "--dweight-output", "dw.npy")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    want = backward(tensors["x"], tensors["dy"], weight=tensors["weight"])
    assert_close(np.load(tmp_path / "dx.npy"), want["x"], "f4", scale=20)
    assert_close(np.load(tmp_path / "dw.npy"), want["weight"].sum(axis=0), "f4", scale=20)


def test_round_first(gradients, files, random):
    """A weight's gradient is of n as it was rounded."""
    x = random.normal(size=(64, 8)).astype("f2")
    dy = np.zeros(x.shape, "f4")
    dy[5] = 1
    _, options = files(weight=8)
    have = gradients("layer-norm", x, dy, ["weight"], [*options, "--round-first"])["weight"]
    n = family(x)[0][5]
    assert np.array_equal(have, have.astype("f2"))
    assert_close(have, n, "f2")


LAYOUTS = {"nchw": (lambda array: array, []),
           "nhwc": (lambda array: np.moveaxis(array, 1, -1), ["--layout", "nhwc"])}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("command,groups,shape", [
    ("group-norm", 1, (2, 6, 3, 4)), ("group-norm", 3, (4, 6, 5)),
    ("instance-norm", 6, (2, 6, 3, 4))])
def test_channels(gradients, files, save, random, command, groups, shape, layout):
    lay, options = LAYOUTS[layout]
    x, dy, residual = (random.normal(size=shape).astype("f4") for _ in range(3))
    arrays, more = files(weight=6, bias=6, pre_bias=6)
    options = [*options, *more, "--residual", save("residual", lay(residual)), "--activation",
               "silu"]
    if command == "group-norm":
        options += ["--groups", groups]
    names = ["x", "weight", "bias", "pre_bias"]
    have = gradients(command, lay(x), lay(dy), names, options)
    rows = (shape[0] * groups, -1)
    pixels = int(np.prod(shape[2:]))
    spread = {name: np.tile(np.repeat(values, pixels).reshape(groups, -1), (shape[0], 1))
              for name, values in arrays.items()}
    want = backward(x.reshape(rows), dy.reshape(rows), silu=True,
                    residual=residual.reshape(rows), **spread)
    assert_close(have["x"], lay(want["x"].reshape(shape)), "f4", scale=20)
    for name in names[1:]:
        terms = want[name].reshape(shape[0], 6, pixels)
        assert_close(have[name], terms.sum(axis=(0, 2)), "f4", scale=100)


def test_shape_of_the_file(gradients, files, random, x):
    """As numpy broadcasts it, with all numbers there."""
    arrays, options = files(weight=(1, 1, 10), scale=(6, 1, 10))
    dy = random.normal(size=x.shape).astype("f4")
    have = gradients("layer-norm", x, dy, ["weight", "scale"], options)
    want = backward(x, dy, weight=arrays["weight"], scale=arrays["scale"])
    assert_close(have["weight"], summed(want["weight"], (1, 1, 10)), "f4", scale=50)
    assert_close(have["scale"], summed(want["scale"], (6, 1, 10)), "f4", scale=50)


def test_without_dx(gradients, files, random, x, tmp_path):
    """Then nothing is printed."""
    arrays, options = files(bias=10)
    dy = random.normal(size=x.shape).astype("f4")
    have = gradients("layer-norm", x, dy, ["bias"], options)["bias"]
    assert_close(have, dy.reshape(-1, 10).astype("f8").sum(axis=0), "f4", scale=20)
    assert not (tmp_path / "dx.npy").exists()


def test_printed(run, save, random, x):
    dy = random.normal(size=x.shape).astype("f4")
    result = run("layer-norm", save("x", x), "--backward", save("dy", dy))
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.replace("... ", "") for line in result.stdout.splitlines() if line != "..."]
    want = backward(x, dy)["x"]
    np.testing.assert_allclose(np.loadtxt(lines), np.delete(
        np.delete(want, [4, 5], axis=1), [4, 5, 6, 7], axis=0), rtol=1e-4, atol=1e-5)


def test_over_its_inputs(run, save, random, x):
    """dx may take the place of dy, and a gradient that of its tensor."""
    dy, w = random.normal(size=x.shape).astype("f4"), random.normal(size=10).astype("f4")
    dy_path, w_path = save("dy", dy), save("w", w)
    result = run("rms-norm", save("x", x), "--backward", dy_path, "--weight", w_path, "-o", dy_path,
                 "--dweight-output", w_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    want = backward(x, dy, rms=True, weight=w)
    assert_close(np.load(dy_path), want["x"].reshape(x.shape), "f4", scale=20)
    assert_close(np.load(w_path), want["weight"].sum(axis=0), "f4", scale=100)


def test_many_rows(check, files, random):
    """More than any device walks as one part, and a number that nothing divides."""
    x = random.normal(size=(4099, 24)).astype("f4")
    arrays, options = files(weight=24, bias=24)
    check("layer-norm", x, options, **arrays)


@pytest.mark.parametrize("command,shape", [("layer-norm", (0, 6)), ("instance-norm", (0, 6, 2))])
def test_no_rows(gradients, files, command, shape):
    """A sum over none is zero."""
    nothing = np.zeros(shape, "f4")
    _, options = files(weight=6)
    have = gradients(command, nothing, nothing, ["x", "weight"], options)
    assert have["x"].shape == shape
    assert np.array_equal(have["weight"], np.zeros(6))


@pytest.mark.parametrize("block_bytes", [1, 900, 5000])
@pytest.mark.parametrize("command,shape,tensors", [
    ("layer-norm", (120, 5, 7), {"weight": (7,), "bias": (7,), "residual": (120, 5, 7)}),
    ("layer-norm", (1600, 3), {"weight": (1600, 3), "bias": (1600, 3), "scale": (1600, 3)}),
    ("rms-norm", (12, 50, 7), {"weight": (7,), "residual": (12, 50, 7), "gate": (12, 7),
                               "scale": (12, 7), "shift": (12, 7)}),
    ("layer-norm", (2, 300, 7), {"scale": (2, 7), "shift": (2, 7), "pre-bias": (7,)}),
    ("group-norm", (90, 6, 2), {"weight": (6,), "bias": (6,)}),
])
def test_blocks(gradients, random, files, command, shape, tensors, block_bytes):
    """Every bit is that of all rows in one block."""
    x, dy = (random.normal(size=shape).astype("f4") for _ in range(2))
    _, options = files(**{name.replace("-", "_"): size for name, size in tensors.items()})
    if command == "group-norm":
        options = [*options, "--groups", 3]
    names = ["x"] + [name for name in tensors if name != "residual" or "gate" in tensors]
    whole = gradients(command, x, dy, names, options)
    have = gradients(command, x, dy, names, [*options, "--block-bytes", block_bytes])
    for name in names:
        assert have[name].tobytes() == whole[name].tobytes(), name


def test_timing(run, save, x):
    path = save("x", x)
    result = run("layer-norm", path, "--backward", path, "-o", "dx.npy", "--timing")
    assert (result.returncode, result.stdout) == (0, "")
    assert "12 rows x 10 columns, f32" in result.stderr


# ---- What does not go together ----

@pytest.fixture
def refused(refuse):
    """refused(command, x's shape, {option: shape, value or None}, words...)"""
    return lambda command, shape, options, *words: refuse(command, [], shape, options, *words)


@pytest.mark.parametrize("name", ["weight", "bias", "pre-bias", "gate", "scale", "shift",
                                  "residual"])
def test_outputs_without(refused, name):
    """... --backward, and the tensor."""
    refused("layer-norm", (3, 4), {f"d{name}-output": "old.npy"}, f"--d{name}-output: ",
            "--backward")
    refused("layer-norm", (3, 4), {"backward": (3, 4), f"d{name}-output": "old.npy"},
            f"--d{name}-output: ", f"give --{name} too")


def test_sum_without_backward(refused):
    refused("layer-norm", (3, 4), {"dsum": (3, 4), "output": "old.npy"}, "--dsum: ", "--backward")


def test_residual_is_x_without_a_gate(refused):
    refused("layer-norm", (3, 4),
            {"backward": (3, 4), "residual": (3, 4), "dresidual-output": "old.npy"},
            "--dresidual-output: ", "gradient of x", "--gate")


@pytest.mark.parametrize("option,value", [
    ("sum-output", "old.npy"), ("mean-output", "old.npy"), ("rstd-output", "old.npy"),
    ("scale-output", "old.npy"), ("stats", None), ("quantize", "int8"), ("quantize-scale", 0.5),
    ("quantize-bound", 1)])
def test_options_of_the_norm(refused, option, value):
    refused("layer-norm", (3, 4), {"backward": (3, 4), option: value}, f"--{option}: ",
            "--backward", "leave one out")


@pytest.mark.parametrize("options", [{}, {"backward": (3, 4)},
                                     {"backward": (3, 4), "output": "old.npy"}])
def test_type_of_no_gradient(refused, options):
    refused("layer-norm", (3, 4), {**options, "gradient-dtype": "f64"}, "--gradient-dtype: ",
            "--dweight-output")


def test_type_of_no_dx(refused):
    refused("layer-norm", (3, 4), {"backward": (3, 4), "weight": (4,), "dweight-output": "old.npy",
                                   "output-dtype": "f16"}, "--output-dtype: ", "-o")


@pytest.mark.parametrize("options,words", [
    ({"mean": (3,)}, ["--mean: ", "--rstd"]), ({"rstd": (3,)}, ["--rstd: ", "--mean"]),
    ({"mean": (4,), "rstd": (3,)}, ["mean.npy: ", "(4,)"])])
def test_statistics(refused, options, words):
    refused("layer-norm", (3, 4), {"backward": (3, 4), **options}, *words)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 3), (12,), (1, 3, 4), ()])
def test_shape_of_dy(refused, shape):
    """Never repeated, unlike other tensors."""
    for command in ROWS:
        refused(command, (3, 4), {"backward": shape, "output": "old.npy"}, "backward.npy: ",
                "--backward", str(shape), "(3, 4)")
    refused("layer-norm", (3, 4), {"backward": (3, 4), "dsum": shape}, "dsum.npy: ", "--dsum",
            str(shape), "(3, 4)")


@pytest.mark.parametrize("command,options,name,shape", [
    ("layer-norm", {}, "weight", (1,)), ("layer-norm", {}, "bias", (6, 1, 4)),
    ("rms-norm", {}, "pre-bias", (2, 1)), ("layer-norm", {}, "scale", (1, 2, 4)),
    ("layer-norm", {}, "shift", (6, 1, 1)), ("instance-norm", {}, "weight", (1,)),
    ("group-norm", {"groups": 1}, "bias", (1,)),
    ("layer-norm", {"bias": (6, 2, 4)}, "weight", (4,)),
    ("layer-norm", {"residual": (6, 2, 4)}, "gate", (1, 1)),
    ("layer-norm", {"gate": (12, 4)}, "residual", (2, 4)),
    ("layer-norm", {"scale": (12, 4)}, "shift", (6, 1, 4))])
def test_repeated_tensors(refused, command, options, name, shape):
    refused(command, (6, 2, 4), {"backward": (6, 2, 4), **options, name: shape,
                                 f"d{name}-output": "old.npy"},
            f"{name}.npy: ", str(shape), f"--d{name}-output", f"--{name}")


def test_two_outputs_in_one_file(refused):
    refused("layer-norm", (3, 4), {"backward": (3, 4), "weight": (4,), "output": "old.npy",
                                   "dweight-output": "./old.npy"}, "-o", "--dweight-output")


def test_options_of_other_norms(refused):
    for name in ("gate", "scale", "shift", "residual"):
        refused("instance-norm", (2, 3, 4), {f"d{name}-output": "old.npy"}, f"--d{name}-output: ")


def test_no_file(run, x_file):
    assert_error(run("layer-norm", x_file, "--backward", "no.npy"), 2, "no.npy: ", "No such file")
