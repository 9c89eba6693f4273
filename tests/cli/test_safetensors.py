"""Tensors of safetensors files: those that are read, and every way in which a file is wrong."""
import json

import numpy as np
import pytest
from support import (assert_close, assert_error, expected, from_bf16, safetensors_bytes,
                     safetensors_raw, to_bf16)

X = np.arange(12, dtype="<f4").reshape(3, 4)
KINDS = ["F32", "F16", "BF16", pytest.param("F64", marks=pytest.mark.needs_f64)]
NUMPY = {"F32": "f4", "F16": "f2", "BF16": "bf16", "F64": "f8"}


@pytest.fixture
def put(tmp_path):
    """put(content) writes model.safetensors; returns its path."""
    def call(content):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        return path
    return call


@pytest.fixture
def refused(run, put, tmp_path):
    """refused(content, words...): tensor x of such a file is refused."""
    def call(content, *words, name="x"):
        put(content)
        assert_error(run("layer-norm", f"model.safetensors:{name}", "-o", "y.npy"), 2,
                     "model.safetensors:", *words)
        assert not (tmp_path / "y.npy").exists()
    return call


def entry(kind="F32", shape=(3, 4), offsets=(0, 48)):
    return {"dtype": kind, "shape": list(shape), "data_offsets": list(offsets)}


def stored(values, kind):
    """(what the file holds, its values in double)"""
    if kind == "BF16":
        bits = to_bf16(values)
        return bits, from_bf16(bits)
    return (values.astype(NUMPY[kind]),) * 2


@pytest.mark.parametrize("kind", KINDS)
def test_types(run, put, tmp_path, random, kind):
    x, values = stored(random.normal(2.0, 3.0, (4, 3, 5)), kind)
    path = put(safetensors_bytes({"a": np.ones(3, "f4"), "model.x": x, "z": np.ones((), "f8")}))
    result = run("layer-norm", f"{path}:model.x", "-o", "y.npy")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == x.dtype
    assert_close(from_bf16(y) if kind == "BF16" else y, expected(values)[0], NUMPY[kind])


def test_parameters(layer_norm, save, put, random):
    x = random.normal(size=(5, 12)).astype("f4")
    w, w_values = stored(random.normal(size=12), "BF16")
    b = random.normal(size=12).astype("f4")
    path = put(safetensors_bytes({"norm.weight": w, "norm.bias": b}))
    y = layer_norm(save("x", x), "--weight", f"{path}:norm.weight", "--bias", f"{path}:norm.bias")
    assert_close(y, expected(x, weight=w_values, bias=b)[0], "f4", scale=10)


def test_input_and_output_in_blocks(layer_norm, put, random):
    x = random.normal(size=(101, 7)).astype("f4")
    path = put(safetensors_bytes({"odd": np.ones(1, "u2"), "x": x}))
    assert_close(layer_norm(f"{path}:x", "--block-bytes", 100), expected(x)[0], "f4")


def test_dtype_is_demanded(run, put):
    path = put(safetensors_bytes({"x": X}))
    assert run("layer-norm", f"{path}:x", "--dtype", "f32").returncode == 0
    assert_error(run("layer-norm", f"{path}:x", "--dtype", "bf16"), 2, "F32", "bf16")


@pytest.mark.parametrize("name,key", [
    ("a b", "a b"), ("x:y", "x:y"), ("", ""), ("é😀", "é😀"),
    ("é😀", "\\u00e9\\ud83d\\uDe00"), ("x", "\\u0078"),
    ('q"\\/', 'q\\"\\\\\\/'), ("a.safetensors:b", "a.safetensors:b")])
def test_names(layer_norm, put, name, key):
    path = put(safetensors_raw(b'{"%s":%s}' % (key.encode(), json.dumps(entry()).encode()),
                               X.tobytes()))
    assert_close(layer_norm(f"{path}:{name}"), expected(X)[0], "f4")


@pytest.mark.parametrize("header", [
    b'{"x":{"data_offsets":[0,48],"shape":[3,4],"dtype":"F32"}}',
    b' {"x":{"data_offsets":[0,48],"shape":[3,4],"dtype":"F32"}}'[1:] + b" " * 77,
    b'{ \t\r\n"x" : {"shape" : [ 3 , 4 ] , "dtype" : "F32" ,\n"data_offsets" : [ 0 , 48 ] } }',
    b'{"__metadata__":{},"x":{"shape":[3,4],"dtype":"F32","data_offsets":[0,48]}}',
    b'{"x":{"shape":[3,4],"dtype":"F32","data_offsets":[0,48]},"__metadata__":{"a":"\\n","b":""}}',
    b'{"x":{"shape":[3,4],"dtype":"\\u004632","data_offsets":[0,48]}}',
    b'{"e":{"shape":[9,0],"dtype":"I8","data_offsets":[48,48]},"f":{"shape":[0],"dtype":"F4",'
    b'"data_offsets":[0,0]},"x":{"shape":[3,4],"dtype":"F32","data_offsets":[0,48]}}',
])
def test_headers(layer_norm, put, header):
    assert_close(layer_norm(f"{put(safetensors_raw(header, X.tobytes()))}:x"), expected(X)[0], "f4")


def test_order_of_entries_is_free(layer_norm, put):
    header = {"x": entry(offsets=(8, 56)), "b": entry("I64", (1,), (0, 8))}
    path = put(safetensors_raw(header, bytes(8) + X.tobytes()))
    assert_close(layer_norm(f"{path}:x"), expected(X)[0], "f4")


SIZES = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
         "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64,
         "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


@pytest.mark.parametrize("kind", SIZES)
def test_other_types_beside_and_asked_for(run, layer_norm, put, kind):
    size = 12 * SIZES[kind] // 8
    header = {"other": entry(kind, (12,), (0, size)), "x": entry(offsets=(size, size + 48))}
    path = put(safetensors_raw(header, bytes(size) + X.tobytes()))
    assert_close(layer_norm(f"{path}:x"), expected(X)[0], "f4")
    assert_error(run("layer-norm", f"{path}:other"), 2, "'other'", kind, "not served", "BF16")


def test_missing_name(refused):
    one = safetensors_bytes({"weight": X, "bias": X})
    refused(one, "no tensor 'x'", "there are 2: weight, bias")
    refused(one, "no tensor ''", name="")
    refused(safetensors_bytes({f"t{i}": X for i in range(9)}), "9: t0, t1, t2, t3, t4, ...")
    refused(safetensors_bytes({}), "there are 0: none")
    refused(safetensors_bytes({"x": X}, {"a": "b"}), "no tensor '__metadata__'",
            name="__metadata__")
    refused(safetensors_bytes({"n" * 5000: X}), "n" * 80)


def test_no_name(run, put):
    put(safetensors_bytes({"a.b": X}))
    assert_error(run("layer-norm", "model.safetensors"), 2, "model.safetensors: ",
                 "FILE.safetensors:NAME", "a.b")
    put(safetensors_bytes({f"t{i}": X for i in range(9)}))
    assert_error(run("layer-norm", "model.safetensors"), 2, "9: t0, t1, t2, t3, t4, ...")


def test_no_file(run, save, tmp_path):
    assert_error(run("layer-norm", "model.safetensors:x"), 2, "model.safetensors: ", "No such file")
    (tmp_path / "model.safetensors").mkdir()
    assert_error(run("layer-norm", "model.safetensors:x"), 2, "model.safetensors: ", "folder")
    assert_error(run("layer-norm", save("x", X), "--bias", "model.safetensors:x"), 2, "folder")


def test_shapes_that_cannot_be_normalized(refused):
    refused(safetensors_bytes({"x": np.ones((), "f4")}), "single number")
    refused(safetensors_bytes({"x": np.ones((3, 0), "f4")}), "0 elements")
    refused(safetensors_raw({"x": entry(shape=[1] * 17, offsets=(0, 4))}, bytes(4)), "16 axes")


@pytest.mark.parametrize("size", range(8))
def test_cut_length(refused, size):
    refused(bytes(size), "cut" if size else "empty")


@pytest.mark.parametrize("missing", [1, 47])
def test_cut(refused, missing):
    refused(safetensors_bytes({"x": X})[:-missing], "'x' ends at byte 48", f"{48 - missing}", "cut")


@pytest.mark.parametrize("length", [49, 100000000])
def test_header_past_the_end(refused, length):
    refused(length.to_bytes(8, "little") + b"{}" + bytes(46), f"{length} bytes", "past the end")


@pytest.mark.parametrize("length", [100000001, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_header_too_long(refused, length):
    refused(length.to_bytes(8, "little") + bytes(48), f"{length} bytes", "100000000 at most")


def test_header_too_long_that_is_there(refused, put):
    path = put(b"")
    with open(path, "wb") as file:
        file.truncate(100000009)  # a hole
        file.write((100000001).to_bytes(8, "little"))
    content = path.read_bytes()
    refused(content, "100000000 at most")


def test_npy_by_that_name(refused, save):
    refused(save("x", X).read_bytes(), "safetensors")


def test_data_behind_the_last(refused):
    refused(safetensors_bytes({"x": X}) + b"\0", "1 bytes at its end belong to no tensor")
    refused(safetensors_raw({}, bytes(3)), "3 bytes at its end")


@pytest.mark.parametrize("offsets,words", [
    ([(0, 48), (44, 92)], ["overlap", "'a'", "'x'"]),
    ([(0, 48), (0, 48)], ["overlap"]),
    ([(44, 92), (0, 48)], ["overlap"]),
    ([(0, 48), (50, 98)], ["hole of 2 bytes before", "'x'"]),
    ([(1, 49), (49, 97)], ["hole of 1 bytes before", "'a'"]),
    ([(0, 48), (48, 97)], ["'x' needs 48 bytes", "has 49"]),
    ([(0, 48), (96, 48)], ["backwards"]),
    ([(0, 48), (1 << 63, (1 << 63) + 48)], [str((1 << 63) + 48)]),
    ([(0, 48), ((1 << 64) - 49, (1 << 64) - 1)], ["ends at byte"]),
    ([(0, 48), (48, 1 << 64)], ["malformed"]),
])
def test_places(refused, offsets, words):
    header = {"a": entry(offsets=offsets[0]), "x": entry(offsets=offsets[1])}
    size = max(max(pair) for pair in offsets)
    refused(safetensors_raw(header, bytes(size if size < 100 else 96)), *words)


def test_empty_tensor_inside_another(refused):
    header = {"e": entry(shape=[0], offsets=(4, 4)), "x": entry()}
    refused(safetensors_raw(header, bytes(48)), "overlap")


@pytest.mark.parametrize("shape", [
    [1 << 32, 1 << 32], [(1 << 64) - 1, 2], [0, 1 << 63, 4], [1 << 62, 4, 0], [1 << 16] * 4,
    [1 << 61], [1 << 60, 1]])
def test_overflowing_shapes(refused, shape):
    refused(safetensors_raw({"x": entry(shape=shape)}, bytes(48)), "overflows")


@pytest.mark.parametrize("kind,shape,size", [
    ("F32", [3, 4], 47), ("F32", [3, 4], 96), ("F16", [3, 4], 48), ("F4", [3], 1), ("F4", [3], 2),
    ("F6_E2M3", [2], 1), ("F64", [], 0), ("F32", [0, 5], 4)])
def test_sizes_that_disagree(refused, kind, shape, size):
    refused(safetensors_raw({"x": entry(kind, shape, (0, size))}, bytes(size)), "'x' needs",
            f"has {size} by data_offsets")


GOOD = '"x":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}'


@pytest.mark.parametrize("text", [
    "", "[]", "null", '"x"', " {}", "\ufeff{}", "{", "{}}", "{}\n", "{}\0", "{} x", "{,}",
    '{"x"}', '{"x":}', '{"x":[]}', '{"x":null}', '{"x":{}}', "{%s,}" % GOOD, "{%s" % GOOD,
    "{%s}{}" % GOOD, '{%s "y":{}}' % GOOD, "{%s]" % GOOD, '{"\\', '{"\\u', '{"\\u0', '{"\\ud800\\',
    '{"a', "{" * 1000000, '{"x":' * 100000, "[" * 1000000,
])
def test_no_object_of_tensors(refused, text):
    refused(safetensors_raw(text.encode(), bytes(48)), "malformed")


@pytest.mark.parametrize("right,wrong", [
    ('"x"', "x"), ('"x"', "'x'"), ('"x":', '"x"'), ("]}", "],}"), ("]}", "]"), (",", " ", ),
    ("]}", '],"more":1}'), ("]}", '],"dtype":"F32"}'), ("]}", '],"shape":[12]}'),
    (',"data_offsets":[0,48]', ""), ('"shape":[3,4],', ""), ('"dtype":"F32",', ""),
    ('"F32"', "32"), ('"F32"', "null"), ('"F32"', "F32"), ("[3,4]", "12"), ("[3,4]", '["3",4]'),
    ("[3,4]", "[3,4,]"), ("[3,4]", "[,12]"), ("[3,4]", "[-3,4]"), ("[3,4]", "[03,4]"),
    ("[3,4]", "[3.0,4]"), ("[3,4]", "[3 4]"), ("[3,4]", "[1.2e1]"), ("[3,4]", "[[3],4]"),
    ("[3,4]", "[18446744073709551616]"), ("[3,4]", "[+3,4]"), ("[3,4]", "[0x3,4]"),
    ("[0,48]", "[0,48,48]"), ("[0,48]", "[48]"), ("[0,48]", "[]"), ("[0,48]", "48"),
    ("[0,48]", '["0","48"]'), ("[0,48]", "[0,-48]"), ("[0,48]", "[0,48.0]"),
    ('"x"', '"x\\u12"'), ('"x"', '"x\\ud800"'), ('"x"', '"x\\udc00"'), ('"x"', '"\\x41"'),
    ('"x"', '"\\ud800\\u0041"'), ('"x"', '"\\u00g1"'), ('"x"', '"x\n"'), ('"x"', '"x\0"'),
    ("]}", ']},"__metadata__":[]'), ("]}", ']},"__metadata__":null'),
    ("]}", ']},"__metadata__":{"a":1}'), ("]}", ']},"__metadata__":{"a":{}}'),
    ("]}", ']},"__metadata__":{"a":null}'), ("]}", ']},"__metadata__":{"a"}'),
    ("]}", ']},"__metadata__":{"a":"",}'), ("]}", ']},"__metadata__":{},"__metadata__":{}'),
])
def test_malformed(refused, right, wrong):
    refused(safetensors_raw(b"{%s}" % GOOD.replace(right, wrong, 1).encode(), bytes(48)),
            "malformed at byte")


@pytest.mark.parametrize("kind", ["f32", "F128", "", "F32 ", "float32", "I4"])
def test_types_that_the_format_does_not_have(refused, kind):
    refused(safetensors_raw({"x": entry(kind)}, bytes(48)), f"dtype '{kind}'", "F32")


@pytest.mark.parametrize("name", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                                  b"\xe2\x82", b"\x80"])
def test_names_that_are_no_utf8(refused, name):
    refused(safetensors_raw(b"{%s}" % GOOD.encode().replace(b"x", name), bytes(48)), "malformed")


@pytest.mark.parametrize("more,key", [
    ('"x":{"dtype":"F32","shape":[3,4],"data_offsets":[48,96]}', "x"),
    ('"\\u0078":{"dtype":"F32","shape":[3,4],"data_offsets":[48,96]}', "x"),
    ('"__metadata__":{"a":"1","b":"2","a":"1"}', "a"),
])
def test_keys_twice(refused, more, key):
    refused(safetensors_raw(f"{{{GOOD},{more}}}".encode(), bytes(96)), f"the key '{key}' twice")


def test_long_header(run, put):
    """Many tensors, in no order: no step of the reading takes the square of their number."""
    count = 100000
    header = {f"t{i}": entry("U8", (1,), (i, i + 1)) for i in range(count)}
    header = {name: header[name] for name in sorted(header)}
    header["x"] = entry(offsets=(count, count + 48))
    path = put(safetensors_raw(header, bytes(count + 48)))
    assert run("layer-norm", f"{path}:x", "-o", "/dev/null", timeout=20).returncode == 0
