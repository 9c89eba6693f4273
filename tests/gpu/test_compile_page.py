"""The page of ci/compile-kernels, made in several runs."""
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "ci"))
from compile_kernels import configurations, hardware, page  # noqa: E402

ORDER = ("bmg", "sm_90", "spirv")


@pytest.fixture
def made(tmp_path):
    """made(NAME, UNIT, instructions...): the page after a run of that target, each configuration of which
    has a kernel of so many."""
    def make(name, unit, *counts, skipped={}):
        listed = []
        for count in counts:
            one = configurations.Configuration(
                name, True, "row_per_group group=256 rows=1", 256, (4096, 4096), (4096,),
                "layer-norm 1x4096 f32 weight bias", "row_per_group", "")
            one.kernels = [hardware.Kernel("anynorm", registers=64, lanes=32, instructions=count)]
            listed.append(one)
        compiler = types.SimpleNamespace(versions=[f"compiler of {name}"])
        page.write_table(tmp_path / "page.md", "ci/compile-kernels --quick",
                         {name: (compiler, unit, listed)} if counts else {}, skipped, ORDER)
        return (tmp_path / "page.md").read_text()
    return make


def heads(text):
    return [line.split()[1] for line in text.splitlines() if line.startswith("## ")]


def test_a_run_leaves_other_targets_as_they_were(made):
    alone = made("sm_90", hardware.HOPPER, 700, 900)
    both = made("bmg", hardware.BMG, 100)
    assert heads(alone) == ["Estimates", "sm_90"]
    assert heads(both) == ["Estimates", "bmg", "sm_90"]
    assert alone.partition("## sm_90")[2] == both.partition("## sm_90")[2]
    assert "| 700 to 900 |" in both
    assert "`ci/compile-kernels --quick --only bmg`: compiler of bmg." in both
    estimates = both.partition("## bmg")[0]
    assert estimates.index("| bmg | Arc B580 |") < estimates.index("| sm_90 | H100 SXM |")


def test_a_run_replaces_its_own_target(made):
    made("sm_90", hardware.HOPPER, 700)
    again = made("sm_90", hardware.HOPPER, 800)
    assert heads(again) == ["Estimates", "sm_90"]
    assert "| 800 |" in again and "| 700 |" not in again
    assert again.count("| sm_90 |") == 1


def test_an_estimate_goes_with_its_kernels(made):
    assert "| sm_90 |" in made("sm_90", hardware.HOPPER, 700)
    assert "| sm_90 |" not in made("sm_90", hardware.SPIRV, 700)


def test_what_is_skipped_keeps_its_figures(made):
    first = made("sm_90", hardware.HOPPER, 700)
    assert made("sm_90", hardware.HOPPER, skipped={"sm_90": "no ptxas"}) == first
    assert "## bmg\n\nSkipped: no ocloc.\n" in made("bmg", hardware.BMG, skipped={"bmg": "no ocloc"})
    assert "Skipped" not in made("bmg", hardware.BMG, 100)
