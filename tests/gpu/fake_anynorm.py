"""Prints what anynorm prints, of GPUs that are not there: figures are made up from the arguments, so that
a test can work out what has to come of them. $FAKE_DEVICES is the list of devices, $FAKE_HANGS a word of
the commands that never come back, $FAKE_CRASHES of those that crash, $FAKE_FAILS
of those that lose the device, $FAKE_LOG a file with a line each."""
import json
import os
import signal
import sys
import time

SIZES = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8}
OWN_SHAPES = {"adaptive": "8192x1152", "group-norm": "64x40960", "per-head": "65536x128",
              "batch-norm": "64x200704", "batch-norm-1d": "512x4096",
              "adaptive-backward": "8192x1152", "group-norm-backward": "64x40960"}
# Of the library's own choice and of forced ones, by the kind of schedule and one of its numbers.
SHARES = {"": 0.95, "group=64": 0.80, "group=128": 1.00, "group=256": 0.95, "group=512": 0.90}


def option(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def devices():
    return json.loads(os.environ["FAKE_DEVICES"])


def choice_of(schedule, columns, dtype):
    if "row_per_group" not in (schedule or "row_per_group"):
        return schedule
    group = int(schedule.partition("group=")[2] or 256)
    return f"row_per_group group={group} vector=4 rows=1 held={max(1, columns // group // 4)} subgroup=32"


def result(op, rows, columns, dtype, cold, schedule):
    bytes_moved = 2 * rows * columns * SIZES[dtype] + 8 * columns
    share = SHARES.get(schedule.partition(" ")[2], 0.5)
    if op == "rms-norm" and columns == 16384 and dtype == "bf16":
        share = 0.5
    copy_gbps = 1000.0
    us = bytes_moved / (copy_gbps * share) / 1e3
    return {"op": op, "dtype": dtype, "rows": rows, "columns": columns, "regime": "cold" if cold else "warm",
            "schedule": "row_per_group", "choice": choice_of(schedule, columns, dtype), "bytes": bytes_moved,
            "wall_us_p50": us + 12, "wall_us_p10": us, "wall_us_p90": us + 20, "event_us_p50": us,
            "event_us_p10": us, "event_us_p90": us, "gbps": copy_gbps * share, "copy_gbps": copy_gbps,
            "copy_share": share, "launch_us": 9.0, "host_ns": 1500.0, "batched_us": 3.0,
            "batched_launch_us": 2.5, "copy_us": us * share, "unfused_us_p50": None, "fused_gain": None,
            "best_copy": "copy", "clock": "event", "repetitions": 50}


def bench():
    op, schedule = option("--op"), option("--schedule", "")
    shapes = option("--shapes", OWN_SHAPES.get(op, "8x64")).split(",")
    regimes = [True] if "--cold" in sys.argv else [True, False]
    results, skipped = [], []
    for dtype in option("--dtype").split(","):
        for rows, columns in (map(int, shape.split("x")) for shape in shapes):
            if schedule == "row_in_local":
                skipped.append({"op": op, "dtype": dtype, "rows": rows, "columns": columns,
                                "reason": "row_in_local does not fit <here> & \"there\""})
            else:
                results += [result(op, rows, columns, dtype, cold, schedule) for cold in regimes]
    print(json.dumps({"device": "fake", "id": option("--device"), "driver": "1", "results": results,
                      "skipped": skipped}))
    return 0 if results else 1


def verify():
    print(f"{option('--device')}: fake\nSCHEDULE          TYPE     CASES  LARGEST ERROR  BOUND  RESULT")
    print("row_per_group     f32         28         2.0837    8.0  pass")
    if "wrong" in option("--device"):  # one of those in the list
        print("row_per_item      f16         24        12.5000    8.0  FAIL")
        print("anynorm: wrong results; first in row_per_item", file=sys.stderr)
        return 1
    print("row_per_item      backward    11         2.3812    8.0  pass")
    print("row_in_local      family       0              -      -  skipped: does not fit here")
    return 0


def tune():
    runs = os.path.join(os.environ["ANYNORM_CACHE_DIR"], f"{option('--device')}-{option('--shapes')}")
    again = os.path.exists(runs)
    open(runs, "w").close()
    columns = option("--shapes").split("x")[1]
    print("TYPE    COLUMNS      ROWS  TRIED   GAIN  FASTEST\nlayer-norm:")
    print(f"f32    {columns:>8}      4096     24   1.10  row_per_group group=128 held=8")
    head = f'device "fake" platform="p" type=f32 columns={columns}'
    with open(option("-o"), "w", encoding="utf-8") as file:
        file.write(f"{head} rows=* -> row_per_group group=128  # {1.08 if again else 1.10:.2f} x own, driver 1\n")
        if again:
            file.write(f"{head} rows=1 -> row_split  # 1.04 x own, driver 1\n")
    return 0


def main():
    words = " ".join(sys.argv[1:])
    with open(os.environ.get("FAKE_LOG", os.devnull), "a", encoding="utf-8") as file:
        file.write(words + "\n")
    if sys.argv[1] == "--version":
        print("anynorm 9.9.9")
        return 0
    if sys.argv[1] == "devices":
        name = os.environ.get("ANYNORM_DEVICE")
        print(json.dumps([dict(info, default=info["id"] == name) for info in devices()]))
        return 0
    if os.environ.get("FAKE_HANGS", "\n") in words:
        time.sleep(600)
    if os.environ.get("FAKE_CRASHES", "\n") in words:
        os.kill(os.getpid(), signal.SIGSEGV)
    if os.environ.get("FAKE_FAILS", "\n") in words:
        print("anynorm: bench: device lost", file=sys.stderr)
        return 1
    return {"bench": bench, "verify": verify, "tune": tune}[sys.argv[1]]()


sys.exit(main())
