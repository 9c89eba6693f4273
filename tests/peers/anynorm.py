"""anynorm's C library on numpy arrays: a spec as one line of text, tensors by name."""
import concurrent.futures
import ctypes
import multiprocessing
import pathlib

import ml_dtypes
import numpy as np

TYPES = {"f32": np.dtype("f4"), "f16": np.dtype("f2"), "f64": np.dtype("f8"), "i8": np.dtype("i1"),
         "bf16": np.dtype(ml_dtypes.bfloat16), "f8e4m3": np.dtype(ml_dtypes.float8_e4m3fn)}

# As anynorm_host_tensors has them, with the word of a spec that asks for each.
TENSORS = {"x": None, "y": None, "weight": "weight", "bias": "bias", "mean": "mean", "rstd": "rstd",
           "residual": "residual", "sum": "sum", "pre_bias": "pre-bias", "gate": "gate",
           "scale": "scale", "shift": "shift", "partials": "partials", "y_scale": "y-scale",
           "dy": None, "dsum": "dsum", "dx": "dx", "dresidual": "dresidual", "dweight": "dweight",
           "dbias": "dbias", "dpre_bias": "dpre-bias", "dgate": "dgate", "dscale": "dscale",
           "dshift": "dshift", "workspace": None}
GRADIENTS = list(TENSORS)[list(TENSORS).index("dx"):-1]
SPEC_BYTES = 4096  # more than anynorm_spec has; only the library looks inside


class Library:
    def __init__(self, build, device=None):
        path = pathlib.Path(build) / "libanynorm.so"
        self.c = ctypes.CDLL(str(path.resolve()))
        self.c.anynorm_message.restype = ctypes.c_char_p
        self.device = ctypes.c_void_p()
        name = device.encode() if device else None
        self.check(self.c.anynorm_device_open(name, ctypes.byref(self.device)), "the device")

    def check(self, status, what):
        if status:
            raise RuntimeError(f"{what}: {self.c.anynorm_message().decode()}")

    def run(self, text, tensors):
        """The outputs that the spec of this text names, flat, by their names; `tensors` has its inputs."""
        spec, rows = ctypes.create_string_buffer(SPEC_BYTES), ctypes.c_uint64()
        self.check(self.c.anynorm_spec_parse(text.encode(), spec, ctypes.byref(rows)), text)
        count = rows.value
        columns = int(text.split()[1].split("x")[1])
        words = text.split()[2:]
        keys = dict(word.split("=") for word in words if "=" in word)
        kind = next(word for word in words if word in TYPES)
        outputs = {"mean": np.zeros(count, "f4"), "rstd": np.zeros(count, "f4"),
                   "sum": np.zeros(count * columns, TYPES[keys.get("sums", kind)]),
                   "partials": np.zeros(3 * count, "f4"), "y_scale": np.zeros(count, "f4")}
        outputs = {name: array for name, array in outputs.items() if TENSORS[name] in words}
        backward = any(TENSORS[name] in words for name in GRADIENTS)
        if backward:  # mean and rstd are as saved, and the parameters' gradients f32, in weight's shape
            outputs = {name: np.zeros(count * columns if name == "dx" else tensors["weight"].size,
                                      TYPES[kind] if name == "dx" else "f4")
                       for name in ("dx", "dweight", "dbias") if name in words}
        elif "partials" not in words:
            outputs["y"] = np.zeros(count * columns, TYPES[keys.get("y", kind)])
        pointers, kept = (ctypes.c_void_p * len(TENSORS))(), []
        for at, (name, word) in enumerate(TENSORS.items()):
            array = outputs.get(name)
            given = name == "x" or (name == "dy" and backward) or word in words or f"{word}-input" in words
            if array is None and given and not (backward and name == "bias"):
                array = np.ascontiguousarray(tensors[name])
            if array is not None:
                kept.append(array)
                pointers[at] = array.ctypes.data
        plan = ctypes.c_void_p()
        self.check(self.c.anynorm_plan_create(self.device, spec, None, ctypes.byref(plan)), text)
        self.check(self.c.anynorm_run(plan, pointers, rows), text)
        self.c.anynorm_plan_destroy(plan)
        return outputs


class Apart:
    """A Library in a process of its own: a driver's compiler and another library's cannot live in one."""
    here = None

    def __init__(self, *arguments):
        self.process = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), Apart.open, arguments)

    @staticmethod
    def open(*arguments):
        Apart.here = Library(*arguments)

    @staticmethod
    def run_here(text, tensors):
        return Apart.here.run(text, tensors)

    def run(self, text, tensors):
        return self.process.submit(Apart.run_here, text, tensors).result()
