"""The type of each file: bf16, which numpy has not, beside others."""
import numpy as np
import pytest
from support import assert_close, assert_error, family, from_bf16, safetensors_bytes, to_bf16

SHAPES = {"weight": 8, "bias": 8, "pre-bias": 8, "residual": (6, 8), "gate": (2, 8),
          "scale": (2, 8), "shift": (2, 8), "mean": 6, "rstd": 6}
F64 = pytest.mark.needs_f64


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, (6, 8))


def beside(option):
    """What else must be given with an option."""
    return {"gate": ["residual"], "mean": ["rstd"], "rstd": ["mean"]}.get(option, [])


@pytest.mark.parametrize("option", SHAPES)
@pytest.mark.parametrize("kind", ["f2", "f4", pytest.param("f8", marks=F64)])
@pytest.mark.parametrize("form", ["V2", "i2:bf16", ">u2:bf16", "u2 --dtype"])
def test_bf16_beside_others(norm, save, random, x, option, kind, form):
    """Each option's file, however it is said to be bf16, while x is of another type."""
    bits = to_bf16(random.normal(size=SHAPES[option]))
    descr, _, word = form.replace(" --dtype", "").partition(":")
    stored = bits.astype(descr) if descr == ">u2" else bits.view(descr)
    arrays = {option.replace("-", "_"): from_bf16(bits)}
    options = [f"--{option}", f"{save(option, stored)}{':' * bool(word)}{word}"]
    for other in beside(option):
        arrays[other] = random.normal(size=SHAPES[other]).astype("f4")
        options += [f"--{other}", save(other, arrays[other])]
    if "--dtype" in form:
        options += ["--dtype", "bf16"]
    stored = x.astype(kind)
    y = norm("layer-norm", save("x", stored), *options)
    assert y.dtype == kind
    want = family(stored, **arrays)[0]
    assert_close(y, want, "f4" if kind == "f8" else kind, scale=10)


@pytest.mark.parametrize("form", ["V2", "u2:bf16"])
def test_bf16_without_another_word(norm, save, x, form):
    descr, _, word = form.partition(":")
    bits = to_bf16(x)
    y = norm("layer-norm", f"{save('x', bits.view(descr))}{':' * bool(word)}{word}")
    assert y.dtype == "u2"
    assert_close(from_bf16(y), family(from_bf16(bits))[0], "bf16")


def test_bf16_of_x_is_that_of_all(norm, save, tmp_path, random, x):
    bits, weight = to_bf16(x), to_bf16(random.normal(size=8))
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes({"x": bits}))
    for source in (tmp_path / "m.safetensors:x", save("x", bits.view("V2"))):
        y = norm("layer-norm", source, "--weight", save("w", weight))
        assert_close(from_bf16(y), family(from_bf16(bits), weight=from_bf16(weight))[0], "bf16",
                     scale=10)


@pytest.mark.parametrize("kind,name", [("f2", "f16"), ("f4", "f32"),
                                       pytest.param("f8", "f64", marks=F64)])
def test_types_that_are_right(norm, save, x, kind, name):
    stored = x.astype(kind)
    y = norm("layer-norm", f"{save('x', stored)}:{name}", "--weight",
             f"{save('w', stored[0])}:{name}", "--dtype", name)
    assert_close(y, family(stored, weight=stored[0])[0], "f4" if kind == "f8" else kind, scale=20)


@pytest.mark.parametrize("option", SHAPES)
@pytest.mark.parametrize("kind,word,words", [
    ("f4", "bf16", ["f4", "no bf16"]), ("f2", "bf16", ["f2", "no bf16"]),
    ("V2", "f16", ["V2", "no f16"]), ("u2", "f16", ["u2", "FILE.npy:bf16", "--dtype bf16"]),
    ("u2", "", ["'' of a npy file", "bf16, f16, f32 or f64"]), ("f4", "f64", ["f4", "no f64"]),
    ("f4", "f4", ["'f4' of a npy file", "bf16, f16, f32 or f64"]),
    ("f4", "i8", ["'i8' of a npy file"])])
def test_types_that_are_wrong(run, save, tmp_path, x, option, kind, word, words):
    save("x", x.astype("f4"))
    options = [f"--{option}", f"{save(option, np.zeros(SHAPES[option], 'u2').view(kind))}:{word}"
               if kind[1] == "2" else
               f"{save(option, np.zeros(SHAPES[option], kind))}:{word}"]
    for other in beside(option):
        options += [f"--{other}", save(other, np.ones(SHAPES[other], "f4"))]
    assert_error(run("layer-norm", "x.npy", "-o", "y.npy", *options), 2, f"{option}.npy", *words)
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_integers_are_not_guessed(run, save, x, kind):
    save("w", np.ones(8, kind))
    assert_error(run("layer-norm", save("x", x.astype("f4")), "--weight", "w.npy"), 2, "w.npy: ",
                 kind, "FILE.npy:bf16", "--dtype bf16")


def test_bf16_of_no_file(run, save, x):
    """--dtype bf16 is about all files, but there must be one that it is about."""
    path, weight = save("x", x.astype("f4")), save("w", np.ones(8, "f2"))
    assert_error(run("layer-norm", path, "--weight", weight, "--dtype", "bf16"), 2, "x.npy: ", "f4",
                 "--dtype")


def test_colons_in_names(run, save, tmp_path, x):
    """A colon is a type's behind .npy only, and in no folder's name."""
    path = save("x", x.astype("f4"))
    (tmp_path / "a.npy:bf16").mkdir()
    for name in ("a.npy:bf16/x.npy", "x:bf16", "x.npy.old:f32", "a:b.npy"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert run("layer-norm", name, "-o", "y").returncode == 0
    assert_error(run("layer-norm", "no.npy:bf16"), 2, "no.npy: ", "No such file")
