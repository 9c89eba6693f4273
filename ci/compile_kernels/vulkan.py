"""Vulkan's drivers, which compile with no GPU: what they make of a pipeline, in their own words of
VK_KHR_pipeline_executable_properties, asked by the build's tests/vulkan_configurations."""
import glob
import os
import re
import subprocess

from . import hardware
from .configurations import Configuration, effort_word, list_configurations
from .hardware import Kernel
from .tools import Missing

LONGEST = 1800  # seconds of a processor, of one process's pipelines


class Driver:
    """One driver, made to believe in a device. `names`: its word for each figure of a Kernel; without
    one of those that begin a line here nothing is known of a pipeline, which is a fault."""
    names = {}
    must_tell = ("spills", "scratch")

    def __init__(self, name, program, command, environment):
        self.name = name
        self.command = [*command, os.path.abspath(program)]
        self.environment = {"MESA_SHADER_CACHE_DISABLE": "true", **environment}
        answer, said = self.ask([])
        if not answer or answer[0][0] != "device":
            raise Missing(said or "the driver shows no device")
        self.versions = [f"{answer[0][1]}: {answer[0][2]}"]

    def ask(self, lines):
        """What vulkan_configurations answers, by lines and fields, and its last word where it fails."""
        plain = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"} | self.environment
        text = "".join(f"{spec}\t{schedule}\n" for spec, schedule in lines)
        command = ["sh", "-c", f'ulimit -t {LONGEST}; exec "$@"', "sh", *self.command, "compile"]
        done = subprocess.run(command, input=text, text=True, capture_output=True, env=plain,
                              errors="replace")
        out, code, said = done.stdout, done.returncode, done.stderr.strip().splitlines()
        why = ""
        if code != 0:
            why = said[-1] if said and "configurations:" in said[-1] else f"the driver died: {code}"
        return [line.split("\t") for line in out.splitlines()
                if re.match(r"(device|ok|failed)\t", line)], why

    def list(self, effort):
        listed = list_configurations([*self.command, effort_word(effort)], effort,
                                     self.environment, coarse=effort == "quick")
        for one in listed:
            one.target = self.name
        return listed

    def compile_all(self, configurations):
        """Fills in their kernels; a driver that ends the process is started anew after the one that
        it cannot bear."""
        rest = list(configurations)
        while rest:
            lines = [(one.spec, "" if one.first else one.choice) for one in rest]
            answers, why = self.ask(lines)
            answers = answers[1:]
            for one, answer in zip(rest, answers):
                self.note(one, answer)
            rest = rest[len(answers):]
            if rest:
                rest.pop(0).error = why or "no answer"

    def note(self, configuration, answer):
        if answer[0] != "ok":
            configuration.error = answer[1]
            return
        if answer[1] != configuration.choice:
            configuration.error = f"became {answer[1]}: the driver does not compile it"
            return
        try:
            configuration.kernels = self.read(answer[3:])
        except (KeyError, ValueError) as error:
            configuration.error = f"the driver does not tell of {error}"

    def read(self, fields):
        """The executables of a pipeline: each begins with its name."""
        executables = []
        for field in fields:
            name, _, value = field.partition("=")
            if name == "executable":
                executables.append({})
            executables[-1][name] = value
        if not executables:
            raise KeyError("executables")
        kernels = []
        for told in executables:
            kernel = Kernel(told["executable"], lanes=int(told["lanes"]))
            for figure, word in self.names.items():
                if figure in self.must_tell or word in told:
                    setattr(kernel, figure, int(float(told[word])))
            kernels.append(self.adjust(kernel, told))
        return kernels

    def adjust(self, kernel, told):
        del told
        return kernel

    # A layer norm that every device holds with ease.
    FINE = "layer-norm 1x64 f32 weight bias"

    def check_the_check(self, unit):
        """What the check overlooks of a pipeline, or accuses wrongly: one that is fine, as the driver tells
        of it, and then with one thing wrong."""
        answers, why = self.ask([(self.FINE, "")])
        if len(answers) < 2:
            return [f"the check itself gets no answer: {why}"]
        wrong = []
        told = answers[1]

        def look(fields):
            canary = Configuration(self.name, True, fields[1], int(fields[2]), (64, 64), (), self.FINE,
                                   "canary", "")
            self.note(canary, fields)
            return canary

        fine = look(told)
        if fine.faults(unit):
            wrong.append(f"the check itself is wrong about a pipeline that is fine: {fine.faults(unit)}")
        for figure in self.must_tell:
            word = f"{self.names[figure]}="
            others = [field for field in told if not field.startswith(word)]
            if not look(others).error:
                wrong.append(f"the check itself does not miss the driver's {word}")
            if figure in ("spills", "scratch") and not look([*others, f"{word}16"]).faults(unit):
                wrong.append(f"the check itself overlooks {word}16")
        return wrong


def installed(name):
    """The file that names an installed driver to Vulkan's loader."""
    files = sorted(glob.glob(f"/usr/share/vulkan/icd.d/{name}_icd*.json"))
    return files[0] if files else None


def only(icd):
    return {"VK_ICD_FILENAMES": icd, "VK_DRIVER_FILES": icd}


class Radv(Driver):
    """Makes up a device of the family that it is told; its registers are of a lane."""
    names = {"registers": "VGPRs", "spills": "Spilled VGPRs", "scalar_spills": "Spilled SGPRs",
             "scratch": "Scratch size", "local": "LDS size", "waves": "Subgroups per SIMD",
             "instructions": "Instructions"}
    must_tell = ("registers", "spills", "scratch", "waves")

    def __init__(self, name, downloads, program):
        family = name.removeprefix("radv-")
        icd = installed("radeon")
        tried = Missing("no RADV (package mesa-vulkan-drivers)")
        if icd:
            try:
                super().__init__(name, program, [], only(icd) | {"RADV_FORCE_FAMILY": family})
                return
            except Missing as why:
                tried = Missing(f"the RADV that is here makes no {family}: {why}")
        if not downloads:
            raise tried
        drivers = downloads.drivers("trixie")
        super().__init__(name, program, drivers.loader,
                         only(drivers.icd("radeon")) | {"RADV_FORCE_FAMILY": family})



class Shimmed(Driver):
    """A driver of a newer Debian over one of Mesa's drm-shims, which answers for the kernel."""
    suite, shim, icd = "trixie", "", ""
    chips = {}

    def __init__(self, name, downloads, program):
        if not downloads:
            raise Missing("its driver is had with --download alone")
        drivers = downloads.drivers(self.suite)
        shim = downloads.shim(self.shim)
        chip = self.chips[name.partition("-")[2]]
        super().__init__(name, program, [*drivers.loader, "--preload", shim],
                         only(self.find_icd(downloads, drivers)) | chip)

    def find_icd(self, downloads, drivers):
        del downloads
        return drivers.icd(self.icd)


class Anv(Shimmed):
    names = {"spills": "Spill Count", "scratch": "Scratch Memory Size",
             "local": "Workgroup Memory Size", "instructions": "Instruction Count"}
    must_tell = ("spills", "scratch")
    shim, icd = "intel", "intel"
    chips = {chip: {"INTEL_STUB_GPU": "1", "INTEL_STUB_GPU_PLATFORM": chip}
             for chip in ("skl", "tgl", "dg2", "mtl", "lnl", "bmg")}

    def adjust(self, kernel, told):
        kernel.registers = 128  # of a hardware thread: the driver asks for no other number
        return kernel


class Nvk(Shimmed):
    """What it spills between kinds of registers never sees memory, and counts as none."""
    names = {"registers": "Number of GPRs", "spills": "Spills to memory", "scratch": "SLM size",
             "waves": "Max warps/SM", "instructions": "Instruction count"}
    must_tell = ("registers", "spills", "scratch", "waves")
    suite, shim, icd = "sid", "nouveau", "nouveau"
    chips = {name: {"NOUVEAU_CHIPSET": chip} for name, chip in
             (("turing", "164"), ("ampere", "172"), ("ada", "192"), ("blackwell", "1b2"))}

    def adjust(self, kernel, told):
        kernel.waves //= 4  # of a quarter of a multiprocessor
        return kernel


class Turnip(Shimmed):
    """Its registers are of four words of a lane; what does not fit is stored by STP."""
    names = {"registers": "Registers used", "spills": "STP Count", "waves": "Max Waves Per Core",
             "instructions": "Instruction Count"}
    must_tell = ("registers", "spills", "waves")
    suite, shim, icd = "sid", "freedreno", "freedreno"
    chips = {chip: {"FD_GPU_ID": chip} for chip in ("630", "660", "740")}


class V3dv(Shimmed):
    """Of what it spills it tells the bytes alone, by both names, of a thread: of 16 lanes. So many threads as
    a QPU then holds share its 64 registers of each lane."""
    names = {"spills": "TMU Spills", "scratch": "Spill Size", "waves": "Thread Count",
             "instructions": "Instruction Count"}
    must_tell = ("spills", "scratch", "waves")
    suite, shim = "trixie", "broadcom"
    chips = {"pi4": {"V3D_CHIP": "4.2"}, "pi5": {"V3D_CHIP": "7.1"}}

    def find_icd(self, downloads, drivers):
        return downloads.v3dv()

    def adjust(self, kernel, told):
        kernel.spills = -(-kernel.spills // 64)
        kernel.registers = 64 // kernel.waves
        return kernel


RADV = {
    "polaris10": hardware.GCN4,
    "vega20": hardware.VEGA20,
    "navi10": hardware.RDNA1,
    "navi21": hardware.RDNA2,
    "gfx1100": hardware.RDNA3,
    "gfx1151": hardware.RDNA3_5,
    "gfx1201": hardware.RDNA4,
}
ANV = {
    "skl": hardware.GEN9,
    "tgl": hardware.GEN12,
    "dg2": hardware.DG2,
    "mtl": hardware.MTL,
    "lnl": hardware.LNL,
    "bmg": hardware.BMG,
}
NVK = {
    "turing": hardware.TURING,
    "ampere": hardware.AMPERE_86,
    "ada": hardware.ADA,
    "blackwell": hardware.BLACKWELL_120,
}
V3D = {"pi4": hardware.V3D_4, "pi5": hardware.V3D_7}
TARGETS = {
    **{f"radv-{chip}": (Radv, unit) for chip, unit in RADV.items()},
    **{f"anv-{chip}": (Anv, unit) for chip, unit in ANV.items()},
    **{f"nvk-{chip}": (Nvk, unit) for chip, unit in NVK.items()},
    **{f"turnip-{chip}": (Turnip, hardware.ADRENO) for chip in Turnip.chips},
    **{f"v3dv-{chip}": (V3dv, unit) for chip, unit in V3D.items()},
}
