"""Whether the rows of docs/conventions.md that name one library hold: what tests/peers/run conventions runs."""
import argparse
import importlib
import sys
import warnings

import numpy as np

from anynorm import Apart
from rows import Fact, Inputs, difference

# Of each library, the module that has its rows and their name there: a list, or a function that makes
# one.
LIBRARIES = {"torch": ("rows_torch", "PYTORCH"), "transformers": ("rows_torch", "transformers_rows"),
             "vllm": ("rows_torch", "vllm_rows"), "onnx": ("rows_onnx", "TEXT"),
             "onnxruntime": ("rows_onnx", "RUNTIME"), "openvino": ("rows_onnx", "OPENVINO"),
             "jax": ("rows_jax", "JAX"), "paddle": ("rows_others", "paddle_rows"),
             "mlx": ("rows_others", "mlx_rows"), "thinc": ("rows_others", "thinc_rows"),
             "ncnn": ("rows_others", "ncnn_rows"), "mindspore": ("rows_others", "mindspore_rows"),
             "tensorflow": ("rows_others", "tensorflow_rows"), "onednn": ("rows_others", "onednn_rows")}
OTHER_EPS = 1.3  # times the row's: where the spread is sqrt(eps), this is more than any error


def check_row(library, row, kind):
    """What was found of a row in one type, and whether it holds."""
    def ours(eps):
        return library.run(row.spec.format(t=kind, eps=eps), Inputs(kind, row.eps, row.offset).arrays())
    theirs = row.run(Inputs(kind, row.eps, row.offset))
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    mine = ours(row.eps)
    found = [difference(mine[name], array) for name, array in zip(row.outputs, theirs, strict=True)]
    text = ", ".join(map(str, found))
    if not found[0].holds(row) or not all(one.same(row) for one in found[1:]):
        return text, False
    if row.eps_shows and not row.differs and difference(ours(row.eps * OTHER_EPS)["y"], theirs[0]).holds(row):
        return f"{text}, and with {OTHER_EPS} times the eps as well", False
    return text, True


def check_fact(fact):
    found = fact.run()
    return str(found), np.array_equal(found, fact.want, equal_nan=True)


def guarded(check, *arguments):
    try:
        return check(*arguments)
    except Exception as error:  # whatever a library may raise: the row does not hold
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}", False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("build", help="the build folder, which has libanynorm.so")
    parser.add_argument("device", nargs="?", help="anynorm's (default: the best found)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    library = Apart(options.build, options.device)
    module, rows = LIBRARIES[options.library]
    rows = getattr(importlib.import_module(module), rows)
    held = []
    for row in rows() if callable(rows) else rows:
        for kind in [""] if isinstance(row, Fact) else row.types.split():
            if isinstance(row, Fact):
                name, (text, holds) = row.what, guarded(check_fact, row)
            else:
                name, (text, holds) = f"{row.call}, {kind}", guarded(check_row, library, row, kind)
            print(f"{'holds' if holds else 'FAILS'}  {name}: {text}", flush=True)
            held.append(holds)
    print(f"{options.library}: {len(held)} checked, {held.count(False)} do not hold", flush=True)
    sys.exit(0 if held and all(held) else 1)


if __name__ == "__main__":
    main()
