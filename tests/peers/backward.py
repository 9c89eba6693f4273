"""Gradients of one library beside anynorm's: what tests/peers/run backward runs.

Each call is given the same tensors as anynorm, and both are measured against the formula in double:
their largest errors in units of the largest magnitude of the tensor that is found: 2^-23 of it, of
halves a place, 2^-10 and 2^-7. Ours must hold beside every mean, theirs beside none."""
import argparse
import dataclasses
import importlib
import math
import sys
import typing
import warnings

import numpy as np

from anynorm import TYPES, Apart

EPS = 1e-5
ROWS, COLUMNS = 96, 768
IMAGES, CHANNELS, PIXELS, GROUPS = 2, 12, 64, 4
MEANS = (0, 1e3, 1e5, 1e7)  # beside a spread of 1
UNIT = {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
THEIRS = {"f32": 64, "f16": 8, "bf16": 8}  # units: that it is the same formula, not how exact it is
OURS = 64 * 2.0**-23  # beyond half a place of dx's type; sums over rows are f32

OUTPUTS = ("dx", "dweight", "dbias")


class Given:
    """x of rows about a mean, dy and the parameters, all representable in the type."""

    def __init__(self, kind, mean, rows, columns, parameters):
        random = np.random.default_rng(rows + columns)
        self.kind, self.eps = kind, EPS
        self.x = (mean + random.standard_normal((rows, columns))).astype(TYPES[kind])
        self.dy = random.standard_normal((rows, columns)).astype(TYPES[kind])
        self.weight = (1 + 0.3 * random.standard_normal(parameters)).astype(TYPES[kind]).astype("f4")
        self.bias = np.zeros(parameters, "f4")

    def tensors(self):
        return {name: getattr(self, name) for name in ("x", "dy", "weight", "bias")}


@dataclasses.dataclass
class Call:
    name: str  # as docs/conventions.md has it
    types: str
    spec: str  # its shape and words
    shape: tuple  # rows, columns and parameters
    exact: typing.Callable  # of a Given: dx, dweight, dbias in double
    run: typing.Callable  # of a Given: the same as the library finds them; None where it has none


def normalized(h, rms=False, axis=-1):
    """h in double about its mean, and rstd."""
    if not rms:
        h = h - h.mean(axis=axis, keepdims=True)
        h = h - h.mean(axis=axis, keepdims=True)  # what the first mean was off by
    rstd = 1 / np.sqrt((h * h).mean(axis=axis, keepdims=True) + EPS)
    return h * rstd, rstd


def back(n, g, rstd, rms=False, axis=-1):
    return rstd * (g - (0 if rms else g.mean(axis=axis, keepdims=True)) -
                   n * (g * n).mean(axis=axis, keepdims=True))


def of_rows(v, rms=False):
    n, rstd = normalized(v.x.astype("f8"), rms)
    dy = v.dy.astype("f8")
    return back(n, dy * v.weight.astype("f8"), rstd, rms), (dy * n).sum(0), None if rms else dy.sum(0)


def of_rms(v):
    return of_rows(v, True)


def of_groups(v):
    x, dy = (a.astype("f8").reshape(IMAGES, GROUPS, -1) for a in (v.x, v.dy))
    weight = v.weight.astype("f8").reshape(1, GROUPS, -1, 1)
    n, rstd = normalized(x)
    g = (dy.reshape(IMAGES, GROUPS, -1, PIXELS) * weight).reshape(x.shape)
    by_channel = (IMAGES, CHANNELS, PIXELS)
    return (back(n, g, rstd), (dy * n).reshape(by_channel).sum((0, 2)), dy.reshape(by_channel).sum((0, 2)))


def of_batch(v):
    n, rstd = normalized(v.x.astype("f8"), axis=0)
    dy = v.dy.astype("f8")
    return back(n, dy * v.weight.astype("f8"), rstd, axis=0), (dy * n).sum(0), dy.sum(0)


ROWS_OF_X = (ROWS, COLUMNS, COLUMNS)
LAYER = f"layer-norm {ROWS}x{COLUMNS} {{t}} weight bias dx dweight dbias eps=1e-05"
RMS = f"rms-norm {ROWS}x{COLUMNS} {{t}} weight dx dweight eps=1e-05"
GROUP = (f"layer-norm {IMAGES * GROUPS}x{CHANNELS // GROUPS * PIXELS} {{t}} weight bias dx dweight dbias "
         f"parameter-rows={GROUPS} parameter-run={PIXELS} eps=1e-05")
BATCH = (f"layer-norm {COLUMNS}x{ROWS} {{t}} weight bias dx dweight dbias inner={COLUMNS} x-column={COLUMNS} "
         f"y-column={COLUMNS} dx-column={COLUMNS} parameter-rows={COLUMNS} parameter-run={ROWS} eps=1e-05")
SHAPE_OF_GROUPS = (IMAGES * GROUPS, CHANNELS // GROUPS * PIXELS, CHANNELS)
CALLS = {"layer": (LAYER, ROWS_OF_X, of_rows), "rms": (RMS, ROWS_OF_X, of_rms),
         "group": (GROUP, SHAPE_OF_GROUPS, of_groups), "batch": (BATCH, ROWS_OF_X, of_batch)}


def error(have, want):
    """As a share of the largest that there should be."""
    have = np.ravel(np.asarray(have)).astype("f8")
    if not np.all(np.isfinite(have)):
        return math.nan
    return np.max(np.abs(have - np.ravel(want))) / np.max(np.abs(want))


def figure(value):
    """Bold from an error of an f32's own size on."""
    if math.isnan(value):
        return "**NaN**"
    text = f"{value:.2f}" if value < 100 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"**{text}**" if value >= 2**22 else text


def torch_calls():
    module = importlib.import_module("backward_torch")
    return module.calls(Call, CALLS)


def jax_calls():
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    def gradient(function):
        def run(v):
            arguments = [jnp.asarray(a) for a in (v.x, v.weight.astype(v.x.dtype), v.bias.astype(v.x.dtype))]
            _, pull = jax.vjp(function, *arguments)
            return tuple(np.asarray(a) for a in pull(jnp.asarray(v.dy)))
        return run

    def layer(x, weight, bias):
        return jax.nn.standardize(x, epsilon=EPS) * weight + bias
    return [Call("JAX, the gradient of standardize(x) * weight + bias", "f32", *CALLS["layer"], gradient(layer))]


def onednn_calls():
    module = importlib.import_module("onednn")

    def run(v):
        return module.layer_norm_backward(v.x, v.dy, v.weight, EPS)
    return [Call("oneDNN layer normalization backward, use_scale and use_shift", "f32",
                 *CALLS["layer"], run)]


LIBRARIES = {"torch": torch_calls, "jax": jax_calls, "onednn": onednn_calls}


def check(library, call, kind):
    """The largest errors by mean, of theirs and ours; and whether both hold beside no mean."""
    lines, holds = [], True
    for output, at in zip(OUTPUTS, range(len(OUTPUTS))):
        figures = []
        for mean in MEANS if kind == "f32" else MEANS[:1]:
            given = Given(kind, mean, *call.shape)
            if call.exact is of_batch:  # its rows are the columns of x
                given = Given(kind, mean, ROWS, COLUMNS, COLUMNS)
            want = call.exact(given)[at]
            if want is None:
                continue
            theirs = call.run(given)[at]
            ours = library.run(call.spec.format(t=kind), given.tensors())[output]
            both = error(theirs, want), error(ours, want)
            figures.append(" / ".join(figure(one / UNIT[kind]) for one in both))
            half = UNIT[kind] / 2 if output == "dx" and kind != "f32" else 0
            holds = holds and both[1] <= half + OURS
            holds = holds and (mean != 0 or both[0] <= THEIRS[kind] * UNIT[kind])
        if figures:
            lines.append(f"{call.name}, {kind}, {output} | {' | '.join(figures)} |")
    return lines, holds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=LIBRARIES)
    parser.add_argument("build", help="the build folder, which has libanynorm.so")
    parser.add_argument("device", nargs="?", help="anynorm's (default: the best found)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    library = Apart(options.build, options.device)
    held = []
    for call in LIBRARIES[options.peer]():
        for kind in call.types.split():
            try:
                lines, holds = check(library, call, kind)
            except Exception as failure:  # whatever a library may raise: the row does not hold
                lines = [f"{call.name}, {kind}: {type(failure).__name__}: {(str(failure).splitlines() or [''])[0][:160]}"]
                holds = False
            for line in lines:
                print(f"{'holds' if holds else 'FAILS'}  {line}", flush=True)
            held.append(holds)
    print(f"{options.peer}: {len(held)} checked, {held.count(False)} do not hold", flush=True)
    sys.exit(0 if held and all(held) else 1)


if __name__ == "__main__":
    main()
