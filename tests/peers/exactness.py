"""The largest errors of one library on the inputs of docs/exactness.md: what tests/peers/exactness runs.
Prints rows of its two tables."""
import argparse
import math
import sys
import warnings

import numpy as np

from exactness_norms import EPS, NORMS


def rows_about(mean, rows, columns):
    return (mean + np.random.default_rng(columns + int(mean)).standard_normal((rows, columns))).astype("f4")


def halves(low, high):
    random = np.random.default_rng(high)
    signs = random.choice([-1, 1], (64, 768))
    return (signs * random.uniform(low, high, (64, 768))).astype("f2")


CONSTANTS = [0.1, -3.3, 1000.1, 12345.678, 1e7, 3e-5, 1e12, 0]
INPUTS = ([rows_about(mean, 64, columns) for columns in (768, 4096) for mean in (0, 1e3, 1e5, 1e7)] +
          [halves(150, 450), halves(10000, 30000),
           np.repeat(np.array(CONSTANTS, "f4")[:, None], 768, axis=1), rows_about(0, 64, 1),
           rows_about(0, 4, 65537), rows_about(1e5, 4, 65537)])


def oracle(x, rms):
    x = x.astype("f8")
    if not rms:
        x = x - x.mean(axis=1, keepdims=True)
        x = x - x.mean(axis=1, keepdims=True)  # what the first mean was off by
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + EPS)


def error(y, x, rms):
    """In units of 2^-23 of max(1, |y|), or in places of the halves."""
    want = oracle(x, rms)
    if y.dtype != x.dtype or not np.all(np.isfinite(y)):
        return math.nan
    off = np.abs(y.astype("f8") - want)
    if x.dtype == np.float32:
        return np.max(off / np.maximum(1, np.abs(want))) * 2**23
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(want), 2.0**-14))), -14)
    return np.max(off / 2.0**(exponent - 10))


def figure(value):
    """As the document has it: bold from an error of the spread itself on."""
    if math.isnan(value):
        return "**NaN**"
    text = f"{value:.2f}" if value < 100 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"**{text}**" if value >= 2**22 else text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=NORMS)
    parser.add_argument("build", help="of anynorm, the build folder")
    parser.add_argument("devices", nargs="*", help="anynorm's (default: the best found)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments = (options.build, options.devices) if options.library == "anynorm" else ()
    for name, rms, function in NORMS[options.library](*arguments):
        figures = []
        for x in INPUTS:
            try:
                figures.append(figure(error(function(x), x, rms)))
            except Exception as failure:  # what a library does not offer
                figures.append("n/a")
                print(f"{name}: {str(failure).splitlines()[0]}", file=sys.stderr)
        print(f"{'RMSNorm  ' if rms else 'LayerNorm'} | {name} | {' | '.join(figures)} |", flush=True)


main()
