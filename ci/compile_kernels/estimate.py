"""What a kernel's figures let one expect of its speed, by Little's law: an estimate, and no measurement."""
# Beyond memory's own latency the life of a group that reads its rows once, in microseconds: two sums
# across its lanes, with a barrier or two, and the stores. Assumed, not measured.
REST_OF_LIFE = 0.4
# No copy reaches more of the peak of a data sheet.
MOST = 0.92
# Of a kernel's listing the part that runs: it has a path for whole vectors and one for the others.
PART_THAT_RUNS = 0.5

COLUMNS = (768, 1024, 3072, 4096, 5120, 8192, 16384)  # as tests/kernels/configurations.c has them
BYTES = {"f32": 4, "f16": 2}


def rows_of(configuration):
    """That a group has at a time, or None where it does not hold them."""
    if configuration.schedule not in ("row_per_group", "row_per_subgroup", "row_in_local"):
        return None
    return int(configuration.numbers.get("rows", 1))


def estimate(configuration, hardware, columns):
    """(share of the peak of memory, what bounds it), or None where that cannot be said."""
    rows, kernels = rows_of(configuration), configuration.kernels or []
    size = BYTES.get(configuration.types)
    if not (rows and size and hardware.units and len(kernels) == 1):
        return None
    kernel = kernels[0]
    if kernel.registers is None and kernel.waves is None:
        return None
    groups = hardware.groups_at_a_time(kernel, configuration.group)
    bandwidth = hardware.bandwidth * 1e9
    bytes_of_group = rows * columns * size
    # Bytes under way are those of x; as many of y are written in the same time.
    life = (hardware.latency + REST_OF_LIFE) * 1e-6
    shares = {"": MOST,
              "in flight": 2 * groups * bytes_of_group * hardware.units / life / bandwidth}
    if kernel.instructions:
        lanes = kernel.lanes or hardware.lanes
        waves = -(-configuration.group // lanes)
        cycles = (kernel.instructions * PART_THAT_RUNS * waves / hardware.simds *
                  hardware.cycles_of(lanes))
        shares["instructions"] = (2 * bytes_of_group * hardware.units * hardware.clock * 1e9 /
                                  cycles / bandwidth)
    bound = min(shares, key=shares.get)
    return shares[bound], bound


def table(targets):
    """Of targets' (name, hardware, configurations): lines of a Markdown table."""
    heads = [(kind, columns) for kind in BYTES for columns in COLUMNS]
    yield "| target | board | " + " | ".join(f"{kind} {columns}" for kind, columns in heads) + " |"
    yield "|---|---|" + "---|" * len(heads)
    for name, hardware, configurations in targets:
        cells = []
        for kind, columns in heads:
            found = [one for one in configurations if one.first and one.plain and
                     one.types == kind and columns in one.estimated]
            told = estimate(found[-1], hardware, columns) if found else None
            cells.append("-" if told is None else
                         f"{told[0]:.2f}" + (f" {told[1]}" if told[1] else ""))
        if any(cell != "-" for cell in cells):
            yield f"| {name} | {hardware.board} | " + " | ".join(cells) + " |"
