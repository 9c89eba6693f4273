"""Options and shapes of the norm family that do not go together: exit status 2 and one line."""
import os

import numpy as np
import pytest
from support import assert_error

ROWS = ["layer-norm", "rms-norm"]


@pytest.fixture
def refused(refuse):
    """refused(command, x's shape, {option: shape, value or None}, words...)"""
    return lambda command, shape, options, *words: refuse(command, ["-o", "y.npy"], shape, options,
                                                          *words)


@pytest.mark.parametrize("options,words", [
    ({"gate": (1, 4)}, ["--gate: ", "--residual"]),
    ({"weight-offset": 1}, ["--weight-offset: ", "--weight too"]),
    ({"eps-mode": "both"}, ["--eps-mode: ", "inside, outside, floor"]),
    ({"activation": "gelu"}, ["--activation: ", "none, silu"]),
    ({"output-dtype": "int8"}, ["--output-dtype: ", "bf16, f16, f32, f64"]),
    ({"weight": (4,), "weight-offset": "nan"}, ["--weight-offset: "]),
    ({"eps": -1}, ["--eps: ", "negative"]),
])
@pytest.mark.parametrize("command", ROWS)
def test_options(refused, command, options, words):
    refused(command, (3, 4), options, *words)


@pytest.mark.parametrize("correction", ["2", "-1", "yes", "0.5"])
def test_correction(refused, correction):
    refused("layer-norm", (3, 4), {"correction": correction}, "--correction: ")


def test_l2_with_rstd(refused):
    refused("rms-norm", (3, 4), {"rstd": (3,), "l2": None}, "--l2: ")


def test_correction_of_one_column(refused):
    refused("layer-norm", (3, 1), {"correction": 1}, "--correction: ", "2 elements or more")


@pytest.mark.parametrize("options,words", [
    ({"mean": (3,)}, ["--mean: ", "--rstd"]),
    ({"rstd": (3,)}, ["--rstd: ", "--mean"]),
    ({"mean": (3,), "rstd": (3,), "eps": 0}, ["--eps: ", "--rstd"]),
    ({"mean": (3,), "rstd": (3,), "eps-mode": "outside"}, ["--eps-mode: ", "--rstd"]),
    ({"mean": (3,), "rstd": (3,), "correction": 1}, ["--correction: ", "--rstd"]),
    ({"mean": (3,), "rstd": (3,), "mean-output": "m.npy"}, ["--mean-output: ", "--mean "]),
    ({"mean": (3,), "rstd": (3,), "rstd-output": "r.npy"}, ["--rstd-output: ", "--rstd "]),
    ({"mean": (4,), "rstd": (3,)}, ["mean.npy: ", "(4,)", "--mean", "(3,)"]),
    ({"mean": (3,), "rstd": (3, 4)}, ["rstd.npy: ", "(3, 4)", "--rstd", "(3,)"]),
    ({"mean": (3,), "rstd": (1, 3)}, ["rstd.npy: ", "(1, 3)"]),
])
def test_given_statistics(refused, options, words):
    refused("layer-norm", (3, 4), options, *words)


@pytest.mark.parametrize("shape", [(3,), (12,), (4, 3), (2, 4), (1, 3, 4)])
def test_residual(refused, shape):
    for command in ROWS:
        refused(command, (3, 4), {"residual": shape}, "residual.npy: ", "--residual", str(shape),
                "(3, 4)")


@pytest.mark.parametrize("option", ["gate", "scale", "shift"])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (4, 6), (2, 4, 1), (24,), (1, 6, 4)])
def test_sample_shapes(refused, option, shape):
    options = {"residual": (6, 4), option: shape}
    refused("layer-norm", (6, 4), options, f"{option}.npy: ", f"--{option}", str(shape),
            "(samples, 4)")


@pytest.mark.parametrize("samples", [4, 5, 12, 0])
def test_sample_counts(refused, samples):
    refused("layer-norm", (6, 4), {"shift": (samples, 4)}, "shift.npy: ", f"{samples} samples",
            "6 rows")


@pytest.mark.parametrize("option", ["weight", "bias", "pre-bias"])
def test_parameter_shapes_of_channels(refused, option):
    for shape in ((12,), (6, 2), (1, 6)):
        refused("group-norm", (2, 6, 2), {"groups": 3, option: shape}, f"{option}.npy: ",
                f"--{option}", "(6,)")
        refused("instance-norm", (2, 6, 2), {option: shape}, f"{option}.npy: ", "(6,)")


def test_groups(refused):
    refused("group-norm", (2, 6, 2), {}, "--groups: ", "missing")
    for groups in (0, -1, "two", ""):
        refused("group-norm", (2, 6, 2), {"groups": groups}, "--groups: ")
    for groups in (4, 12, 1 << 62):
        refused("group-norm", (2, 6, 2), {"groups": groups}, "--groups: ", f"{groups} does not",
                "6 channels", "x.npy")


@pytest.mark.parametrize("command,options", [("group-norm", {"groups": 2}), ("instance-norm", {})])
def test_channels(refused, command, options):
    refused(command, (6,), options, "x.npy: ", "(6,)", "channels")
    refused(command, (2, 0, 4), options, "x.npy: ", "(2, 0, 4)", "channels")
    refused(command, (2, 6, 0), options, "x.npy: ", "0 elements")
    refused(command, (), options, "x.npy: ", "single number")
    for layout in ("chw", "NHWC", ""):
        refused(command, (2, 6, 2), {**options, "layout": layout}, "--layout: ", "nchw, nhwc")
    refused(command, (2, 6, 2), {**options, "mean": (12,), "rstd": (6,)}, ".npy: ", "(2, ")


@pytest.mark.parametrize("command,options", [("group-norm", {"groups": 2}), ("instance-norm", {})])
def test_channels_last(refused, command, options):
    options = {**options, "layout": "nhwc"}
    refused(command, (6,), options, "x.npy: ", "(6,)", "channels", "(batch, ..., channels)")
    refused(command, (2, 4, 0), options, "x.npy: ", "(2, 4, 0)", "channels")
    refused(command, (2, 0, 6), options, "x.npy: ", "0 elements")
    refused(command, (2, 3, 6), {**options, "weight": (3,)}, "weight.npy: ", "(6,)")
    refused(command, (2, 3, 6), {**options, "mean": (5,), "rstd": (6,)}, ".npy: ", "(2, ")


def test_groups_of_channels_last(refused):
    refused("group-norm", (2, 6, 4), {"groups": 3, "layout": "nhwc"}, "--groups: ",
            "3 does not divide the 4 channels")


@pytest.mark.parametrize("command", ["layer-norm", "rms-norm"])
def test_layout_of_rows(run, save, command):
    result = run(command, save("x", np.ones((2, 4), "f4")), "--layout", "nhwc")
    assert result.returncode == 2 and "layout" in result.stderr


@pytest.mark.parametrize("option", ["weight", "bias", "pre-bias", "residual", "gate", "scale",
                                    "shift", "mean", "rstd"])
def test_files_that_are_not_there(run, save, option):
    ones = save("ones", np.ones((1, 4), "f4"))
    one = save("one", np.ones(1, "f4"))
    others = {"gate": ["--residual", ones], "mean": ["--rstd", one], "rstd": ["--mean", one]}
    for name, told in (("no.npy", "no.npy: "), ("no.safetensors:a", "no.safetensors: ")):
        assert_error(run("layer-norm", ones, f"--{option}", name, *others.get(option, [])), 2, told,
                     "No such file")


def test_two_outputs_in_one_file(run, save, tmp_path):
    x = save("x", np.ones((3, 4), "f4"))
    assert_error(run("rms-norm", x, "-o", "y.npy", "--sum-output", "./y.npy"), 2, "-o",
                 "--sum-output")
    assert os.listdir(tmp_path) == ["x.npy"]
