"""anynorm devices"""
import json
import os
import pathlib
import subprocess

import pytest

from support import assert_error, build_shim, renamed_opencl

TEXTS = ["id", "name", "vendor", "platform", "driver", "version", "class", "shuffle",
         "quirks", "unusable"]
NUMBERS = ["compute_units", "vector_width", "max_work_group_size", "max_groups", "local_bytes",
           "global_bytes", "max_alloc_bytes", "max_range_bytes", "max_buffers", "cache_bytes",
           "subgroup_size", "subgroup_least"]
BOOLS = ["fp16", "fp64", "storage16", "push_descriptors", "subgroup", "own_local_memory",
         "unified_memory", "emulated", "default"]


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
        assert device["unusable"] == "" or not device["default"]
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


# Every OpenCL device says what $DEVICE_TYPE and $SPOIL have it say.
SPOILING_SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
static void *real(const char *name)
{
    return dlsym(dlopen(getenv("REAL_LIBRARY"), RTLD_NOW), name);
}
static int has(const char *word)
{
    return strstr(getenv("SPOIL"), word) != NULL;
}
static int tell(const void *from, size_t bytes, size_t room, void *value, size_t *size)
{
    if (value && room < bytes)
        return -30;
    if (value)
        memcpy(value, from, bytes);
    if (size)
        *size = bytes;
    return 0;
}
int clGetDeviceInfo(void *device, unsigned what, size_t room, void *value, size_t *size)
{
    int (*next)(void *, unsigned, size_t, void *, size_t *);
    const unsigned long type = strtoul(getenv("DEVICE_TYPE"), NULL, 10);
    const unsigned no = 0;
    const char *version = "OpenCL 1.1 Mesa 22.3.6", *emulator = "Intel(R) FPGA Emulation Device";
    *(void **)&next = real("clGetDeviceInfo");
    if (what == 0x1000)
        return tell(&type, sizeof type, room, value, size);
    if ((what == 0x1027 && has("unavailable")) || (what == 0x1028 && has("no compiler")) ||
        (what == 0x1035 && has("own memory")))
        return tell(&no, sizeof no, room, value, size);
    if (what == 0x102f && has("old"))
        return tell(version, strlen(version) + 1, room, value, size);
    if (what == 0x102b && has("emulator"))
        return tell(emulator, strlen(emulator) + 1, room, value, size);
    return next(device, what, room, value, size);
}
void *clCreateContext(const void *properties, unsigned count, const void *devices, void *notify,
                      void *user, int *code)
{
    void *(*next)(const void *, unsigned, const void *, void *, void *, int *);
    *(void **)&next = real("clCreateContext");
    if (!has("no context"))
        return next(properties, count, devices, notify, user, code);
    *code = -2;
    return NULL;
}
"""
ACCELERATOR, GPU = "8", "4"


def spoiled(run, device, tmp_path, kind, how):
    """What `devices` says of the device that is spoiled so, of the default, as a table, and the
    environment in which it is."""
    env = dict(build_shim(device, tmp_path, SPOILING_SHIM), ANYNORM_DEVICE="", SPOIL=how,
               DEVICE_TYPE=kind)
    devices = json.loads(run("devices", "--json", env=env).stdout)
    ours = [entry for entry in devices if entry["id"] == device["id"]][0]
    chosen = [entry for entry in devices if entry["default"]]
    assert len(chosen) == 1
    result = run("devices", env=env)
    assert result.returncode == 0
    return ours, chosen[0], result.stdout.splitlines(), env


@pytest.mark.parametrize("kind, how, why", [
    (GPU, "old", '"OpenCL 1.1 Mesa 22.3.6" is older than OpenCL 1.2'),
    (GPU, "unavailable", "the driver says that the device is not available"),
    (ACCELERATOR, "no compiler", "the driver has no compiler for OpenCL C"),
    (GPU, "no context", "device lost: clCreateContext failed with -2 (device not available)")])
def test_devices_that_cannot_serve(run, device, tmp_path, x_file, kind, how, why):
    """Each is of a better class than what is left, and passed over with a word in the log."""
    ours, chosen, table, env = spoiled(run, device, tmp_path, kind, how)
    assert ours["unusable"] == why and ours["class"] in ("gpu", "accelerator")
    assert not chosen["id"].startswith("opencl:") and chosen["unusable"] == ""
    place = table.index(f"{device['id']} cannot be used:")
    assert table[place + 1] == "  " + why
    env["ANYNORM_LOG"] = "warn"
    result = run("layer-norm", x_file, env=env)
    assert result.returncode == 0
    assert f"{device['id']} ({device['name']}) is passed over: " in result.stderr
    assert why.split(": ")[-1] in result.stderr
    # Who names it wants it: by its number, not by its API, which has no other here.
    for name in device["id"], "opencl":
        assert why.split(": ")[-1] in run("layer-norm", x_file, "--device", name,
                                          env=dict(env, ANYNORM_LOG="error")).stderr
    result = run("layer-norm", x_file, env=dict(env, ANYNORM_DEVICE=device["id"],
                                                ANYNORM_LOG="error"))
    assert_error(result, 1 if "device" in why else 2, "ANYNORM_DEVICE", why.split(": ")[-1])


def test_what_decides_is_shown(run, device, tmp_path):
    ours, chosen, table, _ = spoiled(run, device, tmp_path, ACCELERATOR, "emulator")
    assert ours["emulated"] and ours["class"] == "accelerator"
    row = next(line for line in table if line[2:].startswith(device["id"]))
    assert row.split()[1 if row[0] == " " else 2] == "emulator"
    assert chosen["id"] == device["id"] or chosen["class"] == "cpu"
    assert any(line.startswith("* is used where no device is named: the best by class, own memory")
               for line in table)


def test_memory_of_its_own_is_shown(run, device, tmp_path):
    ours, chosen, table, _ = spoiled(run, device, tmp_path, GPU, "own memory")
    assert not ours["unified_memory"] and chosen["class"] == "gpu"
    header = table[0]
    row = next(line for line in table if line[2:].startswith(device["id"]))
    assert row[header.index("OWN"):].split()[0] == "yes"
    assert int(row[:header.index("VECTOR")].split()[-1]) == ours["compute_units"]


# The Vulkan device says that it is a GPU of Vulkan 1.0.
OLD_VULKAN_SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
static PFN_vkGetInstanceProcAddr of_instance;
static PFN_vkGetPhysicalDeviceProperties next;
static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice physical, VkPhysicalDeviceProperties *p)
{
    next(physical, p);
    p->apiVersion = VK_MAKE_API_VERSION(0, 1, 0, 42);
    p->deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    *(void **)&of_instance = dlsym(dlopen(getenv("REAL_LIBRARY"), RTLD_NOW), "vkGetInstanceProcAddr");
    PFN_vkVoidFunction real = of_instance(instance, name);
    if (strcmp(name, "vkGetPhysicalDeviceProperties") != 0)
        return real;
    next = (PFN_vkGetPhysicalDeviceProperties)real;
    return (PFN_vkVoidFunction)properties;
}
"""


def test_a_gpu_of_vulkan_1_0(run, device, tmp_path, x_file):
    if not os.path.exists("/usr/include/vulkan/vulkan.h"):
        pytest.skip("needs Vulkan's headers")
    env = dict(build_shim(device, tmp_path, OLD_VULKAN_SHIM, "libvulkan.so.1"), ANYNORM_DEVICE="")
    devices = json.loads(run("devices", "--json", env=env).stdout)
    assert [entry["unusable"] for entry in devices if entry["id"] == device["id"]] == \
        ['"Vulkan 1.0.42" is older than Vulkan 1.1']
    assert [entry["id"].startswith("vulkan:") for entry in devices if entry["default"]] == [False]
    assert run("layer-norm", x_file, env=env).returncode == 0
    assert_error(run("layer-norm", x_file, "--device", device["id"], env=env), 2, "--device",
                 "Vulkan 1.0.42")


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
