#!/usr/bin/env python3
"""That each f32 or f64 division of OpenCL kernels goes through QUOTIENT, which tests make inexact: with that
made a product clang finds no division left, constants apart. test_quotients.py KERNELS"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

KERNELS = pathlib.Path(sys.argv[1])
PLAIN = "#define QUOTIENT(a, b) ((a) / (b))\n"
CLANG = shutil.which("clang")
if not CLANG:
    print("skipped: quotients (no clang)")
    sys.exit(77)

USUAL = """X_TYPE=0 Y_TYPE=0 P_TYPE=0 R_TYPE=0 S_TYPE=0 ANY_ALIGNMENT=0 TWO_LEVELS=1 HAS_WEIGHT=1 HAS_BIAS=1
    HAS_MEAN=1 HAS_RSTD=1 VECTOR=4 ACC_DOUBLE=0"""
SCHEDULES = {
    "row_per_item": "ROWS=4 VECTOR=16",
    "row_per_group": "GROUP=64 ROWS=1 HELD=2 PRELOAD=1 REDUCE=1 SUBGROUP=1 SHUFFLE=0",
    "row_split": "GROUP=64 SEGMENT=1024 SEGMENTS=128",
    "column_walk": "GROUP=64 SLICES=4 HELD=1",
}
# What makes an #if of the kernels take another way to divide; the first two in each schedule, the others in
# one, as they are of files that all share.
FAMILY = ["UNBIASED=1 EPS_OUTSIDE=1 SILU=1", "RMS=1 EPS_FLOOR=1 EPS_INVERSE=1", "PARTIALS_INPUT=1 UNBIASED=1",
          "Y_TYPE=4 Y_SCALE_OUTPUT=1 HAS_Y_SCALE=1", "Y_TYPE=5 HAS_Y_SCALE=1 ACC_DOUBLE=1 X_TYPE=3",
          "PARTIALS_OUTPUT=1"]


def divisions(folder, schedule, words):
    options = dict(word.split("=") for word in f"{USUAL} {SCHEDULES[schedule]} {words}".split())
    done = subprocess.run(
        [CLANG, "-w", "-x", "cl", "-cl-std=CL1.2", "-target", "spir64", "-O0", "-emit-llvm", "-S", "-o", "-",
         "-I", folder, *(f"-D{name}={value}" for name, value in options.items()),
         folder / "opencl" / f"{schedule}.cl"], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr)
    return len(re.findall(r"\bfdiv\b", done.stdout))


class Test(unittest.TestCase):
    def test_all_are_quotients(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name, "kernels")
            shutil.copytree(KERNELS, folder)
            file = folder / "opencl" / "arithmetic.clh"
            text = file.read_text(encoding="utf-8")
            self.assertEqual(text.count(PLAIN), 1)
            for schedule in SCHEDULES:
                file.write_text(text, encoding="utf-8")
                self.assertGreater(divisions(folder, schedule, FAMILY[0]), 0)
                file.write_text(text.replace(PLAIN, "#define QUOTIENT(a, b) ((a) * (b))\n"),
                                encoding="utf-8")
                for words in FAMILY if schedule == "row_per_item" else FAMILY[:2]:
                    self.assertEqual(divisions(folder, schedule, words), 0, f"{schedule} {words}")


unittest.main(argv=sys.argv[:1], verbosity=0)
