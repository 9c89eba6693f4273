#!/bin/bash
# QuantizeLinear of a NaN and of infinity: each engine has its own number, one of them two.
#
# ONNX says that QuantizeLinear saturates, and for float8 that a NaN stays one. With the same model
#   - onnx's own evaluator 1.23.2 makes -128 of plus infinity in int8: it casts to int32 before it saturates;
#   - ONNX Runtime 1.32.0 makes -128 of a NaN in int8, and a NaN of it in float8e4m3fn;
#   - OpenVINO 2026.4.1 makes -128 of a NaN in int8 where the scale is a constant, but 0 where the same scale is
#     an input; in float8e4m3fn it makes -448 of a NaN, a number like any other.
# So a row that went wrong upstream looks like a sound one after it. Seen 2026-11-30 on an x86-64 CPU.
# Fails when one of these changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6 ml_dtypes==0.6.0
"$folder/bin/python" -W ignore - <<'END'
import ml_dtypes
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

FLOAT, NAN = TensorProto.FLOAT, float("nan")
TYPES = {TensorProto.INT8: np.int8, TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn}
X = np.array([NAN, np.inf, -np.inf, 2.5], np.float32)


def evaluator(model, feeds):
    return ReferenceEvaluator(model).run(None, feeds)[0]


def runtime(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def vino(model, feeds):
    core = openvino.Core()
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU")(list(feeds.values()))[0]


def check(engine, kind, scale_is_input, want):
    zero, one = helper.make_tensor("z", kind, [], [0]), helper.make_tensor("s", FLOAT, [], [1.0])
    inputs, feeds, constants = [helper.make_tensor_value_info("x", FLOAT, [4])], {"x": X}, [zero]
    if scale_is_input:
        inputs.append(helper.make_tensor_value_info("s", FLOAT, []))
        feeds["s"] = np.array(1, np.float32)
    else:
        constants.append(one)
    graph = helper.make_graph([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])], "quantize", inputs,
                              [helper.make_tensor_value_info("y", kind, [4])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    found = np.asarray(engine(model, feeds)).view(TYPES[kind]).astype(float).tolist()
    print(engine.__name__, TYPES[kind].__name__, "scale an input:" if scale_is_input else "scale constant:", found)
    assert np.array_equal(found, want, equal_nan=True), want


for scale_is_input in (False, True):
    check(evaluator, TensorProto.INT8, scale_is_input, [-128, -128, -128, 2])
    check(runtime, TensorProto.INT8, scale_is_input, [-128, 127, -128, 2])
    check(vino, TensorProto.INT8, scale_is_input, [0 if scale_is_input else -128, 127, -128, 2])
    check(runtime, TensorProto.FLOAT8E4M3FN, scale_is_input, [NAN, 448, -448, 2.5])
    check(vino, TensorProto.FLOAT8E4M3FN, scale_is_input, [-448, 448, -448, 2.5])
END
