"""Mesa's drm-shims: libraries to preload that answer a driver's questions to the kernel as if there were a
device. No package has them. Each is a few of Mesa's files, compiled without the rest of it."""
import dataclasses
import re

SUITE = "trixie"  # of Debian, whose Mesa they are of: 25.0


@dataclasses.dataclass
class Kind:
    files: list
    generated: list = dataclasses.field(default_factory=list)  # (script in src, its words, files made)
    patches: dict = dataclasses.field(default_factory=dict)    # of a file: what changes its text


def newer_nvidia(text):
    """The classes of Ada and Blackwell, which the shim does not know, beside those of Ampere; and headers
    where this Mesa has them."""
    classes = {"DMA_COPY_A": ("0xc7b5", "0xcab5"), "_3D_CLASS": ("0xc997", "0xce97"),
               "_COMPUTE_CLASS": ("0xc9c0", "0xcec0")}

    def add(match):
        known = next((pair for end, pair in classes.items() if match[2].endswith(end)), None)
        assign = match[1]
        if not known:
            return match[0]
        return "".join(f"case {chip}: {assign} = {number}; break;\n"
                       for chip, number in zip(("0x190", "0x1b0"), known)) + match[0]

    text = text.replace('#include "nouveau/nvif/', '#include "nouveau/drm/nvif/')
    text = re.sub(r"case 0x170:\s+(sclass->sclass\.oclass\[idx\]\.oclass) = (\w+);", add, text)
    return re.sub(r"case 0x170:(\s+case 0x160:)", r"case 0x190: case 0x1b0: case 0x170:\1", text)


def refuse_newer_parameters(text):
    """A kernel that takes every parameter would be one with VM_BIND, which the shim does not have."""
    function = """
static int set_param(int fd, unsigned long request, void *arg)
{
    const struct drm_msm_param *param = arg;
    if (param->param < 16)
        return 0;
    errno = EINVAL;
    return -1;
}
"""
    text = text.replace("[DRM_MSM_SET_PARAM] = msm_ioctl_noop", "[DRM_MSM_SET_PARAM] = set_param")
    table = re.search(r"^static ioctl_fn_t ", text, re.M)
    return "#include <errno.h>\n" + text[:table.start()] + function + text[table.start():]


def newer_broadcom(text):
    """What v3dv asks of a newer kernel, and the V3D of $V3D_CHIP: 4.2 is the shim's own, 7.1 tells itself
    from it by two numbers."""
    function = """
static uint32_t of_chip(uint32_t param, uint32_t value)
{
    const char *chip = getenv("V3D_CHIP");
    if (!chip || strcmp(chip, "7.1") != 0)
        return value;
    if (param == DRM_V3D_PARAM_V3D_CORE0_IDENT0)
        return (value & 0xffffff) | 7u << 24;
    return param == DRM_V3D_PARAM_V3D_CORE0_IDENT1 ? (value & ~0xfu) | 1 : value;
}
"""
    text = text.replace("case DRM_V3D_PARAM_SUPPORTS_TFU:",
                        "case DRM_V3D_PARAM_MAX_PERF_COUNTERS: gp->value = 0; return 0;\n"
                        "case DRM_V3D_PARAM_SUPPORTS_MULTISYNC_EXT:\n"
                        "case DRM_V3D_PARAM_SUPPORTS_CPU_QUEUE:\ncase DRM_V3D_PARAM_SUPPORTS_TFU:")
    text = text.replace("= v3d42_reg_map[gp->param];",
                        "= of_chip(gp->param, v3d42_reg_map[gp->param]);")
    start = re.search(r"^static int\s+v3d_ioctl_get_param", text, re.M).start()
    return "#include <stdlib.h>\n#include <string.h>\n" + text[:start] + function + text[start:]


COMMON = ["drm-shim/drm_shim.c", "drm-shim/device.c", "util/hash_table.c", "util/set.c",
          "util/ralloc.c", "util/vma.c", "util/u_debug.c", "util/anon_file.c", "util/os_misc.c",
          "util/simple_mtx.c", "util/log.c", "util/rb_tree.c", "util/u_call_once.c",
          "util/u_process.c", "c11/impl/threads_posix.c"]
KINDS = {
    "intel": Kind(["intel/tools/intel_noop_drm_shim.c", "intel/dev/intel_device_info.c",
                   "intel/dev/intel_kmd.c", "intel/dev/i915/intel_device_info.c"],
                  [("intel/dev/gen_wa_helpers.py", ["mesa_defs.json"],
                    ["intel_wa.h", "intel_wa.c"]),
                   ("intel/dev/intel_device_info_gen_h.py", [], ["intel_device_info_gen.h"])]),
    "freedreno": Kind(["freedreno/drm-shim/freedreno_noop.c"],
                      patches={"freedreno/drm-shim/freedreno_noop.c": refuse_newer_parameters}),
    "broadcom": Kind(["broadcom/drm-shim/v3d_noop.c"],
                     patches={"broadcom/drm-shim/v3d_noop.c": newer_broadcom}),
    "nouveau": Kind(["nouveau/drm-shim/nouveau_noop.c"],
                    patches={"nouveau/drm-shim/nouveau_noop.c": newer_nvidia}),
}

# What Mesa's own build finds out of a glibc and gcc on x86-64.
DEFINES = ["_GNU_SOURCE", "HAVE_PTHREAD", "HAVE_STRUCT_TIMESPEC", "HAVE_PROGRAM_INVOCATION_NAME",
           "HAVE_TIMESPEC_GET", "UTIL_ARCH_LITTLE_ENDIAN=1", "UTIL_ARCH_BIG_ENDIAN=0",
           "HAVE_ENDIAN_H", "HAVE___BUILTIN_EXPECT", "HAVE___BUILTIN_FFS", "HAVE___BUILTIN_FFSLL",
           "HAVE___BUILTIN_POPCOUNT", "HAVE___BUILTIN_UNREACHABLE",
           "HAVE___BUILTIN_TYPES_COMPATIBLE_P", "HAVE_MEMFD_CREATE", "HAVE_SECURE_GETENV", "NDEBUG"]


def build(kind, mesa, folder, python, run):
    """Makes shim.so in the folder. `run` runs a command or raises Missing."""
    what, src = KINDS[kind], mesa / "src"
    # All that is wanted of libdrm's headers.
    (folder / "xf86drm.h").write_text(
        "enum { DRM_BUS_PCI, DRM_BUS_USB, DRM_BUS_PLATFORM, DRM_BUS_HOST1X };\n")
    made = []
    for script, words, names in what.generated:
        home = folder / script.rpartition("/")[0]
        home.mkdir(parents=True, exist_ok=True)
        files = [home / name for name in names]
        run([python, src / script, *words, *files], cwd=(src / script).parent)
        made += [file for file in files if file.suffix == ".c"]
    sources = [src / name for name in COMMON] + made
    for name in what.files:
        path = src / name
        if name in what.patches:
            text = what.patches[name](path.read_text())
            # Beside nothing else, so what it names from where it lies is found from there.
            path = folder / path.name
            path.write_text(re.sub(r'#include "\.\./\.\./', '#include "', text))
        sources.append(path)
    folders = [folder, folder / kind / "dev", folder / kind, mesa / "include", src,
               src / kind, src / kind / "dev"]
    options = ["-std=gnu11", "-w", "-O1", "-fPIC", "-fvisibility=hidden", "-ffunction-sections",
               "-fdata-sections", *(f"-D{name}" for name in DEFINES),
               *(f"-I{path}" for path in folders if path.is_dir())]
    objects = []
    for number, path in enumerate(sources):
        objects.append(folder / f"{number}.o")
        run(["gcc", *options, "-c", path, "-o", objects[-1]])
    # What nothing of it calls is left out, with all that it would need; one function of Intel's that
    # reads a device from a file is called only where a variable names one, and stays undefined.
    run(["gcc", "-shared", "-Wl,--gc-sections", "-Wl,-z,lazy", "-o", folder / "shim.so.new", *objects,
         "-ldl"])
    (folder / "shim.so.new").rename(folder / "shim.so")
