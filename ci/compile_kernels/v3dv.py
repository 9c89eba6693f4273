"""Mesa's driver for the V3D of Raspberry Pis, which Debian has for ARM alone: built by Mesa's own build,
without the rest of it."""
import json
import os

TOOLS = ("meson", "ninja", "mako", "packaging", "pyyaml")  # PyPI's: Mesa asks for newer ones than Debian 12 has
DRIVER = "src/broadcom/vulkan/libvulkan_broadcom.so"
OPTIONS = {"vulkan-drivers": "broadcom", "gallium-drivers": "", "platforms": "", "video-codecs": "",
           "opengl": "false", "buildtype": "plain", "optimization": "1", "b_ndebug": "true",
           **{name: "disabled" for name in ("llvm", "glx", "egl", "gbm", "gles1", "gles2", "zstd", "expat",
                                            "xmlconfig", "valgrind", "libunwind", "shader-cache")}}


def build(mesa, headers, folder, programs, run):
    """Makes the driver, and icd.json, which names it to Vulkan's loader, in the folder. headers: a root with
    libdrm's; programs: the folder of the tools. `run` runs a command or raises Missing."""
    pkgconfig = [headers / place / "pkgconfig" for place in ("usr/lib/x86_64-linux-gnu", "usr/share")]
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
                                "PKG_CONFIG_SYSROOT_DIR": str(headers),
                                "PKG_CONFIG_LIBDIR": os.pathsep.join(map(str, pkgconfig))}
    options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
    run([programs / "meson", "setup", *options, folder / "build", mesa], env=environment)
    run([programs / "ninja", f"-j{len(os.sched_getaffinity(0))}", "-C", folder / "build", DRIVER],
        env=environment)
    driver = {"library_path": str(folder / "build" / DRIVER), "api_version": "1.3.0"}
    (folder / "icd.json").write_text(json.dumps({"file_format_version": "1.0.0", "ICD": driver}))
