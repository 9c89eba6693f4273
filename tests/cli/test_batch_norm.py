"""Batch normalization against its formula in double: statistics found, given and kept, gradients."""
import numpy as np
import pytest
from support import assert_close, assert_error, family, from_bf16, to_bf16

F64 = pytest.mark.needs_f64
LAYOUTS = {"nchw": (lambda array: array, []),
           "nhwc": (lambda array: np.moveaxis(array, 1, -1), ["--layout", "nhwc"])}
SHAPES = [(7, 5), (4, 6, 5), (3, 6, 2, 4), (5, 1, 3), (1, 4, 6), (6, 3, 1, 1)]
MOMENTUM = {"pytorch": 0.1, "onnx": 0.9, "keras": 0.99}


def to_rows(x):
    """A channel of all images as a row."""
    return np.moveaxis(np.asarray(x, dtype=np.float64), 1, 0).reshape(x.shape[1], -1)


def from_rows(rows, shape):
    return np.moveaxis(rows.reshape(shape[1], shape[0], *shape[2:]), 0, 1)


def batch(x, *, weight=None, bias=None, pre_bias=None, residual=None, **convention):
    """(y, sum, mean, rstd) of the channels, in double."""
    spread = {name: np.repeat(values, x[:, 0].size).reshape(x.shape[1], -1) for name, values in (
        ("weight", weight), ("bias", bias), ("pre_bias", pre_bias)) if values is not None}
    if residual is not None:
        spread["residual"] = to_rows(residual)
    y, h, mean, rstd = family(to_rows(x), **spread, **convention)
    return from_rows(y, x.shape), from_rows(h, x.shape), mean[:, 0], rstd[:, 0]


def updated(x, old_mean, old_variance, convention="pytorch", momentum=None):
    """Running statistics after the batch x."""
    rows, keep = to_rows(x), MOMENTUM[convention] if momentum is None else momentum
    if convention == "pytorch":
        keep = 1 - keep
    variance = rows.var(axis=1, ddof=convention == "pytorch")
    return (keep * np.asarray(old_mean, "f8") + (1 - keep) * rows.mean(axis=1),
            keep * np.asarray(old_variance, "f8") + (1 - keep) * variance)


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, (4, 6, 5)).astype("f4")


@pytest.fixture
def batch_norm(norm, save):
    """batch_norm(x, options...): y."""
    return lambda x, *options: norm("batch-norm", save("x", x), *options)


# ---- Statistics of the batch ----

@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_training(batch_norm, files, save, random, tmp_path, shape, layout):
    lay, options = LAYOUTS[layout]
    x, residual = (random.normal(2.0, 3.0, shape).astype("f4") for _ in range(2))
    arrays, more = files(weight=shape[1], bias=shape[1], pre_bias=shape[1])
    outputs = {"sum": 1, "mean": 2, "rstd": 3}
    options = [*options, *more, "--residual", save("residual", lay(residual)), "--training"]
    for name in outputs:
        options += [f"--{name}-output", tmp_path / f"{name}.npy"]
    y = batch_norm(lay(x), *options)
    want = batch(x, residual=residual, **arrays)
    assert_close(y, lay(want[0]), "f4", scale=20)
    for name, index in outputs.items():
        assert_close(np.load(tmp_path / f"{name}.npy"),
                     lay(want[index]) if name == "sum" else want[index], "f4", scale=10)


@pytest.mark.parametrize("options,keywords", [
    (["--eps", 0.5], {"eps": 0.5}),
    (["--eps", 0.5, "--eps-mode", "outside"], {"eps": 0.5, "outside": True}),
    (["--eps", 4, "--eps-mode", "floor"], {"eps": 4, "floor": True}),
    (["--activation", "silu"], {"silu": True})])
def test_options(batch_norm, x, options, keywords):
    assert_close(batch_norm(x, "--training", *options), batch(x, **keywords)[0], "f4", scale=20)


@pytest.mark.parametrize("kind", ["f2", "bf16", pytest.param("f8", marks=F64)])
def test_types(batch_norm, files, random, kind):
    x = random.normal(2.0, 3.0, (9, 4, 5)).astype("f4" if kind == "bf16" else kind)
    arrays, options = files(weight=4, bias=4)
    if kind == "bf16":
        y = from_bf16(batch_norm(to_bf16(x), "--training", "--dtype", "bf16", *options))
        x = from_bf16(to_bf16(x))
    else:
        y = batch_norm(x, "--training", *options)
        assert y.dtype == kind
    assert_close(y, batch(x, **arrays)[0], kind, scale=20)


def test_one_element_of_each_channel(batch_norm, files):
    """Its own mean: only the bias is left."""
    arrays, options = files(weight=3, bias=3)
    y = batch_norm(np.array([[1, 2, 3]], "f4"), "--training", *options)
    assert np.array_equal(y, arrays["bias"][None])


def test_large_means(batch_norm, random):
    x = (1e6 + random.normal(size=(50, 3, 7))).astype("f4")
    assert_close(batch_norm(x, "--training"), batch(x)[0], "f4", scale=5)


def test_quantized(batch_norm, x, tmp_path):
    y = batch_norm(x, "--training", "--quantize", "int8", "--scale-output", tmp_path / "s.npy")
    scales = np.load(tmp_path / "s.npy")
    want = batch(x)[0]
    assert_close(scales, np.abs(to_rows(want)).max(axis=1) / 127, "f4")
    assert np.abs(y - want / scales[:, None]).max() <= 0.501


# ---- Statistics that are given ----

@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(6,), (1, 6, 1), (6, 1)])
def test_given(batch_norm, files, x, layout, shape):
    lay, options = LAYOUTS[layout]
    if layout == "nhwc" and len(shape) > 1:
        shape = (1, 1, 6)
    arrays, more = files(mean=shape, rstd=shape, weight=6)
    want = batch(x, mean=arrays["mean"].ravel(), rstd=arrays["rstd"].ravel(),
                 weight=arrays["weight"])[0]
    assert_close(batch_norm(lay(x), *options, *more), lay(want), "f4", scale=20)


def running(save, mean, variance):
    return ["--running-mean", save("running-mean", mean), "--running-var",
            save("running-var", variance)]


@pytest.mark.parametrize("kind", ["f4", "f2", "f8"])
@pytest.mark.parametrize("mode", ["inside", "outside", "floor"])
def test_running(batch_norm, files, save, random, x, kind, mode):
    """Variances from far below eps to far above it."""
    mean = random.normal(size=6).astype(kind)
    variance = np.array([0, 1e-7, 1e-4, 0.5, 4, 900]).astype(kind)
    arrays, options = files(weight=6, bias=6)
    y = batch_norm(x, *running(save, mean, variance), *options, "--eps-mode", mode, "--eps", 1e-3)
    root = np.sqrt(variance.astype("f8"))
    rstd = 1 / {"inside": np.sqrt(root**2 + 1e-3), "outside": root + 1e-3,
                "floor": np.maximum(root, 1e-3)}[mode]
    assert_close(y, batch(x, mean=mean, rstd=rstd, **arrays)[0], "f4", scale=2000)


def test_running_variance_of_zero(batch_norm, files, save, x):
    """Beside an eps of 0 it leaves the bias, as a constant row does."""
    arrays, options = files(bias=6)
    y = batch_norm(x, *running(save, np.zeros(6, "f4"), np.zeros(6, "f4")), *options, "--eps", 0)
    assert np.array_equal(y, np.broadcast_to(arrays["bias"][:, None], x.shape))


# ---- Statistics that are kept ----

@pytest.fixture
def update(run, save, tmp_path):
    """update(x, mean, variance, options...): the new ones."""
    def call(x, mean, variance, *options):
        result = run("batch-norm", save("x", x), "--training", *running(save, mean, variance), "-o",
                     "y.npy", "--running-mean-output", "mean.npy", "--running-var-output",
                     "var.npy", *options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        return np.load(tmp_path / "mean.npy"), np.load(tmp_path / "var.npy")
    return call


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("convention", MOMENTUM)
@pytest.mark.parametrize("momentum", [None, 0.25, 0, 1])
def test_updates(update, random, tmp_path, x, convention, momentum, layout):
    lay, options = LAYOUTS[layout]
    mean, variance = random.normal(size=6).astype("f4"), random.uniform(1, 9, 6).astype("f4")
    if momentum is not None:
        options = [*options, "--momentum", momentum]
    have = update(lay(x), mean, variance, "--convention", convention, *options)
    for new, want in zip(have, updated(x, mean, variance, convention, momentum)):
        assert new.dtype == "f4"
        assert_close(new, want, "f4")
    assert_close(np.load(tmp_path / "y.npy"), lay(batch(x)[0]), "f4", scale=20)


def test_convention_of_default(update, x):
    zero, one = np.zeros(6, "f4"), np.ones(6, "f4")
    for new, want in zip(update(x, zero, one), updated(x, zero, one)):
        assert_close(new, want, "f4")


@pytest.mark.parametrize("kind", ["f2", "f8"])
@pytest.mark.parametrize("shape", [(6,), (1, 6, 1)])
def test_files_keep_type_and_shape(update, random, x, kind, shape):
    mean, variance = (random.uniform(1, 2, shape).astype(kind) for _ in range(2))
    want = updated(x, mean.ravel(), variance.ravel())
    for new, value in zip(update(x, mean, variance), want):
        assert (new.dtype, new.shape) == (np.dtype(kind), shape)
        assert_close(new.ravel(), value, "f2" if kind == "f2" else "f4")


def test_sums_are_counted(update, files, save, random, x):
    """Of what is normalized, not of x."""
    residual = random.normal(size=x.shape).astype("f4")
    arrays, options = files(pre_bias=6, weight=6)
    zero, one = np.zeros(6, "f4"), np.ones(6, "f4")
    have = update(x, zero, one, "--residual", save("residual", residual), *options,
                  "--weight-offset", 1, "--eps", 2)
    h = batch(x, pre_bias=arrays["pre_bias"], residual=residual)[1]
    for new, want in zip(have, updated(h, zero, one)):
        assert_close(new, want, "f4")


@pytest.mark.parametrize("spread", [1e-6, 0])
def test_variance_far_below_eps(update, random, spread):
    """1 / rstd^2 - eps would have no digit of it."""
    x = (spread * random.normal(size=(30, 3, 4))).astype("f4")
    zero = np.zeros(3, "f4")
    for convention in MOMENTUM:
        have = update(x, zero, zero, "--convention", convention, "--eps", 0.1)[1]
        want = updated(x, zero, zero, convention)[1]
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=0)


def test_variance_beside_a_large_mean(update, random):
    x = (1e5 + random.normal(size=(40, 2, 5))).astype("f4")
    zero = np.zeros(2, "f4")
    for new, want in zip(update(x, zero, zero), updated(x, zero, zero)):
        np.testing.assert_allclose(new, want, rtol=1e-5)


@pytest.mark.parametrize("convention", ["onnx", "keras"])
def test_variance_of_one_element(update, convention):
    """It is 0 without Bessel's correction, with which there is none."""
    mean, variance = update(np.array([[1, 2, 3]], "f4"), np.zeros(3, "f4"), np.ones(3, "f4"),
                            "--convention", convention, "--momentum", 0.5)
    assert np.array_equal(mean, [0.5, 1, 1.5]) and np.array_equal(variance, [0.5] * 3)


def test_mean_of_one_element(run, save, tmp_path):
    """By PyTorch's convention it has one."""
    result = run("batch-norm", save("x", np.array([[1, 2, 3]], "f4")), "--training", "--running-mean",
                 save("m", np.zeros(3, "f4")), "--running-mean-output", "m.npy", "-o", "y.npy")
    assert (result.returncode, result.stderr) == (0, "")
    assert_close(np.load(tmp_path / "m.npy"), [0.1, 0.2, 0.3], "f4")


def test_over_the_old_files(run, save, random, x):
    """Twice, as two steps of training."""
    mean, variance = random.normal(size=6).astype("f4"), random.uniform(1, 9, 6).astype("f4")
    options = running(save, mean, variance)
    path = save("x", x)
    for _ in range(2):
        result = run("batch-norm", path, "--training", *options, "-o", "y.npy",
                     "--running-mean-output", options[1], "--running-var-output", options[3])
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        mean, variance = updated(x, mean, variance)
    assert_close(np.load(options[1]), mean, "f4")
    assert_close(np.load(options[3]), variance, "f4")


def test_not_a_number_stays_in_its_channel(update, x):
    x[1, 2, 3] = np.nan
    zero = np.zeros(6, "f4")
    for new in update(x, zero, zero):
        assert np.array_equal(np.isnan(new), np.arange(6) == 2)


# ---- Gradients ----

@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["training", "saved", "given", "running"])
@pytest.mark.parametrize("shape", [(7, 5), (4, 6, 5)])
def test_gradients(run, norm, files, save, random, tmp_path, shape, mode, layout):
    """Those of statistics that change with x, and of constants."""
    lay, options = LAYOUTS[layout]
    channels = shape[1]
    x, dy = (random.normal(1.0, 2.0, shape).astype("f4") for _ in range(2))
    arrays, more = files(weight=channels, bias=channels, pre_bias=channels)
    h = to_rows(batch(x, pre_bias=arrays["pre_bias"])[1])
    mean, rstd = h.mean(axis=1, keepdims=True), 1 / np.sqrt(h.var(axis=1, keepdims=True) + 0.5)
    path, options = save("x", lay(x)), [*options, *more]
    statistics = ["--eps", 0.5, "--training"]
    if mode == "saved":
        written = [tmp_path / "mean.npy", tmp_path / "rstd.npy"]
        norm("batch-norm", path, *options, *statistics, "--mean-output", written[0], "--rstd-output",
             written[1])
        statistics += ["--mean", written[0], "--rstd", written[1]]
    elif mode == "given":
        given, statistics = files(mean=channels, rstd=channels)
        mean, rstd = (given[name][:, None].astype("f8") for name in ("mean", "rstd"))
    elif mode == "running":
        mean, variance = random.normal(size=(channels, 1)), random.uniform(1, 4, (channels, 1))
        rstd = 1 / np.sqrt(variance + 0.5)
        statistics = ["--eps", 0.5, *running(save, mean[:, 0], variance[:, 0])]
    names = {"weight": 1, "bias": 1, "pre-bias": 1}
    for name in names:
        options += [f"--d{name}-output", f"d{name}.npy"]
    result = run("batch-norm", path, "--backward", save("dy", lay(dy)), *options, *statistics, "-o",
                 "dx.npy")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    n, d = (h - mean) * rstd, to_rows(dy)
    g = d * arrays["weight"][:, None]
    dx = rstd * g
    if mode in ("training", "saved"):
        dx -= rstd * (g.mean(axis=1, keepdims=True) + n * (g * n).mean(axis=1, keepdims=True))
    want = {"weight": (d * n).sum(axis=1), "bias": d.sum(axis=1), "pre-bias": dx.sum(axis=1)}
    assert_close(np.load(tmp_path / "dx.npy"), lay(from_rows(dx, shape)), "f4", scale=50)
    for name in names:
        assert_close(np.load(tmp_path / f"d{name}.npy"), want[name], "f4", scale=200)


# ---- What is printed ----

@pytest.mark.parametrize("shape,lines,options", [
    ((7, 5), (7, 5), []), ((2, 3, 4), (6, 4), []), ((2, 3, 1), (2, 3), []),
    ((2, 3, 4), (8, 3), ["--layout", "nhwc"])])
def test_lines(run, save, random, shape, lines, options):
    """As the elements lie in memory: pixels of a channel, or channels side by side."""
    x = random.normal(size=shape).astype("f4")
    path = save("x", np.moveaxis(x, 1, -1) if options else x)
    result = run("batch-norm", path, "--training", *options)
    want = batch(x)[0]
    want = np.moveaxis(want, 1, -1) if options else want
    assert (result.returncode, result.stderr) == (0, "")
    np.testing.assert_allclose(np.loadtxt(result.stdout.splitlines()), want.reshape(lines),
                               rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(4, 6, 5), (5, 1, 3)])
def test_stats(run, save, files, random, layout, shape):
    lay, options = LAYOUTS[layout]
    x = random.normal(2.0, 3.0, shape).astype("f4")
    arrays, more = files(pre_bias=shape[1])
    result = run("batch-norm", save("x", lay(x)), "--training", "--stats", "-o", "y.npy", *options,
                 *more)
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["row", "mean", "variance", "rstd"]
    _, h, mean, rstd = batch(x, **arrays)
    want = np.stack([np.arange(shape[1]), mean, to_rows(h).var(axis=1), rstd], axis=1)
    np.testing.assert_allclose([list(map(float, line.split())) for line in lines], want, rtol=1e-4,
                               atol=1e-5)


def test_stats_of_given(run, save, x):
    """Mean and rstd as they are used; the variance is that of x."""
    result = run("batch-norm", save("x", x), "--stats", "-o", "y.npy", "--eps", 0,
                 *running(save, np.arange(6.0), np.full(6, 4.0)))
    assert (result.returncode, result.stderr) == (0, "")
    lines = [list(map(float, line.split())) for line in result.stdout.splitlines()[1:]]
    np.testing.assert_allclose(lines, np.stack([np.arange(6), np.arange(6), to_rows(x).var(axis=1),
                                                np.full(6, 0.5)], axis=1), rtol=1e-4)


def test_timing(run, save, x):
    result = run("batch-norm", save("x", x), "--training", "-o", "y.npy", "--timing")
    assert (result.returncode, result.stdout) == (0, "")
    assert "6 rows x 20 columns, f32" in result.stderr


# ---- What does not go together ----

RUNNING = {"running-mean": (3,), "running-var": (3,)}
UPDATE = {"running-mean-output": "old.npy", "running-var-output": "new.npy"}
TRAINING = {"training": None}


@pytest.mark.parametrize("options,words", [
    ({}, ["--training: missing", "--running-mean", "--rstd"]),
    ({**TRAINING, "mean": (3,), "rstd": (3,)}, ["--training: ", "--mean", "leave"]),
    ({**RUNNING, "mean": (3,)}, ["--running-mean: ", "--rstd", "leave"]),
    ({"running-var": (3,), "rstd": (3,)}, ["--running-var: ", "--mean", "leave"]),
    ({"mean": (3,)}, ["--mean: ", "--rstd"]),
    ({"rstd": (3,)}, ["--rstd: ", "--mean"]),
    ({"mean": (3,), "rstd": (3,), "eps": 1}, ["--eps: ", "--rstd"]),
    ({"running-mean": (3,)}, ["--running-mean: ", "--running-var"]),
    ({"running-var": (3,)}, ["--running-var: ", "--running-mean"]),
    ({**RUNNING, "running-mean-output": "old.npy"}, ["--running-mean-output: ", "--training"]),
    ({**RUNNING, "running-var-output": "old.npy"}, ["--running-var-output: ", "--training"]),
    ({**TRAINING, "running-mean": (3,)}, ["--running-mean: ", "--running-mean-output"]),
    ({**TRAINING, "running-var": (3,)}, ["--running-var: ", "--running-var-output"]),
    ({**TRAINING, "running-mean-output": "old.npy"}, ["--running-mean-output: ", "--running-mean;"]),
    ({**TRAINING, "running-var-output": "old.npy"}, ["--running-var-output: ", "--running-var;"]),
    ({**TRAINING, **RUNNING, **UPDATE, "running-var-output": "./old.npy"},
     ["--running-mean-output", "--running-var-output", "two files"]),
    ({**TRAINING, **RUNNING, **UPDATE, "momentum": -0.1}, ["--momentum: ", "0 to 1"]),
    ({**TRAINING, **RUNNING, **UPDATE, "momentum": 1.5}, ["--momentum: ", "0 to 1"]),
    ({**TRAINING, **RUNNING, **UPDATE, "convention": "caffe"}, ["--convention: ", "pytorch"]),
    ({**TRAINING, "momentum": 0.5}, ["--momentum: ", "--running-mean-output"]),
    ({**TRAINING, "convention": "onnx"}, ["--convention: ", "--running-mean-output"]),
    ({**TRAINING, "backward": (2, 3), "running-mean": (3,)}, ["--running-mean: ", "gradients"]),
    ({**TRAINING, "backward": (2, 3), "running-var": (3,)}, ["--running-var: ", "gradients"]),
    ({**TRAINING, **RUNNING, **UPDATE, "backward": (2, 3)}, ["-output: ", "--backward"]),
    ({"backward": (2, 3), "mean": (3,), "rstd": (3,), "eps-mode": "outside"}, ["--eps-mode: "]),
    ({**TRAINING, "block-bytes": 1}, ["--block-bytes: "]),
    ({**TRAINING, "correction": 1}, ["--correction: "])])
def test_not_together(refuse, options, words):
    refuse("batch-norm", [], (2, 3), options, *words)


@pytest.mark.parametrize("options,words", [
    ({**RUNNING, "running-var": (2,)}, ["running-var.npy: ", "(2,)", "--running-var"]),
    ({**RUNNING, "running-mean": (2, 3)}, ["running-mean.npy: ", "(2, 3)", "--running-mean"]),
    ({**TRAINING, **RUNNING, **UPDATE, "running-mean": (1,)},
     ["running-mean.npy: ", "(1,)", "3 numbers", "--running-mean-output"]),
    ({**TRAINING, "weight": (2,)}, ["weight.npy: ", "(2,)"]),
    ({"mean": (2, 3), "rstd": (3,)}, ["mean.npy: ", "(2, 3)"])])
def test_shapes(refuse, options, words):
    refuse("batch-norm", [], (2, 3), options, *words)


def test_no_variance_of_one(refuse):
    refuse("batch-norm", [], (1, 3), {**TRAINING, **RUNNING, **UPDATE}, "--running-var-output: ",
           "--convention")


@pytest.mark.parametrize("shape", [(3,), (2, 0), (0, 3), (2, 3, 0)])
def test_shapes_of_x(run, save, shape):
    assert_error(run("batch-norm", save("x", np.ones(shape, "f4")), "--training"), 2, "x.npy: ",
                 str(shape))


def test_nothing_is_kept_of_a_failure(run, save, tmp_path):
    """The new statistics appear with all else or not at all."""
    old = np.ones(3, "f4")
    options = running(save, old, old)
    (tmp_path / "folder").mkdir()
    result = run("batch-norm", save("x", np.ones((2, 3), "f4")), "--training", *options, "-o",
                 "folder", "--running-mean-output", options[1], "--running-var-output", options[3])
    assert_error(result, 2, "folder")
    assert np.array_equal(np.load(options[1]), old)
