"""What came of it, written down."""
import collections
import dataclasses
import datetime
import json
import pathlib
import re
import xml.sax.saxutils as xml

from . import estimate


def span(values):
    values = sorted(values)
    if not values:
        return "-"
    low, high = (f"{value:g}" for value in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def wide_share(kernels):
    """Loads of 16 bytes among all, of the kernel with the fewest and of that with the most."""
    told = [kernel for kernel, _ in kernels if kernel.loads]
    return span({round(100 * kernel.wide_loads / kernel.loads) for kernel in told})


def rows_of(configurations, hardware):
    """The lines of one target's table: configurations of one schedule and types together."""
    groups = collections.OrderedDict()
    for one in configurations:
        groups.setdefault((one.schedule, one.types, one.first), []).append(one)
    for (schedule, types, first), members in sorted(groups.items(), key=lambda item: not item[0][2]):
        kernels = [(kernel, one) for one in members for kernel in one.kernels or []]
        told = [(kernel, one) for kernel, one in kernels if kernel.registers is not None]
        bad = sum(bool(one.faults(hardware)) for one in members)
        lanes = span({kernel.lanes or hardware.lanes for kernel, _ in told})
        counted = {kernel.instructions for kernel, _ in kernels if kernel.instructions}
        yield (f"| {schedule}{'' if first else ' (not first)'} | {types} | {len(members)} | "
               f"{span({one.group for one in members})} | "
               f"{lanes} | {span({kernel.registers for kernel, _ in told})} | "
               f"{span({kernel.local for kernel, _ in told})} | "
               f"{span({round(hardware.occupancy(k, one.group), 1) for k, one in told})} | "
               f"{span(counted)} | {wide_share(kernels)} | "
               f"{max((k.spills + k.scalar_spills for k, _ in kernels), default=0)} | "
               f"{max((k.scratch for k, _ in kernels), default=0)} | {bad} |")


TABLE_HEAD = """\
| schedule | types | configurations | group | lanes | registers | local, bytes | waves | instructions | wide, % | spills | scratch | bad |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""

PAGE_HEAD = """\
# Kernels on GPUs that are not here

Written by `ci/compile-kernels --table`; not to be edited. Configurations that the selection has for
these devices, by types, flags and numbers of columns: of OpenCL (what each device tells of itself is in
`tests/kernels/kernel_configurations.c`) compiled with the compiler that the device's driver uses, or the
nearest that can be had; of Vulkan (`radv-`, `anv-`, `nvk-`, `turnip-`, `v3dv-`) by the driver itself, which
is made to believe in the device, and which tells of each pipeline through
`VK_KHR_pipeline_executable_properties`. Nothing was run: these figures say what a kernel takes, not how
fast it is.

Each target's part names the date and the command that it is of, which the programs and `--table` go with: a run
makes those of its own targets anew and leaves the others as they were, of the kernels of their day.

A line takes together the configurations of one schedule and pair of types, from the least to the most
of each figure: *group* in work-items, *lanes* of a wave (warp, sub-group), *registers* of a lane (Intel:
of a hardware thread; turnip: of four words), *local* memory of a group, *waves* that each SIMD (Intel: execution unit, NVIDIA:
quarter of a multiprocessor) holds at a time, by registers, local memory and the size of the group,
*instructions* of the whole listing, *wide*: the loads of global memory in it that are of 16 bytes.
*spills* (AMD: registers, vector and scalar; Intel: registers; NVIDIA: bytes) and bytes of *scratch*
memory (of a lane; Intel's ahead of DG2: of a hardware thread; v3dv's: of a thread of 16 lanes) are the worst ones', *bad* is the number of
configurations that have any or cannot run at their group size. Scalar registers count up to 64 as none: they
go into lanes of a vector register and never see memory. Those the selection chooses first for some number of
columns must have none, but for what `ci/compile-kernels` knows of and prints (f64 on Gen9, whose registers do not hold
vectors of four doubles, gradients of gate, scale and sum in one kernel on Intel's, and kernels of V3D that read a row
twice are the most of it); the others ("not first") serve when asked for by name.
"""

ESTIMATES = """\
## Estimates

**Estimates, not measurements**: the share of a board's peak memory bandwidth that an ordinary layer norm of so
many columns could reach as far as its compiled kernel decides. Little's law: the groups that fit a compute unit at a
time have the bytes of their rows under way for as long as a group lives, which is the memory's latency
(0.3 to 0.8 us, by the kind of board) and 0.4 us for the sums and the stores; the same bytes are written. *in flight*: that
is too little for the peak. *instructions*: half of the listing, since it has a path for whole vectors and one for
the others, takes longer than the memory does. No copy reaches more than {most} of a data sheet's peak, so no cell does. The
order is to be trusted, not the second digit. "-": the rows are not held, or the compiler tells too little.
"""


def section_of(name, stamp, compiler, hardware, configurations):
    """One target's part of the page; `stamp`: when, and by what command."""
    lines = [f"## {name} ({hardware.name})\n", f"{stamp}: {'; '.join(compiler.versions)}.\n"]
    if any(kernel.registers is not None for one in configurations for kernel in one.kernels or []):
        lines.append(f"Of {hardware.waves} waves at most.\n\n{TABLE_HEAD}")
        lines += rows_of(configurations, hardware)
        lines.append("")
    else:
        bad = sum(bool(one.faults(hardware)) for one in configurations)
        lines.append(f"{len(configurations)} configurations compiled, {bad} refused. There are "
                     "no registers to count.\n")
    return "\n".join(lines)


def parts_of(text):
    """A page's line of estimates and its section, each by target."""
    _, *sections = re.split(r"^(?=## )", text, flags=re.M)
    named = {section.split()[1]: section for section in sections}
    estimates = named.pop("Estimates", "")
    return {line.split()[1]: line for line in estimates.splitlines() if line.startswith("| ")}, named


def write_table(path, command, targets, skipped, order):
    """The page anew, with what it had of the targets that were not compiled now; `order`: all there are,
    `command`: without its targets."""
    path = pathlib.Path(path)
    estimates, sections = parts_of(path.read_text(encoding="utf-8") if path.exists() else "")
    for name in skipped:
        if not sections.get(name, "").startswith(f"## {name} ("):
            sections[name] = f"## {name}\n\nSkipped: {skipped[name]}.\n"
    for name, (compiler, hardware, configurations) in targets.items():
        stamp = f"{datetime.date.today().isoformat()}, `{command} --only {name}`"
        sections[name] = section_of(name, stamp, compiler, hardware, configurations)
        estimates.pop(name, None)
    head, rule, *lines = estimate.table((name, hardware, configurations)
                                        for name, (_, hardware, configurations) in targets.items())
    estimates.update((line.split()[1], line) for line in lines)
    page = [PAGE_HEAD, ESTIMATES.format(most=estimate.MOST), head, rule,
            *(estimates[name] for name in order if name in estimates), ""]
    page += [sections[name].rstrip("\n") + "\n" for name in order if name in sections]
    path.write_text("\n".join(page), encoding="utf-8")


def write_junit(path, failures, skipped):
    lines = ['<testsuite name="compile-kernels">']
    for target, faults in failures.items():
        inner = "".join(f"<failure>{xml.escape(chr(10).join(faults))}</failure>" if faults else "")
        lines.append(f'<testcase classname="compile-kernels" name="{target}">{inner}</testcase>')
    for target, why in skipped.items():
        lines.append(f'<testcase classname="compile-kernels" name="{target}">'
                     f"<skipped message={xml.quoteattr(why)}/></testcase>")
    pathlib.Path(path).write_text("\n".join(lines + ["</testsuite>\n"]), encoding="utf-8")


def write_list(path, configurations):
    with open(path, "w", encoding="utf-8") as file:
        for one in configurations:
            file.write(json.dumps(dataclasses.asdict(one)) + "\n")
