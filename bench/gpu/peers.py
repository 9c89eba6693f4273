"""Run by the Python that has PyTorch: one peer's norms on the device that anynorm is measured on.

    peers.py '{"peer": "torch", "device": {...}, "gpus": 1, "types": ["f32"], "seconds": 0.05,
               "cases": [["layer-norm", "4096x4096"]]}'

Prints a JSON line for each result as it comes: medians in microseconds, cold (another copy of the
tensors each time, all together four times the last-level cache, as anynorm bench) and warm (the same
ones again). On a GPU a time is what passes on the device between two events, behind work that keeps it
busy while the call is being issued, less what passes between two events with nothing in between;
elsewhere it is wall time. Parameters are of x's own type, where the peer does not want others. A peer's
result is compared with the formula before it is timed.

A peer is a line of PEERS, an op of it a function of the tensors that returns a call on copy `i`."""
import json
import re
import statistics
import sys
import time

EPS = 1e-5
PAST_CACHE, LEAST_CACHE = 4, 64 << 20  # host/cli/bench/case.c
LEAST_ROUNDS, MOST_ROUNDS = 5, 200
ADDS = ("residual-layer-norm", "residual-rms-norm")


def tell(**value):
    print(json.dumps(value), flush=True)


# ---- The peers ----


def torch_copy(t):
    return lambda i: t.y[i].copy_(t.x[i])


def torch_layer_norm(t):
    layer_norm, shape = t.torch.nn.functional.layer_norm, (t.columns,)
    return lambda i: layer_norm(t.x[i], shape, t.weight, t.bias, EPS)


def torch_rms_norm(t):
    rms_norm, shape = t.torch.nn.functional.rms_norm, (t.columns,)  # from PyTorch 2.4 on
    return lambda i: rms_norm(t.x[i], shape, t.weight, EPS)


def torch_residual(norm):
    def make(t):
        layer_norm, rms_norm = (getattr(t.torch.nn.functional, name, None) for name in ("layer_norm", "rms_norm"))
        shape = (t.columns,)

        def call(i):
            h = t.x[i] + t.residual[i]
            if norm == "layer":
                return layer_norm(h, shape, t.weight, t.bias, EPS), h
            return rms_norm(h, shape, t.weight, EPS), h
        return call
    return make


def liger_layer_norm(t):
    from liger_kernel.ops.layer_norm import LigerLayerNormFunction
    return lambda i: LigerLayerNormFunction.apply(t.x[i], t.weight, t.bias, EPS)


def liger_rms_norm(t):
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction
    return lambda i: LigerRMSNormFunction.apply(t.x[i], t.weight, EPS)


def liger_residual_rms_norm(t):
    from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction
    return lambda i: LigerFusedAddRMSNormFunction.apply(t.x[i], t.residual[i], t.weight, EPS)


def quack_layer_norm(t):
    from quack.rmsnorm import layernorm_fwd
    return lambda i: layernorm_fwd(t.x[i], t.weight32, t.bias32, EPS)


def quack_rms_norm(t):
    from quack.rmsnorm import rmsnorm
    return lambda i: rmsnorm(t.x[i], t.weight, eps=EPS)


def quack_residual_rms_norm(t):
    from quack.rmsnorm import rmsnorm
    return lambda i: rmsnorm(t.x[i], t.weight, residual=t.residual[i], eps=EPS, prenorm=True)


def vllm_rms_norm(t):
    from vllm import _custom_ops

    def call(i):
        _custom_ops.rms_norm(t.y[i], t.x[i], t.weight, EPS)
        return t.y[i]
    return call


def vllm_residual_rms_norm(t):  # both in place
    from vllm import _custom_ops

    def call(i):
        _custom_ops.fused_add_rms_norm(t.x[i], t.residual[i], t.weight, EPS)
        return t.x[i], t.residual[i]
    return call


PEERS = {
    "torch": {"copy": torch_copy, "layer-norm": torch_layer_norm, "rms-norm": torch_rms_norm,
              "residual-layer-norm": torch_residual("layer"), "residual-rms-norm": torch_residual("rms")},
    "liger_kernel": {"layer-norm": liger_layer_norm, "rms-norm": liger_rms_norm,
                     "residual-rms-norm": liger_residual_rms_norm},
    "quack": {"layer-norm": quack_layer_norm, "rms-norm": quack_rms_norm,
              "residual-rms-norm": quack_residual_rms_norm},
    "vllm": {"rms-norm": vllm_rms_norm, "residual-rms-norm": vllm_residual_rms_norm},
}


# ---- The same device ----


def words_of(name):
    """What is left of a name without trade marks and punctuation."""
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"\((r|tm|c)\)", "", name.lower())).strip()


def same_name(a, b):
    a, b = words_of(a), words_of(b)
    return bool(a and b) and (f" {a} " in f" {b} " or f" {b} " in f" {a} ")


def gpus_of(torch):
    """(what torch calls it, the names it may be known by) of each."""
    found = []
    for kind in ("cuda", "xpu"):
        module = getattr(torch, kind, None)
        if not module or not module.is_available():
            continue
        for i in range(module.device_count()):
            properties = module.get_device_properties(i)
            # AMD's OpenCL names a device by its architecture.
            architecture = getattr(properties, "gcnArchName", "").split(":")[0]
            found.append((f"{kind}:{i}", [name for name in (module.get_device_name(i), architecture) if name]))
    backend = getattr(torch.backends, "mps", None)
    if backend and backend.is_available():
        found.append(("mps", ["Apple"]))
    return found


def match_device(device, gpus, found):
    """(torch's name of it, how that is known), or (None, why not)."""
    if device["class"] != "gpu":
        return "cpu", "anynorm's device is no GPU"
    by_name = [(name, known) for name, names in found for known in names
               if same_name(known, device["name"])]
    # The whole name before a part of it: an RTX 3090 is no 3090 Ti.
    by_name.sort(key=lambda pair: words_of(pair[1]) != words_of(device["name"]))
    if by_name:
        return by_name[0][0], f"by name: {by_name[0][1]}"
    if len(found) == 1 and gpus == 1:
        return found[0][0], f"the only GPU of both: {', '.join(found[0][1])}"
    if not found:
        return None, "PyTorch sees no GPU"
    names = ", ".join(f"{name} ({', '.join(names)})" for name, names in found)
    return None, f"none of PyTorch's GPUs has the name {device['name']}: {names}"


# ---- Time ----


class WallClock:
    name = "wall"

    def __init__(self, torch, where):
        self.synchronize = torch.mps.synchronize if where == "mps" else lambda: None

    def pair(self):
        return 0.0

    def seconds(self, before, call):
        before()
        self.synchronize()
        begun = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - begun


class EventClock:
    """Where calls are issued slower than they run, events would time the host: so the device first
    gets work for three times as long as that takes."""
    name = "event"

    def __init__(self, torch, where):
        self.module = getattr(torch, where.split(":")[0])
        self.square = torch.ones(1024, 1024, device=where)
        self.work = 1
        self.busy()
        self.module.synchronize()
        begun = time.perf_counter()
        for _ in range(20):
            self.busy()
        self.module.synchronize()
        self.each = (time.perf_counter() - begun) / 20

    def busy(self):
        for _ in range(self.work):
            self.square @ self.square

    def outlast(self, call):
        begun = time.perf_counter()
        for _ in range(5):
            call()
        host = (time.perf_counter() - begun) / 5
        self.module.synchronize()
        self.work = min(200, 1 + int(3 * (2 * host + 50e-6) / max(self.each, 1e-7)))

    def seconds(self, before, call):
        start, end = (self.module.Event(enable_timing=True) for _ in range(2))
        self.busy()
        before()
        start.record()
        call()
        end.record()
        self.module.synchronize()
        return start.elapsed_time(end) * 1e-3

    def pair(self):
        self.work = 1
        return statistics.median(self.seconds(lambda: None, lambda: None) for _ in range(21))


# ---- Measuring ----


class Tensors:
    """`slots` copies of x, y and residual, of the type that is asked for."""

    def __init__(self, torch, where, op, rows, columns, dtype, cache):
        kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
        self.torch, self.rows, self.columns = torch, rows, columns
        tensors = 3 if op in ADDS else 2
        each = tensors * rows * columns * torch.empty(0, dtype=kind).element_size()
        self.slots = 1
        while self.slots * each < PAST_CACHE * cache:
            self.slots *= 2
        generator = torch.Generator().manual_seed(1607)
        one = torch.rand(rows, columns, generator=generator) * 2 - 1
        one[:, 5::97] *= 30

        def copies():
            whole = torch.empty(self.slots, rows, columns, dtype=kind, device=where)
            return list(whole.copy_(one.to(where)).unbind(0))
        self.x, self.y = copies(), copies()
        self.residual = copies() if op in ADDS else []
        self.weight32 = (torch.rand(columns, generator=generator) + 0.5).to(where)
        self.bias32 = (torch.rand(columns, generator=generator) * 2 - 1).to(where)
        self.weight, self.bias = self.weight32.to(kind), self.bias32.to(kind)


def formula(op, t):
    """Of the first rows of copy 0, in double."""
    h = t.x[0][:8].double()
    if op == "copy":
        return h
    if op in ADDS:
        h = (t.x[0][:8] + t.residual[0][:8]).double()
    if op.endswith("layer-norm"):
        h = h - h.mean(1, keepdim=True)
    n = h / ((h * h).mean(1, keepdim=True) + EPS).sqrt() * t.weight.double()
    return n + t.bias.double() if op.endswith("layer-norm") else n


def is_right(op, t, call):
    wanted = formula(op, t)
    found = call(0)
    found = (found[0] if isinstance(found, (tuple, list)) else found)[:8].double()
    # A few places of the type: whether it is this norm at all, not how well it is rounded.
    return bool(((found - wanted).abs() <= (wanted.abs() + 1) * 0.05).all())


def measure(clock, t, call, cold, budget):
    state = {"slot": 0}

    def step():
        if cold:  # the next but some: bench_case's way round
            state["slot"] = (state["slot"] + (t.slots // 8 * 5 | 1)) % t.slots

    def once():
        step()
        call(state["slot"])
    if hasattr(clock, "outlast"):
        clock.outlast(once)
    once()
    times, end = [], time.perf_counter() + budget
    while len(times) < LEAST_ROUNDS or (time.perf_counter() < end and len(times) < MOST_ROUNDS):
        times.append(clock.seconds(once, once))
    return sorted(times)


def microseconds(times, share, pair):
    return max(times[round((len(times) - 1) * share)] - pair, 1e-9) * 1e6


def measure_case(torch, clock, pair, wish, where, op, rows, columns, dtype):
    make = PEERS[wish["peer"]][op]
    about = {"op": op, "rows": rows, "columns": columns, "dtype": dtype}
    cache = max(wish["device"]["cache_bytes"], LEAST_CACHE)
    t = Tensors(torch, where, op, rows, columns, dtype, cache)
    call = make(t)
    if not is_right(op, t, call):
        tell(skipped=about, why="its result is not that of the formula")
        return
    for cold in (True, False):
        times = measure(clock, t, call, cold, wish["seconds"])
        tell(**about, regime="cold" if cold else "warm", us=microseconds(times, 0.5, pair),
             us_p10=microseconds(times, 0.1, pair), us_p90=microseconds(times, 0.9, pair),
             rounds=len(times), clock=clock.name, slots=t.slots)


def reason(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def cases_of(wish):
    """The peer's own copy stands beside each shape of the first op."""
    cases = []
    for op, shape in wish["cases"]:
        for name in ([op, "copy"] if op == wish["cases"][0][0] else [op]):
            if name in PEERS[wish["peer"]] and (name, shape) not in cases:
                cases.append((name, shape))
    return cases


def main():
    wish = json.loads(sys.argv[1])
    import torch
    torch.set_grad_enabled(False)
    where, how = match_device(wish["device"], wish["gpus"], gpus_of(torch))
    if not where:
        sys.exit(how)
    clock = (EventClock if where.startswith(("cuda", "xpu")) else WallClock)(torch, where)
    pair = clock.pair()
    tell(peer=wish["peer"], torch=torch.__version__, where=where, matched=how, clock=clock.name,
         pair_us=pair * 1e6)
    for op, shape in cases_of(wish):
        rows, columns = map(int, shape.split("x"))
        for dtype in wish["types"]:
            try:
                measure_case(torch, clock, pair, wish, where, op, rows, columns, dtype)
            except Exception as error:  # a peer may fail in any way; the next case is another
                tell(skipped={"op": op, "rows": rows, "columns": columns, "dtype": dtype},
                     why=reason(error))


if __name__ == "__main__":
    main()
