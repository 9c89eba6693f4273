"""What a row of the table is, the tensors it is given, and whether two results are one."""
import dataclasses
import math
import typing

import numpy as np

from anynorm import TYPES

ROWS, COLUMNS = 24, 192  # of x
IMAGES, CHANNELS, PIXELS = 3, 16, 96  # the same numbers as images, of 12 by 8 pixels
GROUPS = 4
SAMPLES = 3

# The specs that many libraries have in common: {t} is the type, {eps} the eps.
LAYER = "layer-norm 24x192 {t} parameters={t} weight bias eps={eps}"
PLAIN = "layer-norm 24x192 {t} eps={eps}"
RMS = "rms-norm 24x192 {t} parameters={t} weight eps={eps}"
L2 = "rms-norm 24x192 {t} l2 eps=0"
GROUP = ("layer-norm 12x384 {t} parameters={t} weight bias eps={eps} "
         "parameter-rows=4 parameter-run=96")
GROUP_18 = ("layer-norm 12x384 {t} parameters={t} weight bias eps={eps} "
            "parameter-rows=4 parameter-run=384")
INSTANCE = ("layer-norm 48x96 {t} parameters={t} weight bias eps={eps} "
            "parameter-rows=16 parameter-run=96")
GROUP_LAST = ("layer-norm 12x384 {t} parameters={t} weight bias eps={eps} inner=4 run=4 "
              "x-column=16 y-column=16 parameter-rows=4 parameter-cycle=4")
INSTANCE_LAST = ("layer-norm 48x96 {t} parameters={t} weight bias eps={eps} inner=16 "
                 "x-column=16 y-column=16 parameter-rows=16 parameter-run=96")
BATCH = ("layer-norm 16x288 {t} parameters={t} weight bias eps={eps} run=96 x-column=1536 "
         "y-column=1536 parameter-rows=16 parameter-run=288")
BATCH_LAST = ("layer-norm 16x288 {t} parameters={t} weight bias eps={eps} x-column=16 y-column=16 "
              "parameter-rows=16 parameter-run=288")
# By statistics that are given: rstd is made of the variance and the eps.
GIVEN = " mean-input rstd-input"
CHANNELS_FIRST = ("layer-norm 288x16 {t} parameters={t} weight bias eps={eps} inner=96 "
                  "x-column=96 y-column=96")
# The words that a coarser library adds: it rounds n before the weight.
FIRST = " round-first"


@dataclasses.dataclass
class Row:
    """What a library's call gives, and the spec that gives the same."""
    call: str  # as docs/conventions.md has it
    types: str  # of x, those that the library serves here: f32 f16 bf16 f64
    spec: str
    run: typing.Callable  # of an Inputs; gives y, or all of `outputs`
    eps: float = 1e-5  # what the call leaves out, where it has a default
    outputs: tuple = ("y",)
    # The library rounds halves once more: off by at most so many places of max(1, |y|), and by some.
    places: float = 0
    differs: bool = False  # the two are not one, as the document says
    offset: float = 0  # the mean of x's rows, in their spreads
    units: float = 64  # of 2^-23 or 2^-52 of max(1, |y|), that f32 and f64 may be off by
    codes: float = 0.01  # the share of int8 and float8 codes that may be off, by one
    eps_shows: bool = True  # another eps must not do


@dataclasses.dataclass
class Fact:
    """What the document says of a library beyond its rows: what `run` gives, to the bit."""
    what: str
    run: typing.Callable
    want: list


class Inputs:
    """Tensors of distinct values in one type. A third of the rows have the spread at which eps
    matters, and a third thirty times that."""

    def __init__(self, kind, eps, offset=0):
        random = np.random.default_rng(2026)
        self.kind, self.type, self.eps = kind, TYPES[kind], eps

        def normal(centre, deviation, *shape):
            return (centre + deviation * random.standard_normal(shape)).astype(self.type)
        spread = np.repeat([1, math.sqrt(eps), 30 * math.sqrt(eps)], ROWS // 3)[:, None]
        self.x = (spread * normal(0.4 + offset, 1, ROWS, COLUMNS)).astype(self.type)
        self.residual = (spread * normal(0, 0.5, ROWS, COLUMNS)).astype(self.type)
        self.weight, self.bias = normal(1.25, 0.5, COLUMNS), normal(0, 0.5, COLUMNS)
        self.pre_bias = normal(0, math.sqrt(eps), COLUMNS)
        self.gate = normal(0.75, 0.5, SAMPLES, COLUMNS)
        self.scale = normal(0.1, 0.3, SAMPLES, COLUMNS)
        self.shift = normal(-1, 0.4, SAMPLES, COLUMNS)
        self.mean, self.variance = np.linspace(-1, 1, ROWS, dtype="f4"), np.linspace(1, 3, ROWS, dtype="f4")
        self.rstd = (1 / np.sqrt(self.variance.astype("f8") + eps)).astype("f4")
        self.y_scale = np.array([0.02], "f4")
        self.images = self.x.reshape(IMAGES, CHANNELS, PIXELS // 8, 8)
        self.images_last = self.x.reshape(IMAGES, PIXELS // 8, 8, CHANNELS)

    def arrays(self):
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}


def place(values, kind):
    """How far apart neighbouring numbers of f16 or bf16 are there."""
    return 2.0**(np.floor(np.log2(values)) - {"f16": 10, "bf16": 7}[kind])


@dataclasses.dataclass
class Difference:
    largest: float  # in places of f16 and bf16, units of f32 and f64, codes of int8 and float8
    share: float  # of elements that are off by more than f32's own error
    unit: str

    def same(self, row):
        if self.unit == "units":
            return self.largest <= row.units
        return self.largest <= 1 and self.share <= (row.codes if self.unit == "codes" else 0.01)

    def holds(self, row):
        if row.differs:
            return not self.same(row)
        if row.places and self.unit == "places":
            return self.largest <= row.places and not self.same(row)
        return self.same(row)

    def __str__(self):
        return f"{self.largest:.3g} {self.unit}, {100 * self.share:.1f} %"


def difference(have, want):
    have, want = np.ravel(have), np.ravel(want)
    if have.dtype != want.dtype or have.size != want.size:
        raise TypeError(f"the library gives {want.size} of {want.dtype}, not {have.size} of {have.dtype}")
    kind = next(kind for kind, dtype in TYPES.items() if dtype == have.dtype)
    if kind in ("i8", "f8e4m3"):
        steps = np.abs(have.view("i1").astype(int) - want.view("i1").astype(int))
        return Difference(steps.max(), np.mean(steps > 0), "codes")
    a, b = have.astype("f8"), want.astype("f8")
    with np.errstate(invalid="ignore"):
        off = np.where(np.isnan(a) & np.isnan(b) | (a == b), 0, np.abs(a - b))
    off, size = np.where(np.isnan(off), math.inf, off), np.maximum(1, np.abs(np.nan_to_num(b)))
    if kind in ("f32", "f64"):
        unit = (2.0**-23 if kind == "f32" else 2.0**-52) * size
        return Difference(np.max(off / unit), np.mean(off > unit), "units")
    return Difference(np.max(off / place(size, kind)), np.mean(off > 16 * 2.0**-23 * size), "places")
