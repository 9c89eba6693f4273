"""The pages that bench and verify write: one file each, around the numbers that the run found."""
import json
import os
import re
import subprocess

import pytest
from support import numbers_of

BENCH = ("bench", "--shapes", "64x96,3x2000", "--dtype", "f32,f16", "--warm", "--repetitions", "3")
VERIFY = ("verify", "--case", "layer-norm 5x70 f16 weight bias mean rstd eps=1e-05")
PAGES = {"bench": BENCH, "verify": VERIFY}


@pytest.mark.parametrize("command", PAGES)
def test_self_contained(run, tmp_path, command):
    page = tmp_path / "page.html"
    assert run(*PAGES[command], "--html", page).returncode == 0
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
    assert "NUMBERS_OF_THE_DEVICE" not in text
    assert not re.search(r'(src|href)="|https?://|@import', text), "something is loaded"
    assert os.listdir(tmp_path) == ["page.html"]


def test_bench_beside_json(run, tmp_path):
    page = tmp_path / "page.html"
    result = run(*BENCH, "--json", "--html", page)
    assert result.returncode == 0, result
    assert numbers_of(page) == json.loads(result.stdout)


def test_bench_beside_table(run, tmp_path):
    page = tmp_path / "page.html"
    result = run(*BENCH, "--html", page)
    numbers = numbers_of(page)
    assert result.returncode == 0 and "64x96" in result.stdout
    assert [(c["rows"], c["columns"], c["dtype"]) for c in numbers["results"]] == \
        [(64, 96, "f32"), (3, 2000, "f32"), (64, 96, "f16"), (3, 2000, "f16")]
    for entry in numbers["results"]:
        assert f"{entry['wall_us_p50']:10.1f}" in result.stdout


def test_verify_holds_every_case(run, tmp_path):
    page = tmp_path / "page.html"
    result = run(*VERIFY, "--html", page)
    numbers = numbers_of(page)
    assert result.returncode == 0
    assert {c["spec"] for c in numbers["cases"]} == {VERIFY[-1]}
    assert {c["result"] for c in numbers["cases"]} <= {"pass", "skipped"}
    for case in numbers["cases"]:
        assert case["result"] == "skipped" or 0 <= case["error"] <= case["bound"]
        assert case["result"] == "skipped" or 0 <= case["share"] <= 1


def test_how_it_was_run(run, tmp_path):
    page = tmp_path / "it's a \"page\" <script>alert(1)<b>.html"
    assert run(*VERIFY, "--html", page, env={"ANYNORM_CAPS": "no-fp16"}).returncode == 0
    numbers = numbers_of(page)
    assert numbers["command"] == ["anynorm", *VERIFY, "--html", str(page)]
    assert numbers["environment"]["ANYNORM_CAPS"] == "no-fp16"
    assert numbers["version"] and numbers["driver"] and numbers["id"]


@pytest.mark.parametrize("command", PAGES)
def test_an_old_page_is_replaced(run, tmp_path, command):
    page = tmp_path / "page.html"
    page.write_text("old")
    assert run(*PAGES[command], "--html", page).returncode == 0
    assert len(page.read_text()) > 5000


@pytest.mark.parametrize("command", PAGES)
def test_nowhere_to_write(run, tmp_path, command):
    for path in (tmp_path / "none" / "page.html", tmp_path):
        result = run(*PAGES[command], "--html", path)
        assert result.returncode in (1, 2), result
        assert len(result.stderr.splitlines()) == 1 and str(path) in result.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", PAGES)
def test_misuse_leaves_the_old_page(run, tmp_path, command):
    page = tmp_path / "page.html"
    page.write_text("old")
    result = run(command, "--html", page, "--device", "opencl:99")
    assert result.returncode != 0 and len(result.stderr.splitlines()) == 1
    assert page.read_text() == "old" and os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("command", PAGES)
def test_no_regular_file(run, command):
    result = run(*PAGES[command], "--html", "/dev/full")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "/dev/full" in result.stderr


@pytest.mark.parametrize("command", PAGES)
def test_stdout_that_took_nothing_leaves_the_old_page(run, tmp_path, command):
    page = tmp_path / "page.html"
    page.write_text("old")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run(*PAGES[command], "--html", page, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1 and page.read_text() == "old"
