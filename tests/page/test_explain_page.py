"""The page of anynorm explain in a browser: every control, against formulas in double of numpy."""
import json

import numpy as np
import pytest
from conftest import keep_picture

AXES = {"layer": lambda x: x.reshape(len(x), -1), "rms": lambda x: x.reshape(len(x), -1)}
SHOWN = 6e-4  # three digits behind the point


def shape_of(one):
    shape = (one["samples"], one["channels"], one["height"], one["width"])
    return shape if one["height"] * one["width"] > 1 else shape[:2]


def normalized(x, norm, groups=1, eps=1e-5, outside=False, bessel=False, weight=1, bias=0):
    """y by the textbook, in x's shape."""
    if norm == "batch":
        rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    elif norm == "instance":
        rows = x.reshape(x.shape[0] * x.shape[1], -1)
    elif norm == "group":
        rows = x.reshape(x.shape[0] * groups, -1)
    else:
        rows = x.reshape(x.shape[0], -1)
    a = rows if norm == "rms" else rows - rows.mean(1, keepdims=True)
    variance = (a * a).sum(1, keepdims=True) / (rows.shape[1] - bessel)
    deviation = np.sqrt(variance) + eps if outside else np.sqrt(variance + eps)
    y = a / deviation * weight + bias
    if norm == "batch":
        return np.moveaxis(y.reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1)
    return y.reshape(x.shape)


def expect(page, x, norm, **options):
    y = normalized(np.asarray(x, dtype="f8"), norm, **options)
    shown = page.table("#result")
    assert shown.size == y.size
    assert np.all(np.abs(shown.ravel() - y.ravel()) <= SHOWN * np.maximum(1, np.abs(y.ravel()) * 2))


@pytest.fixture
def sets(page):
    return [(np.array(one["x"]).reshape(shape_of(one)), one) for one in page.numbers()["sets"]]


def test_it_agrees_with_the_device(page):
    assert "agree" in page.text("#banner") and page.find("#banner").get_attribute("class") == "good"


def test_it_says_so_where_it_differs(driver, written_page, tmp_path):
    text = written_page.read_text(encoding="utf-8")
    found = json.loads(text.split('id="numbers">')[1].split("</script>")[0])
    found["sets"][0]["found"]["batch"]["y"][3] += 1e-3
    head, rest = text.split('id="numbers">')
    path = tmp_path / "wrong.html"
    path.write_text(head + 'id="numbers">' + json.dumps(found) + "</script>" + rest.split("</script>", 1)[1],
                    encoding="utf-8")
    driver.get(path.as_uri())
    banner = driver.find_element("id", "banner")
    assert "DIFFER" in banner.text and banner.get_attribute("class") == "bad"


def test_every_norm_of_both_sets(page, sets):
    for k, (x, one) in enumerate(sets):
        page.click("sets", k)
        assert not page.find('#norms button[value="layer"]').get_attribute("disabled")
        for norm in one["found"]:
            page.click("norms", norm)
            expect(page, x, norm, groups=one["groups"])
    page.click("sets", 0)
    assert page.find('#norms button[value="group"]').get_attribute("disabled")


def test_options(page, sets):
    x = sets[0][0]
    page.set("#eps", "0.5")
    expect(page, x, "layer", eps=0.5)
    page.check("outside")
    expect(page, x, "layer", eps=0.5, outside=True)
    page.check("bessel")
    expect(page, x, "layer", eps=0.5, outside=True, bessel=True)
    page.set("#weight", "2.5")
    page.set("#bias", "-1")
    expect(page, x, "layer", eps=0.5, outside=True, bessel=True, weight=2.5, bias=-1)
    page.set("#start", "small")
    expect(page, x, "layer", eps=0.5, outside=True, bessel=True, weight=0.02)
    page.set("#start", "zeros")
    assert np.all(page.table("#result") == 0)
    page.find("#reset").click()
    expect(page, x, "layer")


def test_editing_a_cell(page, sets):
    x = sets[0][0].copy()
    page.set('#input td[data-at="8"] input', "-40")
    x[1, 2] = -40
    expect(page, x, "layer")
    page.set('#input td[data-at="8"] input', "")  # half typed: the last number stays
    expect(page, x, "layer")


def test_a_cell_shows_its_row(page, sets):
    x = sets[0][0]
    page.call("document.querySelector('#result td[data-at=\"7\"] button').focus()")
    framed = page.call("return [...document.querySelectorAll('#input td.same')].map(c => +c.dataset.at)")
    assert framed == list(range(6, 12))
    assert f"{x[1].mean():.3f}".rstrip("0") in page.text("#over")
    steps = page.table("#steps")
    a = x[1] - x[1].mean()
    assert np.allclose(steps[1], a, atol=SHOWN) and np.allclose(steps[2], a * a, atol=SHOWN)
    page.click("norms", "batch")
    framed = page.call("return [...document.querySelectorAll('#input td.same')].map(c => +c.dataset.at)")
    assert framed == [1, 7, 13, 19]


def test_keyboard(page):
    page.call("document.querySelector('#result td[data-at=\"0\"] button').focus()")
    for key, at in (("\ue014", "1"), ("\ue015", "7"), ("\ue012", "6"), ("\ue013", "0")):  # right, down, left, up
        page.driver.switch_to.active_element.send_keys(key)
        assert page.driver.switch_to.active_element.get_attribute("data-value") == at
    page.find('#norms button[value="rms"]').send_keys(" ")
    assert page.find('#norms button[value="rms"]').get_attribute("aria-pressed") == "true"


def test_other_samples(page, sets):
    x = sets[0][0]
    for happening, changed in (("drop", x[:-1]), ("add", x + [[0], [0], [0], [10]]), ("scale", x * [[1], [1], [1], [10]])):
        page.click("happenings", happening)
        rows = page.call("return [...document.querySelectorAll('#others tbody tr')].map(r => r.textContent)")
        assert [("does not move" in row) for row in rows] == [True, True, False]
        moved = np.abs(normalized(x, "batch")[0] - normalized(changed, "batch")[0]).max()
        assert abs(float(rows[2].split()[-1]) - moved) <= SHOWN


def test_gradient(page, sets):
    """Against differences of the formula."""
    x, at, step = sets[0][0], 7, 1e-6
    page.call(f"document.querySelector('#result td[data-at=\"{at}\"] button').focus()")
    for norm in ("layer", "rms", "batch"):
        page.click("norms", norm)
        shown, want = page.table("#gradient").ravel(), np.zeros(x.size)
        for i in range(x.size):
            moved = [x.ravel().copy(), x.ravel().copy()]
            moved[0][i] -= step
            moved[1][i] += step
            low, high = (normalized(m.reshape(x.shape), norm).ravel()[at] for m in moved)
            want[i] = (high - low) / (2 * step)
        assert np.allclose(shown, want, atol=SHOWN)


def test_conventions(page, sets):
    row = sets[0][0][:1]
    want = [normalized(row, "layer"), normalized(row, "layer", eps=1e-3), normalized(row, "layer", eps=1e-12),
            normalized(row, "layer", eps=1e-6, outside=True, bessel=True)]
    assert np.allclose(page.table("#conventions"), np.concatenate(want), atol=6e-8)
    assert page.call("return document.querySelectorAll('#conventions mark').length") > 0


def test_budget(page):
    for preset, total in ((1, "30 720"), (0, "49 152")):
        page.click("presets", preset)
        assert page.text("#parameters") == total
    page.set("#layers", "2")
    page.set("#per-layer", "3")
    page.set("#beside", "1")
    page.set("#width", "10")
    page.set("#kind", "1")
    assert page.text("#parameters") == "70"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_no_width_breaks_it(page, scheme, width):
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True})
    assert page.call("return document.documentElement.scrollWidth") <= width
    lightness = page.call("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)")
    assert (sum(lightness) > 380) == (scheme == "light")
    keep_picture(page.driver, f"explain-{scheme}-{width}", width)
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_given_matrix(driver, written, page):
    x = np.random.default_rng(5).standard_normal((3, 5)).astype("f4")
    driver.get(written(x).as_uri())
    assert "agree" in page.text("#banner")
    expect(page, x, "layer")


def test_what_is_no_number(driver, written, page):
    x = np.array([[1, np.inf, 2], [3, 4, 5]], dtype="f4")
    driver.get(written(x).as_uri())
    assert "agree" in page.text("#banner")
    assert page.call("return document.querySelector('#result td[data-at=\"3\"]').textContent") == "\u22121.225"
