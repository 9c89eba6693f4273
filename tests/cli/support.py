"""What the tests of the program share: making npy files, expected values, checks."""
import numpy as np

# What bf16 carries of a float32.
BF16_SHIFT = np.uint32(16)


def npy_bytes(array, version=1, text=None, order="C"):
    """A npy file by hand. `text` replaces the dictionary; nothing is padded."""
    if text is None:
        text = "{'descr': %r, 'fortran_order': %s, 'shape': %r}" % (
            array.dtype.str, order == "F", array.shape)
    head = text.encode("utf8" if version == 3 else "latin1")
    size = len(head).to_bytes(2 if version == 1 else 4, "little")
    return (b"\x93NUMPY" + bytes([version, 0]) + size + head + array.tobytes(order))


def to_bf16(values):
    """Rounded to nearest even, as uint16 bits."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> BF16_SHIFT) & np.uint32(1)
    return ((bits + np.uint32(0x7fff) + odd) >> BF16_SHIFT).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << BF16_SHIFT).view(np.float32)


def expected(x, axis=-1, weight=None, bias=None, eps=1e-5):
    """(y, mean, rstd) in double; weight and bias have the normalized shape or are flat."""
    x = np.asarray(x, dtype=np.float64)
    axis %= x.ndim
    rows = x.reshape(x.shape[:axis] + (-1,))
    mean = rows.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(rows.var(axis=-1, keepdims=True) + eps)
    y = (rows - mean) * rstd
    if weight is not None:
        y = y * np.asarray(weight, dtype=np.float64).ravel()
    if bias is not None:
        y = y + np.asarray(bias, dtype=np.float64).ravel()
    return y.reshape(x.shape), mean[..., 0], rstd[..., 0]


# Relative: half a unit in the last place and a tenth, or 8 units of f4. Absolute, for values around
# 1: 8 units of the arithmetic.
TOLERANCE = {"f4": (1e-6, 1e-6), "f8": (1e-13, 1e-13), "f2": (2.0**-11 * 1.2, 1e-6),
             "bf16": (2.0**-8 * 1.2, 1e-6)}


def assert_close(have, want, kind, scale=1):
    """`scale` is the size of the terms that were added up, where they may cancel."""
    relative, absolute = TOLERANCE[kind]
    absolute *= scale
    np.testing.assert_allclose(np.asarray(have, dtype=np.float64), want, rtol=relative,
                               atol=absolute)


def assert_error(result, status, *words):
    """One line on stderr that holds the words, nothing on stdout."""
    assert result.returncode == status, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("anynorm: ")
    for word in words:
        assert str(word) in lines[0]
