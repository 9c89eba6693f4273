"""OpenCL's compilers: those of the devices' drivers, or the nearest that can be had."""
import pathlib
import re
import struct
import subprocess
import tempfile

from . import hardware
from .hardware import Kernel
from .tools import Missing, Refused, find_packaged, find_program, first_line, run

CLANGS = [f"clang-{version}" for version in range(23, 16, -1)]


class Amd:
    """clang with AMD's own built-in library, which its driver links, too: without it rsqrt or
    get_group_id are calls into nowhere, and the counts mean nothing."""

    def __init__(self, name, downloads):
        self.name = name
        clang = find_program(*CLANGS)
        builtins = find_packaged("rocm-device-libs", "opencl.bc")
        self.clang = [clang]
        if not self.known_by(clang) and downloads:
            self.clang, builtins = downloads.clang()
        elif not clang:
            raise Missing("no clang-17 or newer")
        elif not self.known_by(clang):
            raise Missing(f"{pathlib.Path(clang).name} does not know it")
        if not builtins:
            raise Missing("no rocm-device-libs")
        self.bitcode = bitcode(pathlib.Path(builtins).parent, name)
        self.versions = [first_line(*self.clang, "--version"), "AMD's device libraries"]

    def known_by(self, clang):
        return clang and self.name in subprocess.run(
            [clang, "--target=amdgcn-amd-amdhsa", "-nogpulib", "--print-supported-cpus"], text=True,
            capture_output=True).stderr.split()

    def compile(self, source, options, folder):
        linked = [word for path in self.bitcode
                  for word in ("-Xclang", "-mlink-builtin-bitcode", "-Xclang", path)]
        run([*self.clang, "-w", "-x", "cl", *options, "-target", "amdgcn-amd-amdhsa",
             f"-mcpu={self.name}", "-mcode-object-version=5", "-nogpulib", "-O3", "-mllvm",
             "-amdgpu-early-inline-all", *linked, "-S", source, "-o", "out.s"], folder)
        text = (folder / "out.s").read_text()
        calls = len(re.findall(r"^\s+s_(?:swappc|swap_pc_i64)\w*", text, re.M))
        code = text.split("amdhsa.kernels:")[0]
        kernels = []
        for entry in re.split(r"^  - ", text.split("amdhsa.kernels:")[1], flags=re.M)[1:]:
            field = dict(re.findall(r"^(?:    )?\.(\w+): +(\S+)$", entry, re.M))
            if "symbol" not in field:
                continue
            name = field["name"]
            body = re.findall(rf"^{name}:(.*?)^\s+\.section", code, re.M | re.S)
            words = re.findall(r"^\t((?:s|v|ds|global|buffer|flat|scratch)_\w+)", "".join(body), re.M)
            loads = [word for word in words if word.startswith("global_load")]
            # Room for scalar registers that went into lanes of a vector register instead is no memory
            # that anything touches.
            memory = ("scratch_", "buffer_load", "buffer_store", "flat_")
            touched = any(word.startswith(memory) for word in words)
            kernels.append(Kernel(
                name, registers=int(field["vgpr_count"]),
                spills=int(field["vgpr_spill_count"]), scalar_spills=int(field["sgpr_spill_count"]),
                scratch=int(field["private_segment_fixed_size"]) if touched else 0,
                local=int(field["group_segment_fixed_size"]), calls=calls,
                instructions=len(words), loads=len(loads),
                wide_loads=sum(word.endswith(("x4", "b128")) for word in loads)))
        return kernels


def bitcode(folder, name):
    """The files of AMD's library for a device."""
    number = name.removeprefix("gfx")

    def order(number):
        return int(number[:-2]), int(number[-2], 16), int(number[-1], 16)

    # A library older than the device: the file of the last one before it. It only tells functions on
    # images and on clocks apart.
    known = [path.stem.removeprefix("oclc_isa_version_")
             for path in folder.glob("oclc_isa_version_*.bc")]
    before = sorted((one for one in known if re.fullmatch(r"\d+[0-9a-f]{2}", one) and
                     order(one) <= order(number)), key=order)
    if not before:
        raise Missing("the rocm-device-libs that are here know no device as old")
    wide = "off" if number.startswith("1") else "on"
    names = ["opencl", "ocml", "ockl", f"oclc_isa_version_{before[-1]}",
             f"oclc_wavefrontsize64_{wide}", "oclc_abi_version_500", "oclc_daz_opt_off",
             "oclc_finite_only_off", "oclc_unsafe_math_off", "oclc_correctly_rounded_sqrt_off"]
    return [path for path in (folder / f"{name}.bc" for name in names) if path.exists()]


class Nvidia:
    """clang and the PTX built-in library of libclc; then, where CUDA is installed, ptxas."""

    def __init__(self, name, downloads):
        self.name = name
        self.clang = find_program(*CLANGS)
        self.builtins = find_packaged("libclc-15", "nvptx64--nvidiacl.bc")
        if not self.clang:
            raise Missing("no clang-17 or newer")
        if not self.builtins:
            raise Missing("no libclc-15")
        self.ptxas, self.lister = find_program("ptxas"), find_program("nvdisasm")
        if downloads and not self.ptxas:
            self.ptxas = downloads.optional(downloads.ptxas)
        if downloads and not self.lister:
            self.lister = downloads.optional(downloads.nvdisasm)
        self.without = None if self.ptxas else "registers (no ptxas)"
        self.versions = [
            first_line(self.clang, "--version"), "libclc",
            "ptxas " + re.findall(r"V[\d.]+", subprocess.run(
                [self.ptxas, "--version"], text=True, capture_output=True).stdout)[0]
            if self.ptxas else "no ptxas: compiled to PTX only, no figures"]

    def compile(self, source, options, folder):
        # PTX of an older device is every newer one's, of which a clang may not know.
        virtual = f"sm_{min(int(self.name.removeprefix('sm_')), 90)}"
        # NVIDIA's compiler defines the macro, and kernels may ask for it; and it inlines everything.
        run([self.clang, "-w", "-x", "cl", *options, "-D__NV_CL_C_VERSION=120", "-target",
             "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", virtual, "-nogpulib", "-O3",
             "-mllvm", "-inline-threshold=1000000", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
             self.builtins, "-S", source, "-o", "out.ptx"], folder)
        text = (folder / "out.ptx").read_text()
        calls = len(re.findall(r"^\s*call\b", text, re.M))
        if not self.ptxas or calls:
            return [Kernel(name, calls=calls) for name in re.findall(r"\.entry (\w+)", text)]
        told = run([self.ptxas, f"-arch={self.name}", "-v", "out.ptx", "-o", "out.cubin"], folder)
        listing = run([self.lister, "out.cubin"], folder) if self.lister else ""
        kernels = []
        for part in told.split("Compiling entry function '")[1:]:
            def number(pattern, part=part):
                return int((re.findall(pattern, part) or [0])[0])
            name = part.split("'")[0]
            kernels.append(Kernel(
                name, registers=number(r"Used (\d+) registers"),
                spills=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
                scratch=number(r"(\d+) bytes stack frame"), local=number(r"(\d+) bytes smem"),
                **count_sass(listing, name)))
        return kernels


def count_sass(listing, kernel):
    """Instructions of one kernel in nvdisasm's listing, and its loads of global memory."""
    body = re.findall(rf"^\.text\.{kernel}:(.*?)(?:^\s*\.section|\Z)", listing, re.M | re.S)
    words = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)", "".join(body), re.M)
    words = [word for word in words if word not in ("NOP", "BRA.DIV")]
    if not words:
        return {}
    loads = [word for word in words if word.startswith("LDG")]
    return {"instructions": len(words), "loads": len(loads),
            "wide_loads": sum(".128" in word for word in loads)}


class Intel:
    """ocloc: the driver's own compiler, which tells in a section of the binary."""
    devices = {"lnl": "lnl-m", "ptl": "ptl-h"}  # its names, where they are others

    def __init__(self, name, downloads):
        self.device = self.devices.get(name, name)
        ocloc = find_program("ocloc")
        self.ocloc = [ocloc] if ocloc else None
        # Each generation has devices that the other does not: 26 no Gen9, 22 nothing after DG2.
        if downloads and not (ocloc and self.knows()):
            self.ocloc = downloads.ocloc()
        if not self.ocloc:
            raise Missing("no ocloc (package intel-opencl-icd)")
        if not self.knows():
            raise Missing(f"{self.version()} does not know it")
        self.versions = [self.version()]

    def version(self):
        with tempfile.TemporaryDirectory() as folder:  # it answers in a file
            told = subprocess.run([*self.ocloc, "query", "OCL_DRIVER_VERSION"], cwd=folder, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            answer = pathlib.Path(folder, "OCL_DRIVER_VERSION")
            text = answer.read_text() if answer.exists() else told.stdout
        return ("ocloc " + text.strip(" \0\n")).strip()

    def knows(self):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "none.cl")
            source.write_text("__kernel void none(void) {}\n")
            try:
                self.compile(source, [], pathlib.Path(folder))
            except (Refused, OSError):
                return False
        return True

    def compile(self, source, options, folder):
        told = run([*self.ocloc, "compile", "-file", source, "-device", self.device, "--format",
                    "zebin", "-output_no_suffix", "-output", "out", "-options", " ".join(options)],
                   folder)
        spilled = {name: int(count) for name, count in
                   re.findall(r"kernel (\w+) +compiled.*spilled around (\d+)", told)}
        binary = next(path for path in (folder / "out", folder / "out.bin") if path.exists())
        sections, undefined = read_elf(binary.read_bytes())
        kernels = []
        about = sections[".ze_info"].decode().split("kernels_misc_info:")[0]
        for entry in re.split(r"^  - name: +", about.split("kernels:")[1], flags=re.M)[1:]:
            name = entry.split()[0]
            field = dict(re.findall(r"^      (\w+): +(\S+)$", entry, re.M))
            memory = entry.partition("per_thread_memory_buffers:")[2]
            kernels.append(Kernel(
                name, registers=int(field.get("grf_count", 128)), spills=spilled.get(name, 0),
                scratch=sum(int(size) for size in re.findall(r"^ +size: +(\d+)", memory, re.M)),
                local=int(field.get("slm_size", 0)), lanes=int(field["simd_size"]),
                calls=undefined))
        return kernels


def read_elf(data):
    """The contents of each section by name, and the number of functions left undefined."""
    start, = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    heads = [struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * i) for i in range(count)]

    def text(section, at):
        at += heads[section][4]
        return data[at:data.index(b"\0", at)].decode()

    sections, undefined = {}, 0
    for name, kind, _, _, offset, size, link, _, _, _ in heads:
        sections[text(names, name)] = data[offset:offset + size]
        if kind == 2:  # symbols: the first is none; section 0 is nowhere
            for symbol in range(offset + 24, offset + size, 24):
                label, _, _, section = struct.unpack_from("<IBBH", data, symbol)
                # Places that the driver fills with numbers of its own are no functions.
                undefined += (section == 0 and label != 0 and
                              "INTEL_PATCH" not in text(link, label))
    return sections, undefined


class SpirV:
    """clang with its own optimizer off (it leaves the blocks in an order that SPIR-V's rules
    forbid), then the translator, then the judge of those rules."""

    def __init__(self, name, downloads):
        del name, downloads
        pairs = ((find_program(f"clang-{v}"), find_program(f"llvm-spirv-{v}"))
                 for v in range(22, 13, -1))
        self.clang, self.translator = next((pair for pair in pairs if all(pair)), (None, None))
        self.judge = find_program("spirv-val")
        if not self.clang:
            raise Missing("no clang and llvm-spirv of one version")
        if not self.judge:
            raise Missing("no spirv-val (package spirv-tools)")
        self.versions = [first_line(self.clang, "--version"), "llvm-spirv",
                         first_line(self.judge, "--version")]

    def compile(self, source, options, folder):
        # By C99's rule an inline function that is not inlined is called as one of another file: without
        # the optimizer that would be all of them.
        run([self.clang, "-w", "-x", "cl", *options, "-target", "spir64", "-O0", "-fgnu89-inline",
             "-emit-llvm", "-c", source, "-o", "out.bc"], folder)
        run([self.translator, "--spirv-max-version=1.2", "out.bc", "-o", "out.spv"], folder)
        run([self.judge, "--target-env", "opencl2.2", "out.spv"], folder)
        return [Kernel("anynorm", calls=count_imports((folder / "out.spv").read_bytes()))]


def count_imports(module):
    """Names that a SPIR-V module wants from another, beside the built-in variables: OpDecorate (71)
    with LinkageAttributes (41), whose last word is 1 for an import."""
    words = struct.unpack(f"<{len(module) // 4}I", module)
    at, found = 5, 0
    while at < len(words):
        length, code = words[at] >> 16, words[at] & 0xffff
        if code == 71 and words[at + 2] == 41 and words[at + length - 1] == 1:
            name = module[4 * (at + 3):4 * (at + length - 1)]
            found += not name.startswith(b"__spirv_BuiltIn")
        at += max(length, 1)
    return found


TARGETS = {
    "skl": (Intel, hardware.GEN9),
    "tgllp": (Intel, hardware.GEN12),
    "dg2": (Intel, hardware.DG2),
    "mtl": (Intel, hardware.MTL),
    "pvc": (Intel, hardware.PVC),
    "bmg": (Intel, hardware.BMG),
    "lnl": (Intel, hardware.LNL),
    "ptl": (Intel, hardware.PTL),
    "gfx90a": (Amd, hardware.CDNA2),
    "gfx942": (Amd, hardware.CDNA3),
    "gfx950": (Amd, hardware.CDNA4),
    "gfx1030": (Amd, hardware.RDNA2),
    "gfx1100": (Amd, hardware.RDNA3),
    "gfx1151": (Amd, hardware.RDNA3_5),
    "gfx1201": (Amd, hardware.RDNA4),
    "gfx1250": (Amd, hardware.GFX1250),
    "sm_75": (Nvidia, hardware.TURING),
    "sm_80": (Nvidia, hardware.AMPERE),
    "sm_90": (Nvidia, hardware.HOPPER),
    "sm_100": (Nvidia, hardware.BLACKWELL),
    "sm_120": (Nvidia, hardware.BLACKWELL_120),
    "sm_121": (Nvidia, hardware.GB10),
    "spirv": (SpirV, hardware.SPIRV),
}
