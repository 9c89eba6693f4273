"""What the tests of the program share: making files, expected values, checks."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import numpy as np
import pytest

KERNELS = pathlib.Path(__file__).parents[2] / "kernels"

# What bf16 carries of a float32.
BF16_SHIFT = np.uint32(16)


def npy_bytes(array, version=1, text=None, order="C"):
    """A npy file by hand. `text` replaces the dictionary; nothing is padded."""
    if text is None:
        text = "{'descr': %r, 'fortran_order': %s, 'shape': %r}" % (
            array.dtype.str, order == "F", array.shape)
    head = text.encode("utf8" if version == 3 else "latin1")
    size = len(head).to_bytes(2 if version == 1 else 4, "little")
    return (b"\x93NUMPY" + bytes([version, 0]) + size + head + array.tobytes(order))


def numbers_of(page):
    """The JSON in a page that the program wrote."""
    scripts = page.read_text(encoding="utf-8").split('<script type="application/json" id="numbers">')
    assert len(scripts) == 2
    return json.loads(scripts[1].split("</script>")[0])


SAFETENSORS_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "uint16": "BF16"}


def safetensors_raw(header, data=b""):
    """A safetensors file of a header (bytes, or what json makes of it) and the bytes behind it."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


def safetensors_bytes(tensors, metadata=None):
    """A safetensors file of named arrays; uint16 stands for BF16."""
    header = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, array in tensors.items():
        end = len(data) + array.nbytes
        header[name] = {"dtype": SAFETENSORS_TYPES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [len(data), end]}
        data += array.tobytes()
    return safetensors_raw(header, data)


def to_bf16(values):
    """Rounded to nearest even, as uint16 bits."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> BF16_SHIFT) & np.uint32(1)
    return ((bits + np.uint32(0x7fff) + odd) >> BF16_SHIFT).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << BF16_SHIFT).view(np.float32)


def expected(x, axis=-1, weight=None, bias=None, eps=1e-5):
    """(y, mean, rstd) in double; weight and bias have the normalized shape or are flat."""
    x = np.asarray(x, dtype=np.float64)
    axis %= x.ndim
    rows = x.reshape(x.shape[:axis] + (-1,))
    mean = rows.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(rows.var(axis=-1, keepdims=True) + eps)
    y = (rows - mean) * rstd
    if weight is not None:
        y = y * np.asarray(weight, dtype=np.float64).ravel()
    if bias is not None:
        y = y + np.asarray(bias, dtype=np.float64).ravel()
    return y.reshape(x.shape), mean[..., 0], rstd[..., 0]


def family(x, axis=-1, *, rms=False, l2=False, eps=1e-5, outside=False, floor=False, correction=0, weight=None, offset=0,
           bias=None, pre_bias=None, residual=None, gate=None, scale=None, shift=None, mean=None,
           rstd=None, silu=False, kind=None):
    """(y, sum, mean, rstd) of the rows of x in double, as a matrix and columns. The parameters have
    the normalized shape or are matrices of a row for each; samples are (samples, columns). `kind`
    is the type to which n is rounded first."""
    x = np.asarray(x, dtype=np.float64)
    columns = int(np.prod(x.shape[axis % x.ndim:]))
    h = x.reshape(-1, columns)
    rows = len(h)

    def spread(values):
        values = np.asarray(values, dtype=np.float64).reshape(-1, columns)
        return np.repeat(values, rows // len(values), axis=0)
    if pre_bias is not None:
        h = h + spread(pre_bias)
    if residual is not None:
        h = h + (1 if gate is None else spread(gate)) * spread(residual)
    if mean is None:
        mean = 0 * h[:, :1] if rms else h.mean(axis=1, keepdims=True)
    mean = np.asarray(mean, dtype=np.float64).reshape(rows, 1)
    if rstd is None:
        variance = ((h - mean)**2).sum(axis=1, keepdims=True) / (1 if l2 else columns - correction)
        root = np.sqrt(variance)
        rstd = 1 / (root + eps if outside else np.maximum(root, eps) if floor else np.sqrt(variance + eps))
    rstd = np.asarray(rstd, dtype=np.float64).reshape(rows, 1)
    z = (h - mean) * rstd
    if kind:
        z = from_bf16(to_bf16(z)).astype("f8") if kind == "bf16" else z.astype(kind).astype("f8")
    z = z * (1 if weight is None else spread(weight) + offset)
    z = z + (0 if bias is None else spread(bias))
    z = z * (1 if scale is None else 1 + spread(scale)) + (0 if shift is None else spread(shift))
    return z / (1 + np.exp(-z)) if silu else z, h, mean, rstd


# Relative: half a unit in the last place and a tenth, or 8 units of f4. Absolute, for values around
# 1: 8 units of the arithmetic.
TOLERANCE = {"f4": (1e-6, 1e-6), "f8": (1e-13, 1e-13), "f2": (2.0**-11 * 1.2, 1e-6),
             "bf16": (2.0**-8 * 1.2, 1e-6)}


def assert_close(have, want, kind, scale=1):
    """`scale` is the size of the terms that were added up, where they may cancel."""
    relative, absolute = TOLERANCE[kind]
    absolute *= scale
    np.testing.assert_allclose(np.asarray(have, dtype=np.float64), want, rtol=relative,
                               atol=absolute)


def assert_error(result, status, *words):
    """One line on stderr that holds the words, nothing on stdout."""
    assert result.returncode == status, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("anynorm: ")
    for word in words:
        assert str(word) in lines[0]


# A libOpenCL that hands the driver a slightly wrong kernel, where its build options meet $WRONG_IF,
# and leaves all else to the real one.
SHIM = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void *clCreateProgramWithSource(void *context, unsigned count, const char **texts,
                                const size_t *lengths, int *code)
{
    const char *right = getenv("RIGHT_TEXT"), *wrong = getenv("WRONG_TEXT");
    void *(*next)(void *, unsigned, const char **, const size_t *, int *);
    *(void **)&next = dlsym(dlopen(getenv("REAL_LIBRARY"), RTLD_NOW), "clCreateProgramWithSource");
    char *text = calloc(1, lengths[0] * 2 + 1000);
    char *to = text + sprintf(text, "#if %.500s\n#define ERROR 1.00001f\n#else\n"
                                    "#define ERROR 1.0f\n#endif\n", getenv("WRONG_IF"));
    const char *from = texts[0], *end = from + lengths[0];
    (void)count;
    while (from < end) {
        if (!strncmp(from, right, strlen(right))) {
            memcpy(to, wrong, strlen(wrong));
            to += strlen(wrong);
            from += strlen(right);
        } else {
            *to++ = *from++;
        }
    }
    const char *changed = text;
    size_t length = (size_t)(to - text);
    return next(context, 1, &changed, &length, code);
}
"""


def real_library(name):
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return None


def build_shim(device, folder, text, library="libOpenCL.so.1"):
    """The environment in which a library of one function of that text is found; all else is the
    real one's, whose path is $REAL_LIBRARY."""
    api = {"libOpenCL.so.1": "opencl", "libvulkan.so.1": "vulkan"}[library]
    real = real_library(library)
    if not device["id"].startswith(f"{api}:") or not real or not shutil.which("gcc"):
        pytest.skip(f"needs a device of {api}, its loader and a compiler")
    folder = folder / "shim"
    folder.mkdir()
    source = folder / "shim.c"
    source.write_text(text)
    # Linked against a stand-in of that name, which is the real library by the time it is run: were
    # the real one linked, the loader would look for its own name and find the shim.
    (folder / "empty.c").write_text("int nothing;\n")
    stand_in = folder / "libReal.so"
    subprocess.run(["gcc", "-shared", "-fPIC", folder / "empty.c", "-o", stand_in,
                    "-Wl,-soname,libReal.so"], check=True)
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", folder / library,
                    "-Wl,--no-as-needed", stand_in, "-ldl"], check=True)
    stand_in.unlink()
    stand_in.symlink_to(real)
    return {"LD_LIBRARY_PATH": str(folder), "REAL_LIBRARY": str(stand_in)}


def wrong_opencl(device, folder, condition, right="* rstd - shift_rstd",
                 wrong="* rstd * ERROR - shift_rstd", more=""):
    """The environment in which kernels whose options meet the preprocessor's condition are wrong,
    where they have one text in place of another; in it, ERROR is a little more than 1 for these.
    `more` are functions that the library has besides."""
    assert any(right in path.read_text() for path in (KERNELS / "opencl").iterdir()), right
    return dict(build_shim(device, folder, SHIM + more), WRONG_IF=condition, RIGHT_TEXT=right,
                WRONG_TEXT=wrong)


# A libvulkan that makes pipelines with roots for inverse roots where WRONG, of the module's work-group
# and whether the sub-groups' size is asked for.
VULKAN_SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
enum { HEADER = 5, EXT_INST = 12, CONSTANT = 43, CONSTANT_COMPOSITE = 44, ROOT = 31, INVERSE_ROOT = 32 };
static PFN_vkGetInstanceProcAddr of_instance;
static PFN_vkGetDeviceProcAddr of_device;
static PFN_vkCreateShaderModule create_module;
static PFN_vkDestroyShaderModule destroy_module;
static PFN_vkCreateComputePipelines create;
static uint32_t words[1 << 20];
static size_t count_of_words;
static VKAPI_ATTR VkResult VKAPI_CALL keep_module(
    VkDevice device, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *allocator,
    VkShaderModule *module)
{
    if (info->codeSize > sizeof(words))
        abort();
    memcpy(words, info->pCode, info->codeSize);
    count_of_words = info->codeSize / sizeof(*words);
    return create_module(device, info, allocator, module);
}
/* Of the last composite constant of three numbers whose last two are the same: the work-group's size. */
static uint32_t find_group(void)
{
    uint32_t group = 0;
    for (size_t at = HEADER; at < count_of_words; at += words[at] >> 16) {
        if (words[at] != (6 << 16 | CONSTANT_COMPOSITE) || words[at + 4] != words[at + 5])
            continue;
        for (size_t c = HEADER; c < at; c += words[c] >> 16) {
            if (words[c] == (4 << 16 | CONSTANT) && words[c + 2] == words[at + 3])
                group = words[c + 3];
        }
    }
    return group;
}
static VKAPI_ATTR VkResult VKAPI_CALL create_wrong(
    VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
    const VkAllocationCallbacks *allocator, VkPipeline *pipelines)
{
    VkComputePipelineCreateInfo info = infos[0];
    const uint32_t GROUP = find_group();
    const int SIZED_SUBGROUPS =
        info.stage.flags & VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    (void)GROUP, (void)SIZED_SUBGROUPS;
    if (count != 1)
        abort();
    for (size_t at = HEADER; (WRONG) && at < count_of_words; at += words[at] >> 16) {
        if ((words[at] & 0xffff) == EXT_INST && words[at + 4] == INVERSE_ROOT)
            words[at + 4] = ROOT;
    }
    const VkShaderModuleCreateInfo wrong = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                            .codeSize = count_of_words * sizeof(*words),
                                            .pCode = words};
    if (create_module(device, &wrong, allocator, &info.stage.module) != VK_SUCCESS)
        abort();
    VkResult result = create(device, cache, 1, &info, allocator, pipelines);
    destroy_module(device, info.stage.module, allocator);
    return result;
}
static PFN_vkVoidFunction instead(const char *name, PFN_vkVoidFunction real);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_device(VkDevice device, const char *name)
{
    return instead(name, of_device(device, name));
}
static PFN_vkVoidFunction instead(const char *name, PFN_vkVoidFunction real)
{
    if (strcmp(name, "vkCreateShaderModule") == 0) {
        create_module = (PFN_vkCreateShaderModule)real;
        return (PFN_vkVoidFunction)keep_module;
    }
    if (strcmp(name, "vkDestroyShaderModule") == 0)
        destroy_module = (PFN_vkDestroyShaderModule)real;
    if (strcmp(name, "vkCreateComputePipelines") == 0) {
        create = (PFN_vkCreateComputePipelines)real;
        return (PFN_vkVoidFunction)create_wrong;
    }
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        of_device = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)get_of_device;
    }
    return real;
}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    *(void **)&of_instance = dlsym(dlopen(getenv("REAL_LIBRARY"), RTLD_NOW), "vkGetInstanceProcAddr");
    return instead(name, of_instance(instance, name));
}
"""


def wrong_vulkan(device, folder, condition):
    """The environment in which kernels are wrong whose GROUP and SIZED_SUBGROUPS meet the condition."""
    text = f"#define WRONG {condition}\n" + VULKAN_SHIM
    if device["id"].startswith("vulkan:") and not os.path.exists("/usr/include/vulkan/vulkan.h"):
        pytest.skip("needs Vulkan's headers")
    return build_shim(device, folder, text, "libvulkan.so.1")


# Every device's driver tells $DRIVER_VERSION, and its name is $DEVICE_NAME.
NAMING_SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
int clGetDeviceInfo(void *device, unsigned what, size_t room, void *value, size_t *size)
{
    const char *text = what == 0x102b ? getenv("DEVICE_NAME")
                       : what == 0x102d ? getenv("DRIVER_VERSION") : NULL;
    int (*next)(void *, unsigned, size_t, void *, size_t *);
    *(void **)&next = dlsym(dlopen(getenv("REAL_LIBRARY"), RTLD_NOW), "clGetDeviceInfo");
    if (!text || room <= strlen(text))
        return next(device, what, room, value, size);
    strcpy(value, text);
    if (size)
        *size = strlen(text) + 1;
    return 0;
}
"""


def renamed_opencl(device, folder, name, driver):
    """The environment in which every OpenCL device is called so, and its driver's version is so."""
    return dict(build_shim(device, folder, NAMING_SHIM), DEVICE_NAME=name, DRIVER_VERSION=driver)


def heed_signals():
    """For preexec_fn: a shell's background job, as this whole run may be, starts with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
