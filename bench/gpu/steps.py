"""What ci/gpu does on each device, in order: the list of parts, and of what they measure."""
import json
import pathlib
import sys
from collections import OrderedDict
from dataclasses import dataclass, field

from gpu.questions import QUESTIONS, shapes_of

PEERS_PROGRAM = pathlib.Path(__file__).with_name("peers.py")


@dataclass
class Op:
    name: str           # of anynorm bench --op, and of what peers.py knows it by
    shapes: list        # None: the op's own
    part: str = "family"  # "speed": there are goals for it


@dataclass
class Step:
    """One command on one device. `made` is a file that it writes; `reads` are files that decide what
    comes of it, beside the program."""
    part: str
    name: str
    command: list
    environment: dict = field(default_factory=dict)
    made: str = None
    reads: list = field(default_factory=list)
    about: dict = field(default_factory=dict)


@dataclass
class Plan:
    """What a run is to measure."""
    quick: bool
    program: str
    build: pathlib.Path
    python: str
    seconds: float      # for each shape, type and regime
    types: str = "f32,f16,bf16"
    shapes: str = None  # instead of all others
    peers: dict = field(default_factory=dict)  # module: its version, of those that can be had
    gpus: int = 1       # how many there are, by their names


# 64 MiB of x in f32 each: the goals are about 64 MiB and more.
GOAL_SHAPES = ["16384x1024", "8192x2048", "5461x3072", "4096x4096", "3276x5120", "2048x8192",
               "1365x12288", "1024x16384"]
FAMILY_SHAPES = ["16384x1024", "4096x4096"]
LAUNCH_SHAPE = "1x4096"

# Another op is a line here (and one in host/cli/cases/norms.c); beside whom it is
# measured is a line for each in bench/gpu/peers.py.
OPS = [
    Op("layer-norm", GOAL_SHAPES, "speed"),
    Op("rms-norm", GOAL_SHAPES, "speed"),
    Op("residual-layer-norm", FAMILY_SHAPES),
    Op("residual-rms-norm", FAMILY_SHAPES),
    Op("adaptive", None),
    Op("group-norm", None),
    Op("rms-norm-int8", FAMILY_SHAPES),
    Op("per-head", None),
    Op("batch-norm", None),
    Op("batch-norm-1d", None),
    Op("layer-norm-backward", FAMILY_SHAPES, "backward"),
    Op("rms-norm-backward", FAMILY_SHAPES, "backward"),
    Op("residual-layer-norm-backward", FAMILY_SHAPES, "backward"),
    Op("residual-rms-norm-backward", FAMILY_SHAPES, "backward"),
    Op("adaptive-backward", None, "backward"),
    Op("group-norm-backward", None, "backward"),
]

# As anynorm bench has them where no shape is named (host/cli/bench/bench.c).
DEFAULT_COLUMNS = [64, 128, 384, 768, 1024, 2048, 3072, 4096, 5120, 8192, 12288, 16384, 65536]
DEFAULT_ROWS = [1, 8, 32, 128, 512, 2048, 16384]
DEFAULT_OTHERS = ["257x768", "1151x8192", "300000x64", "4x1048576"]

TUNE_QUICK = ["4096x4096", "16384x1024", "1024x16384"]
TUNE_COLUMNS = [128, 768, 1024, 2048, 4096, 5120, 8192, 16384]
TUNE_ROWS = [8, 512, 4096]
TUNE_RUNS = 2  # only what comes out alike is worth contributing (docs/tuning.md)

TEST_SUITES = {"device", "family"}
# The most telling ones.
FIRST_TESTS = ["baselines", "matrix", "run", "enqueue", "repeat", "threads", "columns_apart"]


def own_shapes(plan):
    return plan.shapes.split(",") if plan.shapes else None


def bench(plan, device, part, op, shapes, *, types=None, schedule="", regime="", **about):
    command = [plan.program, "bench", "--json", "--device", device["id"], "--op", op, "--dtype",
               types or plan.types, "--seconds", f"{plan.seconds:g}"]
    words = [part, op]
    if shapes:
        command += ["--shapes", ",".join(shapes)]
        words.append(shapes[0] if len(shapes) == 1 else f"{shapes[0]} and {len(shapes) - 1} more")
    if schedule:
        command += ["--schedule", schedule]
        words.append(schedule)
    if regime:
        command.append(f"--{regime}")
    return Step(part, " ".join(words), command, about=dict(about, op=op, schedule=schedule))


def few_types(plan):
    """For what takes long: a type of each width."""
    types = plan.types.split(",")
    return ",".join(types[:2]) if plan.quick else plan.types


# ---- The steps of each part on a device ----


def verify_steps(plan, device):
    command = [plan.program, "verify", "--device", device["id"]] + ["--quick"] * plan.quick
    return [Step("verify", "verify", command)]


def speed_steps(plan, device):
    """An empty launch first; then a step for each shape, so that what is slow costs no other."""
    pairs = [("layer-norm", LAUNCH_SHAPE)] + [(op.name, shape) for op in OPS if op.part == "speed"
                                              for shape in own_shapes(plan) or op.shapes]
    return [bench(plan, device, "speed", op, [shape]) for op, shape in OrderedDict.fromkeys(pairs)]


def op_steps(part):
    """Ops with shapes of their own cannot have others."""
    return lambda plan, device: [
        bench(plan, device, part, op.name, op.shapes and (own_shapes(plan) or op.shapes))
        for op in OPS if op.part == part and (op.shapes or not plan.shapes)]


def peer_cases(plan):
    cases = [("layer-norm", LAUNCH_SHAPE)] + [(op.name, shape) for op in OPS if op.shapes and op.part != "backward"
                                              for shape in own_shapes(plan) or op.shapes]
    return list(OrderedDict.fromkeys(cases))


def peer_steps(plan, device):
    """A process for each, so that one that crashes takes no other along."""
    steps = []
    for module, version in plan.peers.items():
        wish = {"peer": module,
                "device": {key: device[key] for key in ("id", "name", "class", "cache_bytes")},
                "gpus": plan.gpus, "types": plan.types.split(","), "seconds": plan.seconds,
                "cases": peer_cases(plan)}
        steps.append(Step("peers", f"peers {module}",
                          [plan.python, "-B", str(PEERS_PROGRAM), json.dumps(wish)],
                          reads=[PEERS_PROGRAM], about={"peer": module, "version": version}))
    return steps


def question_steps(plan, device):
    """A run that two questions share is one step."""
    steps = OrderedDict()
    for question in QUESTIONS:
        shapes = own_shapes(plan) or shapes_of(question, plan.quick)
        types = few_types(plan)
        for schedule in ["", *question.schedules]:
            step = bench(plan, device, "questions", "layer-norm", shapes, types=types, schedule=schedule,
                         regime="cold", questions=[])
            step = steps.setdefault(tuple(step.command), step)
            step.about["questions"].append(question.name)
    return list(steps.values())


def tune_steps(plan, device):
    if plan.shapes:
        groups = [[shape] for shape in own_shapes(plan)]
    elif plan.quick:
        groups = [[shape] for shape in TUNE_QUICK]
    else:
        groups = [[f"{rows}x{columns}" for rows in TUNE_ROWS] for columns in TUNE_COLUMNS]
    types = few_types(plan)
    if device["class"] == "reference":
        return []
    return [Step("tune", f"tune {shapes[0]}, run {run}",
                 [plan.program, "tune", "--device", device["id"], "--shapes", ",".join(shapes), "--dtype",
                  types, "-o", "lines"] + ["--quick"] * plan.quick,
                 made="lines", about={"shapes": shapes, "run": run})
            for shapes in groups for run in range(1, TUNE_RUNS + 1)]


def built_tests(plan):
    """What meson has noted of the build's tests; none where cmocka was missing."""
    try:
        tests = json.loads((plan.build / "meson-info" / "intro-tests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    wanted = [test for test in tests
              if any(suite.rpartition(":")[2] in TEST_SUITES for suite in test["suite"])]
    return sorted(wanted, key=lambda test: (FIRST_TESTS + [test["name"]]).index(test["name"]))


def test_steps(plan, device):
    sample = {"ANYNORM_TEST_SAMPLE": "8"} if plan.quick else {}
    return [Step("tests", f"test {test['name']}", test["cmd"],
                 dict(test["env"], ANYNORM_TEST_DEVICE=device["id"], ANYNORM_TEST_REDUCED="1", **sample),
                 reads=test["cmd"][:1])
            for test in built_tests(plan)]


def sweep_steps(plan, device):
    """The default shapes: the longest launches first, which goals are about, too."""
    if plan.shapes:
        return []
    steps = []
    for columns in sorted(DEFAULT_COLUMNS, key=lambda n: (not 1024 <= n <= 16384, n)):
        shapes = [f"{rows}x{columns}" for rows in reversed(DEFAULT_ROWS)]
        steps += [bench(plan, device, "sweep", "layer-norm", shapes[:1]),
                  bench(plan, device, "sweep", "layer-norm", shapes[1:])]
    return steps + [bench(plan, device, "sweep", "layer-norm", [shape]) for shape in DEFAULT_OTHERS]


@dataclass
class Part:
    name: str
    seconds: int  # of --quick, for all devices; what one leaves, the next ones share
    limit: int    # of --quick, for one step: then its driver hangs
    steps: object
    about: str


PARTS = [
    Part("verify", 80, 180, verify_steps, "every schedule against the oracle"),
    Part("speed", 75, 120, speed_steps, "the shapes of the goals, beside the copy and an empty launch"),
    Part("peers", 60, 120, peer_steps, "PyTorch and others on the same device"),
    Part("family", 35, 120, op_steps("family"), "the other norms beside the copy"),
    Part("backward", 25, 120, op_steps("backward"), "gradients beside copies and an addition"),
    Part("questions", 50, 120, question_steps, "forced schedules: what the selection has to know"),
    Part("tune", 50, 120, tune_steps, "the tuner, twice"),
    Part("tests", 40, 120, test_steps, "the device tests in their short form"),
    Part("sweep", 35, 120, sweep_steps, "the default shapes of anynorm bench"),
]
QUICK_SECONDS = 465  # of all parts together, whatever one of them took too much
FULL_LIMIT = 1800  # the same with --full
LEAST_LIMIT = 8    # seconds that a step which is begun has, whatever its part has left


def python_modules_program():
    """Run by the user's Python: which peers it could import, without importing them."""
    return ("import json, importlib.util as u, importlib.metadata as m\n"
            "def version(module, package):\n"
            "    if u.find_spec(module) is None: return None\n"
            "    try: return m.version(package)\n"
            "    except m.PackageNotFoundError: return 'unknown'\n"
            f"print(json.dumps({{k: version(k, p) for k, p in {PEERS!r}.items()}}))\n")


# Modules, and the packages they come in; all of them need the first.
PEERS = {"torch": "torch", "liger_kernel": "liger-kernel", "quack": "quack-kernels", "vllm": "vllm"}

assert sys.version_info >= (3, 8)
