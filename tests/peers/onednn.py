"""oneDNN's layer normalization, through its C interface."""
import ctypes
import pathlib
import sys

import numpy as np

USE_GLOBAL_STATS, USE_SCALE, USE_SHIFT, RMS_NORM = 1, 2, 4, 32  # dnnl_normalization_flags_t
SOURCE, TARGET, MEAN, VARIANCE, SCALE, SHIFT = 1, 17, 49, 50, 51, 52  # DNNL_ARG_...
F16, BF16, F32 = 1, 2, 3
CPU, INFERENCE, A, AB, DEFAULT_STREAM = 1, 96, 2, 3, 1
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


def layer_norm(x, eps, flags, **tensors):
    """y of x, with the flags and the tensors that they ask for: scale, shift, mean, variance."""
    call, made = load(), ctypes.c_void_p

    def handle(name, *arguments):
        result = made()
        call(name, ctypes.byref(result), *arguments)
        return result

    def description(shape, kind):
        dims = (ctypes.c_int64 * len(shape))(*shape)
        return handle("memory_desc_create_with_tag", ctypes.c_int(len(shape)), dims,
                      ctypes.c_int(KINDS[kind.name]), ctypes.c_int(A if len(shape) == 1 else AB))
    y = np.zeros_like(x)
    arrays = {SOURCE: np.ascontiguousarray(x), TARGET: y}
    for number, name in ((MEAN, "mean"), (VARIANCE, "variance"), (SCALE, "scale"), (SHIFT, "shift")):
        if name in tensors:
            arrays[number] = np.ascontiguousarray(tensors[name])
    engine = handle("engine_create", ctypes.c_int(CPU), ctypes.c_size_t(0))
    stream = handle("stream_create", engine, ctypes.c_uint(DEFAULT_STREAM))
    statistics = description(x.shape[:1], np.dtype("f4"))
    parameters = F32 if SCALE not in arrays else KINDS[arrays[SCALE].dtype.name]
    chosen = handle("layer_normalization_forward_primitive_desc_create_v2", engine, ctypes.c_int(INFERENCE),
                    description(x.shape, x.dtype), description(x.shape, x.dtype), statistics,
                    ctypes.c_int(parameters), ctypes.c_float(eps), ctypes.c_uint(flags), None)
    primitive = handle("primitive_create", chosen)
    given = (Argument * len(arrays))()
    for at, (number, array) in enumerate(arrays.items()):
        memory = handle("memory_create", description(array.shape, array.dtype), engine, ctypes.c_void_p(array.ctypes.data))
        given[at] = Argument(number, memory)
    call("primitive_execute", primitive, stream, ctypes.c_int(len(given)), given)
    call("stream_wait", stream)
    return y
