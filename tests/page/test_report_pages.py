"""The pages of bench and verify in a browser: every control used, numbers read back beside those of the file."""
import subprocess

import pytest
from conftest import PROGRAM, Page, keep_picture

COMMANDS = {
    "bench": ("bench", "--shapes", "64x96,3x2000,500x16", "--dtype", "f32,f16", "--op", "layer-norm,rms-norm",
              "--repetitions", "2"),
    "verify": ("verify", "--quick"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("reports"), {}
    for name, command in COMMANDS.items():
        made[name] = folder / f"{name}.html"
        done = subprocess.run([PROGRAM, *command, "--html", made[name]], capture_output=True, text=True, timeout=600,
                              check=False)
        assert done.returncode == 0, done
    return made


@pytest.fixture
def opened(driver, files):
    """opened(name): the page, and the numbers in it. What it says on the console fails the test."""
    driver.set_window_size(1200, 900)
    driver.get_log("browser")

    def open_page(name):
        driver.get(files[name].as_uri())
        page = Page(driver)
        return page, page.numbers()
    yield open_page
    assert driver.get_log("browser") == []


def cells(page, table):
    return page.call(f"return [...document.querySelectorAll('#{table} tbody tr')].map(row => "
                     "[...row.querySelectorAll('td')].map(cell => cell.textContent))")


def near(shown, wanted):
    """Four digits of it."""
    return abs(float(shown.replace("\u2212", "-")) - wanted) <= max(abs(wanted) * 6e-4, 1e-12)


def count(page, selector):
    return page.call(f"return document.querySelectorAll('{selector}').length")


def test_bench_numbers(opened):
    page, numbers = opened("bench")
    cold = [c for c in numbers["results"] if c["regime"] == numbers["results"][0]["regime"]]
    rows = cells(page, "table")
    assert len(rows) == len(cold) == count(page, "#chart .mark") == 12
    for row, entry in zip(rows, cold):
        assert row[:3] == [entry["op"], f"{entry['rows']} \u00d7 {entry['columns']}", entry["dtype"]]
        assert near(row[4], entry["gbps"]) and near(row[6], entry["copy_share"])
        assert near(row[7], entry["wall_us_p50"]) and row[-1] == str(entry["bytes"])
    assert "--op layer-norm,rms-norm" in page.text("#command")


def test_bench_controls(opened):
    page, numbers = opened("bench")
    for regime in ("warm", "cold"):
        page.click("regimes", regime)
        wanted = [c["gbps"] for c in numbers["results"] if c["regime"] == regime]
        assert all(near(row[4], value) for row, value in zip(cells(page, "table"), wanted))
    page.set("#op", "rms-norm")
    assert {row[0] for row in cells(page, "table")} == {"rms-norm"} and count(page, "#chart .mark") == 6
    page.set("#type", "f16")
    assert {row[2] for row in cells(page, "table")} == {"f16"} and count(page, "#chart .mark") == 3
    page.click("measures", "share")
    assert "share of the copy" in page.text("#chart")
    page.click("measures", "gbps")
    page.click("schedules", numbers["results"][0]["schedule"])
    assert count(page, "#chart .mark") == 0 and "No case is left" in page.text("#chart")
    page.click("schedules", numbers["results"][0]["schedule"])
    assert count(page, "#chart .mark") == 3


def test_bench_case_by_keys(opened):
    page, _ = opened("bench")
    page.call("document.querySelector('#chart .mark').focus()")
    first = page.text("#case")
    page.call("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))")
    assert "wall time" in first and page.text("#case") != first
    assert count(page, "#table tr.chosen") == 1


def test_bench_sorts(opened):
    page, _ = opened("bench")
    for _ in range(2):
        page.click("table", "GB/s")
    speeds = [float(row[4]) for row in cells(page, "table")]
    assert speeds == sorted(speeds)


def test_verify_numbers(opened):
    page, numbers = opened("verify")
    passed = sum(c["result"] == "pass" for c in numbers["cases"])
    assert passed > 10 and f"All {passed} cases are right" in page.text("#banner")
    rows = cells(page, "cases")
    assert len(rows) == min(300, len(numbers["cases"]))
    for row, entry in zip(rows, numbers["cases"]):
        assert row[0] == entry["result"] and row[1] == entry["schedule"] and entry["spec"] in row[-1]
        if entry["result"] == "pass":
            assert near(row[4], entry["error"]) and near(row[5], entry["bound"])
    assert [row[0] for row in cells(page, "lines")] == [line["schedule"] for line in numbers["lines"]]


def test_verify_controls(opened):
    page, numbers = opened("verify")
    page.click("outcomes", "FAIL")
    assert count(page, "#cases tbody tr") == 0 and "No case is left" in page.text("#cases")
    page.click("outcomes", "pass")
    page.set("#words", "rms-norm f16")
    wanted = [c for c in numbers["cases"] if c["result"] == "pass"
              and "rms-norm" in c["spec"] and "f16" in f"{c['type']} {c['spec']}"]
    assert len(wanted) > 0 and count(page, "#cases tbody tr") == len(wanted)
    assert page.text("#count").startswith(f"{len(wanted)} of {len(numbers['cases'])}")
    page.click("cases", "Error")
    errors = [float(row[4].replace("e", "E").replace("\u2212", "-")) for row in cells(page, "cases")]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width(opened, driver, name, scheme):
    page, _ = opened(name)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True})
    wide = page.call("return document.documentElement.scrollWidth")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    keep_picture(driver, f"{name}-{scheme}", 1200)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert wide <= 360
