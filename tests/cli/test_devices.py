"""anynorm devices"""
import json
import os
import pathlib
import subprocess

import pytest

from support import assert_error, renamed_opencl

TEXTS = ["id", "name", "vendor", "platform", "driver", "version", "class", "shuffle",
         "quirks"]
NUMBERS = ["compute_units", "vector_width", "max_work_group_size", "max_groups", "local_bytes",
           "global_bytes", "max_alloc_bytes", "max_range_bytes", "max_buffers", "cache_bytes",
           "subgroup_size"]
BOOLS = ["fp16", "fp64", "storage16", "push_descriptors", "subgroup", "own_local_memory",
         "unified_memory", "default"]


def test_json(run):
    result = run("devices", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    devices = json.loads(result.stdout)
    for device in devices:
        assert list(device) == TEXTS + NUMBERS + BOOLS
        assert all(isinstance(device[key], str) for key in TEXTS)
        assert all(type(device[key]) is int and device[key] >= 0 for key in NUMBERS)
        assert all(isinstance(device[key], bool) for key in BOOLS)
        assert device["class"] in ("reference", "cpu", "gpu", "accelerator")
        assert device["shuffle"] in ("none", "khr", "intel", "ptx", "amd")
        assert (device["shuffle"] == "none") == (device["subgroup_size"] == 0)
    assert devices[-1]["id"] == "reference"
    assert sum(device["default"] for device in devices) == 1


def test_table(run):
    devices = json.loads(run("devices", "--json").stdout)
    result = run("devices")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == "ID"
    for device, line in zip(devices, lines[1:]):
        assert line.startswith("*" if device["default"] else " ")
        assert line[2:].startswith(device["id"]) and line.endswith(device["name"].rstrip())


def test_default_follows_the_environment(run):
    devices = json.loads(run("devices", "--json", env={"ANYNORM_DEVICE": "reference"}).stdout)
    assert [device["id"] for device in devices if device["default"]] == ["reference"]


def test_bad_default_still_lists(run):
    """Who set a wrong device needs the list."""
    result = run("devices", env={"ANYNORM_DEVICE": "abacus"})
    assert result.returncode == 0
    assert "reference" in result.stdout and "*" not in result.stdout
    assert result.stderr.startswith("anynorm: ANYNORM_DEVICE: ")


def test_bad_capabilities(run, x_file):
    assert_error(run("layer-norm", x_file, env={"ANYNORM_CAPS": "no-sense"}), 2, "ANYNORM_CAPS",
                 "no-sense")


OLD_ADRENO = ("QUALCOMM Adreno(TM) 660", "OpenCL 2.0 QUALCOMM build: commit #3dad7f8ed7 changeid "
              "#I593c16c433 Date: 10/01/21 Fri Local Branch:  Remote Branch:  Compiler E031.37.12")


def test_quirks_are_shown(run, device, tmp_path):
    env = dict(renamed_opencl(device, tmp_path, *OLD_ADRENO), ANYNORM_LOG="info")
    ours = [entry for entry in json.loads(run("devices", "--json", env=env).stdout)
            if entry["id"] == device["id"]][0]
    assert (ours["name"], ours["driver"]) == OLD_ADRENO
    assert ours["quirks"] == "no-subgroup (https://github.com/ggml-org/llama.cpp/pull/22006)"
    assert not ours["subgroup"] and ours["subgroup_size"] == 0
    result = run("devices", env=env)
    assert result.stdout.splitlines()[-2:] == [
        f"{device['id']} is masked for known faults of its driver, unless ANYNORM_QUIRKS=off:",
        "  " + ours["quirks"]]
    assert [line for line in result.stderr.splitlines()
            if "masked by no-subgroup" in line and ours["driver"] in line
            and "https://github.com/ggml-org/llama.cpp/pull/22006" in line], result.stderr


def test_quirks_are_switched_off(run, device, tmp_path):
    env = dict(renamed_opencl(device, tmp_path, *OLD_ADRENO), ANYNORM_QUIRKS="off")
    ours = [entry for entry in json.loads(run("devices", "--json", env=env).stdout)
            if entry["id"] == device["id"]][0]
    assert ours["quirks"] == "" and ours["name"] == OLD_ADRENO[0]
    assert ours["subgroup"] >= device["subgroup"]
    assert "masked" not in run("devices", env=env).stdout


def test_bad_switch(run, x_file):
    assert_error(run("layer-norm", x_file, env={"ANYNORM_QUIRKS": "never"}), 2, "ANYNORM_QUIRKS",
                 "never")


def test_vulkan_drivers_of_less_than_all(run, device, tmp_path, x_file):
    """A loader hides them from who does not ask for them: MoltenVK, on every Mac."""
    files = [path for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
             for path in os.environ.get(name, "").split(":") if os.path.isfile(path)]
    if not device["id"].startswith("vulkan:") or not files:
        pytest.skip("needs a Vulkan device whose manifest is named")
    manifest = json.loads(pathlib.Path(files[0]).read_text(encoding="utf8"))
    manifest["ICD"]["is_portability_driver"] = True
    driver = tmp_path / "driver.json"
    driver.write_text(json.dumps(manifest), encoding="utf8")
    env = {"VK_DRIVER_FILES": str(driver), "VK_ICD_FILENAMES": str(driver),
           "ANYNORM_DEVICE": "vulkan:0"}
    listed = json.loads(run("devices", "--json", env=env).stdout)
    assert [entry["name"] for entry in listed if entry["default"]] == [device["name"]]
    result = run("layer-norm", x_file, env=env)
    assert (result.returncode, result.stderr) == (0, "")


def test_full_standard_output(run):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("devices", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1
    assert result.stderr.startswith("anynorm: standard output: ")
