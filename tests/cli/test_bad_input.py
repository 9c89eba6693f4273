"""Every bad input: exit status 2, one line that names the file, no output."""
import os
import pickle
import zipfile

import numpy as np
import pytest
from support import assert_error, npy_bytes

X = np.arange(12, dtype="<f4").reshape(3, 4)


def dictionary(descr="'<f4'", order="False", shape="(3, 4)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr, order, shape)


@pytest.fixture
def refused(run, save, tmp_path):
    """refused(content, words...): x.npy of that content must be refused; its output stays away."""
    def call(content, *words, options=()):
        if content is not None:
            save("x", content)
        before = set(os.listdir(tmp_path))
        assert_error(run("layer-norm", "x.npy", "-o", "y.npy", *options), 2, "x.npy: ", *words)
        assert set(os.listdir(tmp_path)) == before
        (tmp_path / "y.npy").write_bytes(b"old")
        assert_error(run("layer-norm", "x.npy", "-o", "y.npy", *options), 2, "x.npy: ")
        assert (tmp_path / "y.npy").read_bytes() == b"old"
        assert set(os.listdir(tmp_path)) == before | {"y.npy"}
        (tmp_path / "y.npy").unlink()
    return call


def test_missing(refused):
    refused(None, "No such file")


def test_folder(refused, tmp_path):
    (tmp_path / "x.npy").mkdir()
    refused(None, "folder")


def test_pipe(refused, tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    refused(None, "no regular file")


def test_file_as_folder(run, x_file):
    assert_error(run("layer-norm", f"{x_file}/x.npy"), 2, f"{x_file}/x.npy: ")


def test_empty(refused):
    refused(b"", "empty")


@pytest.mark.parametrize("length", [1, 5, 6, 7, 8, 9, 10, 11, 60])
def test_cut_head(refused, length):
    refused(npy_bytes(X)[:length])


@pytest.mark.parametrize("missing", [1, 4, 47, 48])
def test_cut_data(refused, missing):
    refused(npy_bytes(X)[:-missing], "(3, 4)", "needs 48 bytes", f"there are {48 - missing}", "cut")


@pytest.mark.parametrize("more", [1, 4, 48])
def test_too_much_data(refused, more):
    refused(npy_bytes(X) + bytes(more), "needs 48 bytes", f"there are {48 + more}", "added")


def test_other_formats(refused, tmp_path):
    refused(b"1.0, 2.0, 3.0\n4.0, 5.0, 6.0\n", "no npy file")
    refused(pickle.dumps([1, 2, 3]), "pickle")
    refused(b"GGUF" + bytes(100), "GGUF")
    refused(b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5")
    text = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    refused(len(text).to_bytes(8, "little") + text + bytes(4), "safetensors")
    with zipfile.ZipFile(tmp_path / "x.npy", "w") as archive:
        archive.writestr("x.npy", npy_bytes(X))
    refused(None, "npz")


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (4, 0), (255, 255)])
def test_versions(refused, version):
    content = bytearray(npy_bytes(X))
    content[6:8] = bytes(version)
    refused(bytes(content), "version %d.%d" % version)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_head_past_the_end(refused, version):
    content = bytearray(npy_bytes(X, version))
    content[8:8 + (2 if version == 1 else 4)] = b"\xff" * (2 if version == 1 else 4)
    refused(bytes(content), "past the end")


@pytest.mark.parametrize("descr", ["'|O'", "'O'", "'<O8'"])
def test_objects(refused, descr):
    refused(npy_bytes(X, 1, dictionary(descr)), "Python objects")


def test_objects_as_numpy_writes_them(refused):
    refused(np.array([{"a": 1}, None], dtype=object), "Python objects")


@pytest.mark.parametrize("kind", ["<i4", "<u4", "<c8", "|b1", "|S4", "<U1", "<M8[s]", "|V4", "|i1"])
def test_other_types(refused, kind):
    refused(np.zeros((3, 4), kind), "dtype", kind[1:3], "f4")


@pytest.mark.parametrize("descr", ["'<f16'", "'<f3'", "'f'", "'<'", "''", "'<f4 '", "'<<f4'",
                                   "'float32'", "'<f-4'", "'<f99999999999'"])
def test_unknown_types(refused, descr):
    refused(npy_bytes(X, 1, dictionary(descr)))


def test_structured_types(refused):
    refused(np.zeros(3, [("a", "<f4"), ("b", "<f4")]), "structured")
    refused(npy_bytes(X, 1, dictionary("('<f4', (2,))")), "structured")


def test_bf16_must_be_asked_for(refused):
    refused(np.zeros((3, 4), "u2"), "u2", "--dtype bf16")


@pytest.mark.parametrize("kind,option", [("f2", "bf16"), ("f4", "bf16"), ("f4", "f16"),
                                         ("f8", "f32"), ("f2", "f64")])
def test_other_type_than_asked_for(refused, kind, option):
    refused(np.zeros((3, 4), kind), kind, "--dtype", option, options=["--dtype", option])


@pytest.mark.parametrize("shape", [
    "(-3, 4)", "(3, -4)", "(- 3, 4)", "(+3, 4)", "(3.0, 4)", "(3 4)", "(3,, 4)", "(, 3)", "(3, 4",
    "3, 4)", "12", "(12)", "[3, 4]", "('3', 4)", "(0x3, 4)", "(03, 4)", "(3_0, 4)", "(3, None)",
    "()()", "", "(9223372036854775808, 0)", "(99999999999999999999999, 1)",
])
def test_malformed_shapes(refused, shape):
    refused(npy_bytes(X, 1, dictionary(shape=shape)), "npy header is malformed")


@pytest.mark.parametrize("shape", [
    "(4294967296, 4294967296)", "(9223372036854775807, 2)", "(2305843009213693952, 1)",
    "(0, 9223372036854775807)", "(9223372036854775807, 0)", "(4611686018427387904, 0, 4)",
    "(65536, 65536, 65536, 65536)", "(0, 65536, 65536, 65536, 65536, 3)"])
def test_overflowing_shapes(refused, shape):
    refused(npy_bytes(X, 1, dictionary(shape=shape)), "overflows", shape)


@pytest.mark.parametrize("shape", ["(3, 5)", "(1000000, 1000000)", "(2305843009213693951,)"])
def test_more_than_there_is(refused, shape):
    refused(npy_bytes(X, 1, dictionary(shape=shape)), "needs", "there are 48")


def test_rank(refused):
    refused(npy_bytes(X, 1, dictionary(shape="(" + "1, " * 16 + "12)")), "more than 16 axes")
    refused(np.float32(1), "single number")


@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (0,)])
def test_nothing_to_normalize(refused, shape):
    refused(np.zeros(shape, "f4"), "0 elements to normalize")


@pytest.mark.parametrize("text", [
    "", " ", "{}", "{", "}", "[]", "None", "{'descr': '<f4'}", dictionary() + "x",
    dictionary() + dictionary(), dictionary() + "\0", "\0" + dictionary(), dictionary()[:-1],
    dictionary(order="0"), dictionary(order="'False'"), dictionary(order="false"),
    dictionary(order="Falsely"), dictionary(descr="<f4"), dictionary()[:12],
    dictionary(descr="'<f4\\x00'"), dictionary(descr="b'<f4'"), dictionary(descr="3"),
    dictionary(descr="'" + "f" * 500 + "'"), dictionary().replace("descr", "desc"),
    dictionary().replace(":", "", 1), dictionary().replace(",", "", 1),
    dictionary().replace(",", ",,", 1), dictionary().replace("{", "{'a': 1, "),
    dictionary().replace("{", "{'descr': '<f4', "), dictionary().replace("'shape'", "shape"),
    dictionary().replace("'shape'", "\"shape'"), dictionary() + "# comment",
])
def test_malformed_dictionaries(refused, text):
    refused(npy_bytes(X, 1, text), "npy header is malformed")


@pytest.mark.parametrize("option", ["--weight", "--bias"])
@pytest.mark.parametrize("shape", [(3,), (5,), (2, 4), (4, 3), (1, 3, 4), (0,)])
def test_parameter_shapes(run, save, option, shape, tmp_path):
    save("x", X)
    save("p", np.ones(shape, "f4"))
    result = run("layer-norm", "x.npy", option, "p.npy", "-o", "y.npy")
    assert_error(result, 2, "p.npy: ", option, str(tuple(shape)), "(4,)")
    assert sorted(os.listdir(tmp_path)) == ["p.npy", "x.npy"]


def test_parameter_shapes_of_two_axes(run, save):
    save("x", np.zeros((2, 3, 4), "f4"))
    save("p", np.ones((4, 3), "f4"))
    assert_error(run("layer-norm", "x.npy", "--axis", "1", "--weight", "p.npy"), 2, "p.npy: ",
                 "(4, 3)", "(3, 4)")


@pytest.mark.parametrize("option", ["--weight", "--bias"])
def test_bad_parameters(run, save, option, tmp_path):
    save("x", X)
    assert_error(run("layer-norm", "x.npy", option, "p.npy"), 2, "p.npy: ", "No such file")
    assert_error(run("layer-norm", "x.npy", option, tmp_path), 2, f"{tmp_path}: ", "folder")
    save("p", npy_bytes(np.ones(4, "<f4"))[:-1])
    assert_error(run("layer-norm", "x.npy", option, "p.npy"), 2, "p.npy: ", "needs 16")
    save("p", np.ones(4, "u2"))
    assert_error(run("layer-norm", "x.npy", option, "p.npy"), 2, "p.npy: ", "--dtype bf16")
    save("p", np.array([None] * 4))
    assert_error(run("layer-norm", "x.npy", option, "p.npy"), 2, "p.npy: ", "Python objects")


@pytest.mark.parametrize("name", ["new\nline.npy", "tab\t.npy", "%s%n.npy", "x" * 200 + ".npy"])
def test_names_that_print_badly(run, name):
    assert_error(run("layer-norm", name), 2, "No such file")


def test_long_names(run):
    assert_error(run("layer-norm", "a/" * 1500 + "last.npy"), 2, "last.npy: ", "No such file")
    assert_error(run("layer-norm", "b" * 5000), 2, "bbb: ", "too long")


def test_f64_on_a_device_without(run, save, device):
    if device["id"] == "reference":
        pytest.skip("the reference always has double precision")
    save("x", X.astype("f8"))
    assert_error(run("layer-norm", "x.npy", env={"ANYNORM_CAPS": "no-fp64"}), 2, device["id"])
