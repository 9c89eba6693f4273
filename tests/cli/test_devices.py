"""anynorm devices"""
import json
import subprocess

from support import assert_error

TEXTS = ["id", "name", "vendor", "platform", "driver", "version", "class", "shuffle"]
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


def test_full_standard_output(run):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("devices", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1
    assert result.stderr.startswith("anynorm: standard output: ")
