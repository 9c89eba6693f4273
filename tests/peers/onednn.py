"""oneDNN's layer and batch normalization, through its C interface."""
import ctypes
import pathlib
import sys

import numpy as np

USE_GLOBAL_STATS, USE_SCALE, USE_SHIFT, RMS_NORM = 1, 2, 4, 32  # dnnl_normalization_flags_t
SOURCE, TARGET, MEAN, VARIANCE, SCALE, SHIFT = 1, 17, 49, 50, 51, 52  # DNNL_ARG_...
F16, BF16, F32 = 1, 2, 3
DIFF_SOURCE, DIFF_TARGET, DIFF_SCALE, DIFF_SHIFT = 129, 145, 255, 256
CPU, TRAINING, INFERENCE, BACKWARD, DEFAULT_STREAM = 1, 64, 96, 128, 1
KINDS = {"float16": F16, "bfloat16": BF16, "float32": F32}


class Argument(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("memory", ctypes.c_void_p)]


def load():
    library = ctypes.CDLL(str(pathlib.Path(sys.prefix) / "lib" / "libdnnl.so.3"))

    def call(name, *arguments):
        status = getattr(library, "dnnl_" + name)(*arguments)
        if status:
            raise RuntimeError(f"dnnl_{name}: {status}")
    return call


class Engine:
    """The CPU, and what a normalization is made of there."""

    def __init__(self):
        self.call = load()
        self.engine = self.handle("engine_create", ctypes.c_int(CPU), ctypes.c_size_t(0))
        self.stream = self.handle("stream_create", self.engine, ctypes.c_uint(DEFAULT_STREAM))

    def handle(self, name, *arguments):
        result = ctypes.c_void_p()
        self.call(name, ctypes.byref(result), *arguments)
        return result

    def description(self, array):
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        strides = (ctypes.c_int64 * array.ndim)(*(stride // array.itemsize for stride in array.strides))
        return self.handle("memory_desc_create_with_strides", ctypes.c_int(array.ndim), dims,
                           ctypes.c_int(KINDS[array.dtype.name]), strides)

    def forward(self, x, kind, parameters, eps, flags):
        return self.handle("layer_normalization_forward_primitive_desc_create_v2", self.engine,
                           ctypes.c_int(kind), self.description(x), self.description(x),
                           self.description(np.zeros(len(x), "f4")),
                           ctypes.c_int(KINDS[parameters.dtype.name]), ctypes.c_float(eps),
                           ctypes.c_uint(flags), None)

    def batch(self, x, kind, eps, flags):
        return self.handle("batch_normalization_forward_primitive_desc_create", self.engine,
                           ctypes.c_int(kind), self.description(x), self.description(x),
                           ctypes.c_float(eps), ctypes.c_uint(flags), None)

    def run(self, chosen, arrays):
        primitive = self.handle("primitive_create", chosen)
        given = (Argument * len(arrays))()
        for at, (number, array) in enumerate(arrays.items()):
            memory = self.handle("memory_create", self.description(array), self.engine,
                                 ctypes.c_void_p(array.ctypes.data))
            given[at] = Argument(number, memory)
        self.call("primitive_execute", primitive, self.stream, ctypes.c_int(len(given)), given)
        self.call("stream_wait", self.stream)


def layer_norm(x, eps, flags, **tensors):
    """y of x, with the flags and the tensors that they ask for: scale, shift, mean, variance."""
    engine, y = Engine(), np.zeros_like(x)
    arrays = {SOURCE: np.ascontiguousarray(x), TARGET: y}
    for number, name in ((MEAN, "mean"), (VARIANCE, "variance"), (SCALE, "scale"), (SHIFT, "shift")):
        if name in tensors:
            arrays[number] = np.ascontiguousarray(tensors[name])
    parameters = arrays.get(SCALE, np.zeros(1, "f4"))
    engine.run(engine.forward(x, INFERENCE, parameters, eps, flags), arrays)
    return y


def batch_norm(x, eps, weight, bias, given=()):
    """y of x [N, C, ...], however it lies: by the statistics of the batch, or by mean and variance, given."""
    engine, y, parameters = Engine(), np.zeros_like(x), [np.float32(array) for array in (weight, bias)]
    flags = USE_SCALE | USE_SHIFT | (USE_GLOBAL_STATS if given else 0)
    mean, variance = given or (np.zeros(x.shape[1], "f4"), np.zeros(x.shape[1], "f4"))
    engine.run(engine.batch(x, INFERENCE if given else TRAINING, eps, flags),
               {SOURCE: x, TARGET: y, MEAN: mean, VARIANCE: variance, SCALE: parameters[0],
                SHIFT: parameters[1]})
    return y


def layer_norm_backward(x, dy, weight, eps):
    """dx, dweight and dbias, with the statistics that its own forward pass saves."""
    engine, flags = Engine(), USE_SCALE | USE_SHIFT
    x, dy, weight = map(np.ascontiguousarray, (x, dy, weight))
    bias, y, dx = np.zeros_like(weight), np.zeros_like(x), np.zeros_like(x)
    mean, variance = np.zeros(len(x), "f4"), np.zeros(len(x), "f4")
    dweight, dbias = np.zeros_like(weight), np.zeros_like(weight)
    forward = engine.forward(x, TRAINING, weight, eps, flags)
    engine.run(forward, {SOURCE: x, TARGET: y, MEAN: mean, VARIANCE: variance, SCALE: weight, SHIFT: bias})
    kind = ctypes.c_int(KINDS[weight.dtype.name])
    chosen = engine.handle("layer_normalization_backward_primitive_desc_create_v2", engine.engine,
                           ctypes.c_int(BACKWARD), engine.description(dx), engine.description(dy),
                           engine.description(x), engine.description(mean), kind, kind,
                           ctypes.c_float(eps), ctypes.c_uint(flags), forward, None)
    engine.run(chosen, {SOURCE: x, MEAN: mean, VARIANCE: variance, SCALE: weight, DIFF_TARGET: dy,
                        DIFF_SOURCE: dx, DIFF_SCALE: dweight, DIFF_SHIFT: dbias})
    return dx, dweight, dbias
