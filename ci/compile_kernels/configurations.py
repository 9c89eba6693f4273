"""What is compiled: the configurations that the build's programs list, and what is wrong with one."""
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from .tools import Refused


@dataclasses.dataclass
class Configuration:
    target: str
    first: bool
    choice: str
    group: int
    columns: tuple           # from, to
    estimated: tuple         # those of configurations.c's numbers that it is the first choice for
    spec: str
    program: str
    options: str
    kernels: list = None
    error: str = None

    @property
    def schedule(self):
        """Its name; the kernels that find gradients are others than the forward pass has by it."""
        name = self.choice.split()[0]
        return f"{name}, gradients" if self.finds_gradients else name

    @property
    def finds_gradients(self):
        return self.program.startswith("backward")

    @property
    def numbers(self):
        return dict(re.findall(r"(\w+)=(\w+)", self.choice))

    @property
    def size(self):
        """By what it asks of the registers: elements held, work-items that share them, then tensors and
        whatever else the kernel has beside them."""
        number = {key: int(value) for key, value in self.numbers.items() if value.isdigit()}
        return number.get("held", 1) * number.get("vector", 1), self.group, len(self.options.split())

    @property
    def types(self):
        """x, then y where it differs, as the table has them."""
        x = next((word for word in self.spec.split() if word in ("f16", "bf16", "f64")), "f32")
        y = re.findall(r"\by=(\w+)", self.spec)
        return x + (f" to {y[0]}" if y else "")

    @property
    def plain(self):
        """Whether it is an ordinary layer norm of one type, of which there are estimates."""
        usual = {"f32", "f16", "parameters=f16", "weight", "bias", "mean", "rstd", "eps=1e-05"}
        kind, _, *words = self.spec.split()
        return kind == "layer-norm" and usual.issuperset(words)

    def faults(self, hardware):
        if self.error:
            return [self.error]
        found = []
        for kernel in self.kernels:
            where = "" if len(self.kernels) == 1 else f"{kernel.name}: "
            if kernel.calls:
                found.append(f"{where}{kernel.calls} calls of functions, which hide what they take")
            if kernel.spills:
                found.append(f"{where}{kernel.spills} spilled")
            # A wave's scalar registers that go into lanes of a vector register never see memory; the
            # page shows them, and more than fill one are a sign of something else. Each tensor of a
            # spec is six: a pointer, an offset and a row's place. Gradients are two kernels in one,
            # each with tensors of its own.
            if kernel.scalar_spills > (128 if self.finds_gradients else 64):
                found.append(f"{where}{kernel.scalar_spills} scalar registers spilled")
            if kernel.scratch:
                found.append(f"{where}{kernel.scratch} bytes of scratch memory")
            if kernel.registers and not hardware.occupancy(kernel, self.group):
                found.append(f"{where}{kernel.registers} registers are too many for a group of "
                             f"{self.group}")
        return found


def kind_of(configuration, numbers):
    """The configuration without some of its choice's numbers, in the words of its options."""
    options = configuration.options
    for number in numbers:
        options = re.sub(rf" -D{number.upper()}=\d+", "", options)
    return configuration.target, configuration.first, configuration.schedule, options


def effort_word(effort):
    """What the programs know of it."""
    return "quick" if effort == "quick" else "all"


def list_configurations(command, effort, environment={}, coarse=False):
    """Each different program to compile once: the same one may serve several specs. coarse: of those
    of one schedule and types, the one that asks for the most."""
    command = [str(word) for word in command]
    # Without the caller's settings, caches and tunings: what a new user's library would choose.
    plain = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "ANYNORM_CACHE": "off"}
    done = subprocess.run(command, text=True, capture_output=True, env=plain | environment)
    if done.returncode != 0:
        sys.exit(f"ci/compile-kernels: {' '.join(command)} failed with exit status {done.returncode}: "
                 f"{(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    unique = {}
    for line in done.stdout.splitlines():
        target, rank, choice, group, low, high, estimated, spec, file, options = line.split("\t")
        new = Configuration(target, rank == "first", choice, int(group), (int(low), int(high)),
                            tuple(int(number) for number in estimated.split(",") if number),
                            spec, file, options)
        if effort != "usual" and not new.first:
            continue
        # Those of the estimates stay apart.
        apart = new.estimated if new.plain else ()
        if apart:
            folded = []
        elif effort == "quick" or not new.first:
            folded = new.numbers
        elif effort == "usual":
            folded = new.numbers.keys() - {"held", "vector"}
        else:
            folded = []
        kind = ((new.schedule, new.types) if coarse and not apart else kind_of(new, folded)), apart
        old = unique.setdefault(kind, new)
        if new.size > old.size:
            unique[kind] = new
    if not unique:
        sys.exit(f"ci/compile-kernels: {' '.join(command)} lists nothing")
    return list(unique.values())


def compile_one(compiler, configuration, sources):
    """Of OpenCL."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            configuration.kernels = compiler.compile(sources / f"{configuration.program}.cl",
                                                     configuration.options.split(), folder)
            if not configuration.kernels:
                configuration.error = "the compiler tells of no kernel"
        except (Refused, OSError, KeyError, IndexError, ValueError, StopIteration) as error:
            configuration.error = f"{type(error).__name__}: {error}" \
                if not isinstance(error, Refused) else str(error)


# What every compiler is shown first: kernels that are fine, too large for any registers, and not all
# there. A new compiler may tell of these in other words, which the check would overlook.
CANARY = """
float nowhere(float value);

__kernel void anynorm(__global float *x)
{
#if FINE
    x[get_global_id(0)] = rsqrt(x[get_global_id(0)]);
#elif SCRATCH
    float kept[2048];
    for (int i = 0; i < 2048; i++)
        kept[i] = x[i];
    for (int i = 0; i < 2048; i++)
        x[i] = kept[(int)x[2048 + i] & 2047];
#else
    x[0] = nowhere(x[1]);
#endif
}
"""


def check_the_check(compiler, hardware, sources):
    """What the check overlooks of OpenCL's kernels, or accuses wrongly."""
    (sources / "canary.cl").write_text(CANARY)
    wrong = []
    for word, fine in (("FINE", True), ("SCRATCH", False), ("CALLS", False)):
        canary = Configuration("canary", True, "canary", 64, (1, 1), (), "", "canary",
                               f"-cl-std=CL1.2 -D{word}=1")
        compile_one(compiler, canary, sources)
        told = any(kernel.registers is not None for kernel in canary.kernels or [])
        if word == "SCRATCH" and not told and not canary.error:
            continue  # nothing is known of registers
        if bool(canary.faults(hardware)) == fine or (canary.error and word == "SCRATCH"):
            wrong.append(f"the check itself is wrong about a kernel of the kind {word}: "
                         f"{canary.faults(hardware) or 'found nothing'}")
    return wrong
