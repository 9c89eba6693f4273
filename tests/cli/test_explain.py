"""anynorm explain: what is in the page, and what is refused. tests/page looks at it in a browser."""
import re

import numpy as np
import pytest
from support import assert_close, assert_error, expected, numbers_of, safetensors_bytes

NORMS = {"matrix": {"layer", "rms", "batch"}, "images": {"layer", "rms", "batch", "instance", "group"}}


def rows_of(x, norm, groups):
    """x as a matrix of the norm's rows."""
    if norm == "batch":
        return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    rows = {"layer": len(x), "rms": len(x), "instance": x.shape[0] * x.shape[1], "group": x.shape[0] * groups}
    return x.reshape(rows[norm], -1)


def back(y, x, norm):
    if norm == "batch":
        y = np.moveaxis(y.reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1)
    return y.ravel()


def test_numbers(run, tmp_path):
    result = run("explain")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    found = numbers_of(tmp_path / "anynorm.html")
    assert [one["name"] for one in found["sets"]] == ["matrix", "images"]
    for one in found["sets"]:
        assert set(one["found"]) == NORMS[one["name"]]
        x = np.array(one["x"], "f8").reshape(one["samples"], one["channels"], one["height"], one["width"])
        for norm, numbers in one["found"].items():
            rows = rows_of(x, norm, one["groups"])
            y, mean, rstd = expected(rows)
            if norm == "rms":
                rstd = 1 / np.sqrt((rows * rows).mean(1) + 1e-5)
                y = rows * rstd[:, None]
            else:
                assert_close(np.array(numbers["mean"], "f4"), np.ravel(mean), "f4")
            assert numbers["rows"] == len(rows)
            assert_close(np.array(numbers["y"], "f4"), back(y, x, norm), "f4")
            assert_close(np.array(numbers["rstd"], "f4"), np.ravel(rstd), "f4")


def test_one_file_that_needs_no_network(run, tmp_path):
    run("explain", "-o", "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.findall(r"https?://|<link|src=|@import|url\(", text)
    assert "NUMBERS_OF_THE_DEVICE" not in text


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (32, 32), (2, 3, 2, 2), (1, 1, 1, 1)])
def test_input(run, save, tmp_path, random, shape):
    x = random.standard_normal(shape).astype("f4")
    assert run("explain", save("x.npy", x), "-o", "page.html").returncode == 0
    found = numbers_of(tmp_path / "page.html")["sets"]
    one = found[0 if len(shape) == 2 else 1]
    assert np.array_equal(np.array(one["x"], "f4"), x.ravel())
    assert_close(np.array(one["found"]["layer"]["y"], "f4"), expected(x.reshape(len(x), -1))[0].ravel(), "f4")


def test_input_of_other_types(run, tmp_path):
    x = np.arange(6, dtype="f8").reshape(2, 3)
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes({"t": x}))
    assert run("explain", "x.safetensors:t", "-o", "page.html").returncode == 0
    assert numbers_of(tmp_path / "page.html")["sets"][0]["x"] == list(range(6))


@pytest.mark.parametrize("shape, words", [((3,), ["1 axes"]), ((2, 2, 2), ["3 axes"]),
                                          ((33, 32), ["1056 elements", "1024"]), ((0, 3), ["0 elements"])])
def test_refused_shapes(run, save, tmp_path, shape, words):
    path = save("x.npy", np.zeros(shape, "f4"))
    assert_error(run("explain", path, "-o", "page.html"), 2, *words)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("arguments, status, words", [
    (["missing.npy"], 2, ["missing.npy"]),
    (["a.npy", "b.npy"], 2, ["one INPUT only"]),
    ([""], 2, ["INPUT"]),
    (["--eps", "1"], 2, ["--eps"]),
    (["--device", "opencl:99"], 2, ["opencl:99"]),
    (["-o", "no/such/folder.html"], 2, ["folder"]),
])
def test_misuse(run, tmp_path, arguments, status, words):
    assert_error(run("explain", *arguments), status, *words)
    assert not list(tmp_path.glob("*.html"))


def test_an_old_page_stays_where_it_fails(run, tmp_path):
    (tmp_path / "page.html").write_text("old", encoding="utf-8")
    assert run("explain", "missing.npy", "-o", "page.html").returncode == 2
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_no_number_of_json(run, save, tmp_path):
    path = save("x.npy", np.array([[1, np.inf], [np.nan, 2]], "f4"))
    assert run("explain", path, "-o", "page.html").returncode == 0
    assert numbers_of(tmp_path / "page.html")["sets"][0]["x"] == [1, None, None, 2]
