"""A headless Chromium, driven; skipped where there is none."""
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

PROGRAM = os.environ.get("ANYNORM_PROGRAM", "anynorm")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Where screenshots are kept.
PICTURES = os.environ.get("ANYNORM_TEST_PICTURES")


@pytest.fixture(scope="session")
def driver():
    webdriver = pytest.importorskip("selenium.webdriver")
    if not BROWSER or not DRIVER:
        pytest.skip("no Chromium and its driver are here (packages chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(DRIVER)
    made = webdriver.Chrome(service=service, options=options)
    yield made
    made.quit()


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """written(): the path of a page; with an array, of one that begins with it."""
    folder = tmp_path_factory.mktemp("pages")

    def write(array=None):
        path, operands = folder / f"page{len(list(folder.iterdir()))}.html", []
        if array is not None:
            np.save(folder / "x.npy", array)
            operands = [folder / "x.npy"]
        result = subprocess.run([PROGRAM, "explain", *operands, "-o", path], capture_output=True,
                                text=True, timeout=600, check=False)
        assert result.returncode == 0, result
        return path
    return write


@pytest.fixture(scope="session")
def written_page(written):
    return written()


class Page:
    """An open page: its controls by their ids, its numbers as numbers."""

    def __init__(self, driver):
        self.driver = driver

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def click(self, group, value):
        self.find(f'#{group} button[value="{value}"]').click()

    def set(self, selector, value):
        """As typing does it: the field's value, and then its event."""
        self.driver.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
            "arguments[0].dispatchEvent(new Event('change', {bubbles: true}));", self.find(selector), value)

    def check(self, name):
        self.find(f"#{name}").click()

    def text(self, selector):
        return self.find(selector).text

    def table(self, selector):
        """The numbers of a table's cells, row by row."""
        rows = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(row => "
            "[...row.querySelectorAll('td')].map(cell => cell.textContent))", selector)
        return np.array([[float(text.replace("\u2212", "-")) for text in row] for row in rows])

    def call(self, script):
        return self.driver.execute_script(script)

    def numbers(self):
        """The JSON that it was made around."""
        return json.loads(self.call("return document.getElementById('numbers').textContent"))


@pytest.fixture
def page(driver, written_page):
    driver.set_window_size(1200, 900)
    driver.get_log("browser")
    driver.get(written_page.as_uri())
    yield Page(driver)
    assert driver.get_log("browser") == []  # no error, and no warning


def keep_picture(driver, name, width):
    """The whole page as an image, where pictures are kept."""
    if not PICTURES:
        return
    folder = pathlib.Path(PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
    driver.save_screenshot(str(folder / f"{name}.png"))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    print(f"picture: {folder / f'{name}.png'}")
