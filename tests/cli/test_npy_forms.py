"""Every form of a npy file that must be read."""
import numpy as np
import pytest
from support import assert_close, expected, from_bf16, npy_bytes, to_bf16

F64 = pytest.mark.needs_f64
TYPES = ["<f2", ">f2", "<f4", ">f4", pytest.param("<f8", marks=F64), pytest.param(">f8", marks=F64)]
DICTIONARY = "'descr': '<f4', 'fortran_order': False, 'shape': (3, 5)"


@pytest.fixture
def x(random):
    return random.normal(2.0, 3.0, (3, 5)).astype("<f4")


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", TYPES)
def test_versions_orders_types(layer_norm, save, random, kind, order, version):
    x = random.normal(2.0, 3.0, (4, 3, 5)).astype(kind)
    y = layer_norm(save("x", npy_bytes(x, version, order=order)))
    assert y.dtype == x.dtype.newbyteorder("<")
    assert_close(y, expected(x)[0], kind[1:])


@pytest.mark.parametrize("shape", [(7, 1), (1, 7), (2, 3, 4, 5), (2, 1, 3, 1, 2), (9,)])
@pytest.mark.parametrize("axis", [0, -1])
def test_fortran_shapes(layer_norm, save, random, shape, axis):
    x = np.asfortranarray(random.normal(2.0, 3.0, shape).astype(">f4"))
    y = layer_norm(save("x", npy_bytes(x, order="F")), "--axis", axis)
    assert_close(y, expected(x, axis)[0], "f4")


@pytest.mark.parametrize("descr", ["<u2", ">u2", "<i2", ">i2", "|V2", "<V2", "u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_bf16(layer_norm, save, random, descr, order):
    x = to_bf16(random.normal(2.0, 3.0, (6, 8)))
    text = "{'descr': '%s', 'fortran_order': %s, 'shape': (6, 8), }" % (descr, order == "F")
    stored = x.astype(">u2") if descr[0] == ">" else x
    y = layer_norm(save("x", npy_bytes(stored, 1, text, order)), "--dtype", "bf16")
    assert y.dtype == np.dtype("<u2")
    assert_close(from_bf16(y), expected(from_bf16(x))[0], "bf16")


def test_bf16_output_can_be_read_again(run, layer_norm, save, random, tmp_path):
    layer_norm(save("x", to_bf16(random.normal(size=(6, 8)))), "--dtype", "bf16")
    assert run("layer-norm", "y.npy", "--dtype", "bf16", "-o", "z.npy").returncode == 0
    assert np.load(tmp_path / "z.npy").shape == (6, 8)


@pytest.mark.parametrize("text", [
    "{%s}" % DICTIONARY,
    "{%s, }" % DICTIONARY,
    "{%s,}\n" % DICTIONARY,
    "{%s}" % DICTIONARY.replace("'", '"'),
    "{%s}" % DICTIONARY.replace(" ", ""),
    "  {%s}  \t\r\n " % DICTIONARY.replace(" ", " \n\t "),
    "{'shape': (3L, 5L), 'descr': '<f4', 'fortran_order': False}",
    "{'fortran_order': False, 'shape': (3, 5,), 'descr': 'f4'}",
    "{%s}" % DICTIONARY.replace("<f4", "=f4"),
    "{%s}" % DICTIONARY.replace("<f4", "|f4"),
])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_dictionaries(layer_norm, save, x, text, version):
    if not np.little_endian and "<" not in text:
        x = x.astype(">f4")
    y = layer_norm(save("x", npy_bytes(x, version, text)))
    assert_close(y, expected(x)[0], "f4")


@pytest.mark.parametrize("padding", range(9))
def test_data_at_any_byte(layer_norm, save, x, padding):
    text = "{%s}" % DICTIONARY + " " * padding
    w = npy_bytes(np.arange(5, dtype="<f4"), 1, "{'descr': '<f4', 'fortran_order': False, "
                  "'shape': (5,)}" + " " * padding)
    y = layer_norm(save("x", npy_bytes(x, 1, text)), "--weight", save("w", w))
    assert_close(y, expected(x, weight=np.arange(5))[0], "f4", scale=5)


def test_long_head(layer_norm, save, x):
    y = layer_norm(save("x", npy_bytes(x, 2, "{%s}" % DICTIONARY + " " * 100000)))
    assert_close(y, expected(x)[0], "f4")


def test_head_as_numpy_writes_it(layer_norm, save, x, tmp_path):
    layer_norm(save("x", x))
    np.save(tmp_path / "numpy.npy", np.load(tmp_path / "y.npy"))
    written = (tmp_path / "y.npy").read_bytes()
    assert written[:8] == b"\x93NUMPY\x01\x00"
    assert (10 + int.from_bytes(written[8:10], "little")) % 64 == 0
    assert written == (tmp_path / "numpy.npy").read_bytes()
