#!/usr/bin/env python3
"""anynorm beside oneDNN and PyTorch: layer normalization on the same CPU, in the same run.

    bench/peers.py [--backward] [--build build] [--shapes RxC,...|default] [--dtype f32] [--threads 2]
                   [--json FILE]

Whoever is installed takes part: oneDNN where the build found it (Debian: libdnnl-dev), PyTorch where
this interpreter can import torch (Debian: python3-torch with /usr/bin/python3).

Fair: weight and bias on, forward inference, y apart from x, everything created before, as many
threads for each, all pages touched before, medians. Turns alternate; before each there is a pause, in
which the threads of the one before stop spinning, and runs that are not timed, so that each is timed
in a state of its own making. Warm: the same tensors again. Cold: another copy of them each time, all
copies together four times the cache. Columns: medians in microseconds; `launch` is anynorm's empty
kernel, `copy` its better copy kernel; `ratio` is the time of the faster peer over anynorm's, and
`less launch` the same with the empty kernel's time taken from anynorm's.

--backward: dx, dweight and dbias from x, dy, weight and each row's mean and rstd (oneDNN: variance), as a
forward pass in training saves them. `copy` is then an addition, which reads two tensors and writes one. anynorm's
workspace is made before, as every tensor; PyTorch makes its three results anew each time.
"""
import argparse
import ctypes
import json
import math
import os
import pathlib
import platform
import statistics
import sys
import time

ISSUE_SHAPES = ("512x768,4096x768,1024x4096,16384x4096,65536x768,262144x128,4x1048576,65536x64")
DEFAULT_COLUMNS = [64, 128, 384, 768, 1024, 2048, 3072, 4096, 5120, 8192, 12288, 16384, 65536]
DEFAULT_ROWS = [1, 8, 32, 128, 512, 2048, 16384]
DEFAULT_OTHERS = [(257, 768), (1151, 8192), (300000, 64), (4, 1048576)]

# As bench/peer_calls.h numbers them.
TENSORS = ("x", "y", "weight", "bias", "mean", "rstd", "variance", "dx", "dweight", "dbias")
FORWARD = TENSORS[:4]

EPS = 1e-5
PAUSE = 0.01  # longer than OpenMP's threads spin after their work
CACHE = 64 << 20
# PyTorch makes its result anew each time: from memory that the process keeps, not from fresh pages.
ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
               "MALLOC_TOP_PAD_": str(1 << 26),
               # Two OpenMP threads woken on one core wait for each other until the scheduler looks.
               "OMP_PROC_BIND": "true"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backward", action="store_true", help="gradients instead of the norm")
    parser.add_argument("--build", default="build", help="the build folder (default: build)")
    parser.add_argument("--shapes", default=ISSUE_SHAPES,
                        help="RxC,... or `default`: those of anynorm bench past 1 MiB")
    parser.add_argument("--dtype", default="f32", choices=["f32", "f16", "bf16"])
    parser.add_argument("--device", help="anynorm's device (default: the best found)")
    parser.add_argument("--schedule", help="force anynorm's schedule")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=3.0, help="for each shape and regime")
    parser.add_argument("--regime", choices=["cold", "warm"], help="(default: both)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE, too")
    return parser.parse_args()


def shapes_of(text, size, tensors):
    if text != "default":
        return [tuple(map(int, shape.split("x"))) for shape in text.split(",")]
    shapes = [(r, c) for c in DEFAULT_COLUMNS for r in DEFAULT_ROWS] + DEFAULT_OTHERS
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 16
    return [(r, c) for r, c in shapes if 1 << 20 < tensors * r * c * size and r * c * size < most]


def load(build):
    path = pathlib.Path(build) / "bench" / "libpeer_calls.so"
    if not path.is_file():
        sys.exit(f"peers.py: {path} is not there; build first, or name the folder with --build")
    library = ctypes.CDLL(str(path.resolve()))
    pointer, text, long = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    for name, result, arguments in [
            ("peer_message", text, []),
            ("peer_anynorm_make", pointer, [text, text, text, long, pointer]),
            ("peer_anynorm_choice", text, [pointer]), ("peer_anynorm_device", text, [pointer]),
            ("peer_anynorm_run", ctypes.c_double, [pointer, ctypes.c_int, long]),
            ("peer_anynorm_free", None, [pointer]), ("peer_onednn_version", text, []),
            ("peer_onednn_make", pointer, [long, long, text, ctypes.c_float, ctypes.c_int]),
            ("peer_onednn_run", ctypes.c_double, [pointer, pointer]),
            ("peer_onednn_free", None, [pointer])]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def start_device(library, options, cores):
    """Makes the device's threads, which inherit the cores of the thread that makes them: all. OpenMP
    has tied this thread to the first core when it was loaded, and goes on so."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    values = (ctypes.c_float * 64)()
    given = pointers([ctypes.addressof(values) if name in FORWARD else None for name in TENSORS])
    device = options.device.encode() if options.device else None
    peer = library.peer_anynorm_make(device, b"layer-norm 1x64 weight bias", None, 1, given)
    if not peer or library.peer_anynorm_run(peer, 0, 0) < 0:
        sys.exit(f"peers.py: {library.peer_message().decode()}")
    library.peer_anynorm_free(peer)
    os.sched_setaffinity(0, own)


def pointers(addresses):
    return (ctypes.c_void_p * len(addresses))(*addresses)


class Tensors:
    """Random data with outliers, `slots` copies of it; y is dy of gradients."""

    def __init__(self, numpy, rows, columns, dtype, slots, backward):
        random = numpy.random.default_rng(1607)
        tile = random.uniform(-1, 1, 1 << 20).astype("f4")
        tile[5::97] *= 30
        if dtype == "f16":
            tile = tile.astype("f2")
        elif dtype == "bf16":
            tile = (tile.view("u4") >> 16).astype("u2")
        self.x = numpy.empty((slots, rows, columns), tile.dtype)
        self.y = numpy.empty_like(self.x)
        first = self.x[0].reshape(-1)
        for begin in range(0, first.size, tile.size):
            part = first[begin:begin + tile.size]
            part[:] = tile[:part.size]
        self.x[1:] = self.x[0]
        self.y[:] = self.x[0, :, ::-1]
        self.weight = numpy.empty((slots, columns), "f4")
        self.bias = numpy.empty((slots, columns), "f4")
        self.weight[:] = random.uniform(0.5, 1.5, columns)
        self.bias[:] = random.uniform(-1, 1, columns)
        if backward:
            self.save_statistics(numpy, dtype)

    def save_statistics(self, numpy, dtype):
        """What a forward pass leaves, and room for the results."""
        slots, rows, columns = self.x.shape
        self.mean, self.rstd, self.variance = (numpy.empty((slots, rows), "f4") for _ in range(3))
        for row, values in enumerate(self.x[0]):
            if dtype == "bf16":
                values = (values.astype("u4") << 16).view("f4")
            self.mean[:, row] = values.mean(dtype="f8")
            self.variance[:, row] = values.astype("f8").var()
        self.rstd[:] = 1 / numpy.sqrt(self.variance + numpy.float32(EPS))
        self.dx = numpy.zeros_like(self.x)
        self.dweight, self.dbias = (numpy.zeros_like(self.weight) for _ in range(2))

    def at(self, slot):
        arrays = [getattr(self, name, None) for name in TENSORS]
        return pointers([None if a is None else a[slot].ctypes.data for a in arrays])


def torch_runner(torch, tensors, columns, dtype, backward):
    kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
    x, dy = (torch.from_numpy(t if dtype == "f32" else t.view("i2")).view(kind)
             for t in (tensors.x, tensors.y))
    # PyTorch 1.13 takes parameters of x's own type only.
    weight, bias = (torch.from_numpy(p).to(kind) for p in (tensors.weight, tensors.bias))
    results = [None] * len(x)
    shape = (columns,)
    saved = [torch.native_layer_norm(a, shape, w, b, EPS)[1:] for a, w, b in zip(x, weight, bias)
             ] if backward else None

    def norm(slot):
        return torch.nn.functional.layer_norm(x[slot], shape, weight[slot], bias[slot], EPS)

    def gradients(slot):
        return torch.ops.aten.native_layer_norm_backward(
            dy[slot], x[slot], shape, *saved[slot], weight[slot], bias[slot], [True] * 3)
    call = gradients if backward else norm

    def run(slot):
        begin = time.perf_counter()
        result = call(slot)
        end = time.perf_counter()
        results[slot] = result
        return end - begin
    return run


def runners(library, torch, tensors, options, rows, columns, slots):
    """{name: function of a slot that returns seconds}, what to free, and anynorm's choice."""
    words = "weight bias mean rstd backward" if options.backward else "weight bias"
    spec = f"layer-norm {rows}x{columns} {options.dtype} {words} eps={EPS}".encode()
    device = options.device.encode() if options.device else None
    schedule = options.schedule.encode() if options.schedule else None
    ours = library.peer_anynorm_make(device, spec, schedule, slots, tensors.at(0))
    if not ours:
        sys.exit(f"peers.py: {rows}x{columns}: {library.peer_message().decode()}")
    result = {}
    for index, name in enumerate(["anynorm", "launch", "copy", "copy_streaming"]):
        if library.peer_anynorm_run(ours, index, 0) >= 0:
            result[name] = lambda slot, i=index: library.peer_anynorm_run(ours, i, slot)
    onednn = library.peer_onednn_make(rows, columns, options.dtype.encode(), EPS, options.backward)
    if onednn:
        given = [tensors.at(slot) for slot in range(slots)]
        result["onednn"] = lambda slot: library.peer_onednn_run(onednn, given[slot])
    if torch:
        try:
            run = torch_runner(torch, tensors, columns, options.dtype, options.backward)
            for turn in range(max(8, 2 * slots)):
                run(turn % slots)  # until its results come from pages that are there
            result["torch"] = run
        except RuntimeError as error:
            print(f"PyTorch: {error}", file=sys.stderr)

    def free():
        library.peer_anynorm_free(ours)
        library.peer_onednn_free(onednn)
    return result, free, library.peer_anynorm_choice(ours).decode(), (
        library.peer_anynorm_device(ours).decode())


def measure(all_runs, cold, slots, footprint, seconds, message):
    """Medians in microseconds."""
    # A step of about 0.6 of a power of two, made odd: neighbours do not follow each other.
    step, slot = slots // 8 * 5 | 1, 0
    primings = 1 if footprint > 16 << 20 else 3
    times = {name: [] for name in all_runs}
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < 5 or (time.monotonic() < end and rounds < 200):
        for name, run in all_runs.items():
            time.sleep(PAUSE)
            for priming in range(primings + 1):
                slot = (slot + step) % slots if cold else 0
                taken = run(slot)
                if taken < 0:
                    sys.exit(f"peers.py: {name}: {message().decode()}")
            times[name].append(taken)
        rounds += 1
    return {name: statistics.median(values) * 1e6 for name, values in times.items()}, rounds


def measure_shape(library, numpy, torch, options, rows, columns):
    size = 4 if options.dtype == "f32" else 2
    footprint = 2 * rows * columns * size + 8 * columns
    if options.backward:
        footprint += rows * columns * size + 8 * rows + 4 * columns
    slots = 1
    while slots * footprint < 4 * CACHE:
        slots *= 2
    tensors = Tensors(numpy, rows, columns, options.dtype, slots, options.backward)
    all_runs, free, choice, device = runners(library, torch, tensors, options, rows, columns, slots)
    for regime in [options.regime] if options.regime else ["cold", "warm"]:
        us, rounds = measure(all_runs, regime == "cold", slots, footprint, options.seconds,
                             library.peer_message)
        peers = [us[name] for name in ("onednn", "torch") if name in us]
        copy = min(us[name] for name in ("copy", "copy_streaming") if name in us)
        best = min(peers) if peers else None
        net = us["anynorm"] - us["launch"]
        yield {"op": "layer-norm-backward" if options.backward else "layer-norm",
               "dtype": options.dtype, "rows": rows, "columns": columns, "choice": choice, "device": device, "regime": regime, "rounds": rounds,
               "bytes": footprint, "anynorm_us": us["anynorm"], "launch_us": us["launch"],
               "copy_us": copy, "onednn_us": us.get("onednn"), "torch_us": us.get("torch"),
               "copy_share": copy / us["anynorm"],
               "ratio": best / us["anynorm"] if best else None,
               "ratio_less_launch": best / net if best and net > 0 else None}
    free()


def cell(value, form="{:10.1f}"):
    return form.format(value) if value is not None else "-".rjust(len(form.format(0.0)))


def show(row):
    print(f"{row['rows']}x{row['columns']}".ljust(14), row["regime"],
          *(cell(row[key]) for key in ("anynorm_us", "onednn_us", "torch_us", "launch_us",
                                       "copy_us")),
          *(cell(row[key], "{:10.2f}") for key in ("copy_share", "ratio", "ratio_less_launch")),
          flush=True)


def mean_of(rows, regime, key):
    values = [row[key] for row in rows
              if row["regime"] == regime and row["bytes"] > 1 << 20 and row[key]]
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def main():
    options = parse()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(options.threads))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    cores = os.sched_getaffinity(0)
    library = load(options.build)
    start_device(library, options, cores)
    import numpy
    try:
        import torch
        torch.set_num_threads(options.threads)
        torch.set_grad_enabled(False)
    except ImportError:
        torch = None
    onednn = library.peer_onednn_version()
    print(f"oneDNN: {onednn.decode() if onednn else 'not in this build'}; "
          f"PyTorch: {torch.__version__ if torch else 'not installed'}; "
          f"{options.threads} threads; {platform.machine()}; {options.dtype}; "
          f"{time.strftime('%Y-%m-%d')}")
    print("ROWSxCOLUMNS  ", "    ", *(name.rjust(10) for name in (
        "anynorm", "oneDNN", "PyTorch", "launch", "copy", "of copy", "ratio", "lesslaunch")))
    size = 4 if options.dtype == "f32" else 2
    table = []
    for rows, columns in shapes_of(options.shapes, size, 3 if options.backward else 2):
        for row in measure_shape(library, numpy, torch, options, rows, columns):
            table.append(row)
            show(row)
    for regime in ("cold", "warm"):
        ratio = mean_of(table, regime, "ratio")
        if ratio:
            print(f"geometric mean past 1 MiB, {regime}: {ratio:.2f} times the faster peer; "
                  f"{mean_of(table, regime, 'copy_share'):.2f} of the copy")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"onednn": onednn.decode() if onednn else None,
                       "torch": torch.__version__ if torch else None,
                       "threads": options.threads, "results": table}, file, indent=1)


main()
