"""ONNX: its text (the function body of an operator, evaluated), its evaluator, ONNX Runtime, OpenVINO."""
import math

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from anynorm import TYPES
from rows import (BATCH, CHANNELS, FIRST, GIVEN, GROUP, GROUP_18, GROUPS, INSTANCE, L2, LAYER, PLAIN, RMS,
                  Fact, Row)

KINDS = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16,
         "f64": TensorProto.DOUBLE, "i8": TensorProto.INT8, "f8e4m3": TensorProto.FLOAT8E4M3FN}
MICROSOFT = "com.microsoft"
EPS_32 = float(np.float32(1e-5))  # ONNX's attributes are f32, also beside f64


def evaluator(model, feeds):
    return ReferenceEvaluator(model).run(None, feeds)


def text(model, feeds):
    """By the body that ONNX gives for the operator."""
    names = [("", node.op_type) for node in model.graph.node]
    inlined = onnx.inliner.inline_selected_functions(model, names, inline_schema_functions=True)
    assert len(inlined.graph.node) > 1
    return evaluator(inlined, feeds)


def runtime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def openvino_run(model, feeds):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU",
                                  {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(list(feeds.values()))
    return [results[at] for at in range(len(compiled.outputs))]


def make(nodes, feeds, outputs, opset):
    infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
             for name, array in feeds.items()]
    graph = helper.make_graph(nodes, "norm", infos, [helper.make_tensor_value_info(name, kind, None)
                                                     for name, kind in outputs.items()])
    return helper.make_model(graph, ir_version=10, opset_imports=[
        helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)])


def constant(name, kind, value):
    tensor = helper.make_tensor(name, kind, [], [value])
    return helper.make_node("Constant", [], [name], value=tensor)


def quantize(kind):
    return [constant("z", KINDS[kind], 0), helper.make_node("QuantizeLinear", ["y", "s", "z"], ["q"])]


def op(run, name, inputs, opset=17, outputs=("y",), to=None, **attributes):
    """The operator by one of the four. `outputs` are the operator's, "" where it is not asked for."""
    def call(v):
        feeds = {f"x{at}": np.ascontiguousarray(array) for at, array in enumerate(inputs(v))}
        kinds = {output: TensorProto.FLOAT if output in ("mean", "rstd") else KINDS[v.kind]
                 for output in outputs if output}
        nodes = [helper.make_node(name, list(feeds), outputs, **attributes)]
        if to:
            feeds["s"] = v.y_scale.reshape(())
            nodes, kinds = nodes + quantize(to), {"q": KINDS[to]}
        results = run(make(nodes, feeds, kinds, opset), feeds)
        if to:
            results = [results[0].view(TYPES[to])]
        return tuple(results) if len(results) > 1 else results[0]
    return call


def affine(v):
    return v.x, v.weight, v.bias


def of_channels(v):
    return v.images, v.weight[:CHANNELS], v.bias[:CHANNELS]


def of_batch(v):
    return (*of_channels(v), v.mean[:CHANNELS], v.variance[:CHANNELS])


def batch_norm(run, **attributes):
    return op(run, "BatchNormalization", of_batch, opset=15, **attributes)


def training(run):
    """What becomes of a running mean of 0 and a variance of 1 by the channel 1, 2, 6."""
    def call():
        one, zero = np.ones(1, "f4"), np.zeros(1, "f4")
        feeds = {"x": np.array([[1], [2], [6]], "f4"), "s": one, "b": zero, "m": zero, "v": one}
        node = helper.make_node("BatchNormalization", list(feeds), ["y", "mean", "var"], training_mode=1)
        kinds = dict.fromkeys(("y", "mean", "var"), TensorProto.FLOAT)
        return [round(float(a[0]), 5) for a in run(make([node], feeds, kinds, 15), feeds)[1:]]
    return call


def of_groups(v):
    return v.images, v.weight[:GROUPS], v.bias[:GROUPS]


def skip(v):
    return v.x[None], v.residual[None], v.weight, v.bias, v.pre_bias


def simple_skip(v):
    return v.x[None], v.residual[None], v.weight


def quantized(run, kind, scale_is_input=False):
    """What QuantizeLinear makes of a NaN, an infinity and one below zero."""
    def call():
        nodes = quantize(kind)
        feeds = {"y": np.array([math.nan, math.inf, -math.inf], "f4")}
        if scale_is_input:
            feeds["s"] = np.array(1, "f4")
        else:
            nodes = [constant("s", TensorProto.FLOAT, 1)] + nodes
        model = make(nodes, feeds, {"q": KINDS[kind]}, 19)
        with np.errstate(invalid="ignore"):
            return np.asarray(run(model, feeds)[0]).view(TYPES[kind]).tolist()
    return call


TEXT = [
    Row("ONNX text LayerNormalization-17", "f32", LAYER, op(text, "LayerNormalization", affine)),
    Row("ONNX text LayerNormalization-17 with bias", "f16 bf16", LAYER + FIRST,
        op(text, "LayerNormalization", affine), places=1),
    Row("ONNX text LayerNormalization-17, no bias", "f32 f16 bf16", LAYER.replace(" bias", "") + FIRST,
        op(text, "LayerNormalization", lambda v: affine(v)[:2])),
    Row("ONNX text RMSNormalization-23", "f32 f16 bf16", RMS + FIRST,
        op(text, "RMSNormalization", lambda v: affine(v)[:2], opset=23)),
    Row("ONNX text GroupNormalization-21", "f32", GROUP,
        op(text, "GroupNormalization", of_channels, opset=21, num_groups=GROUPS)),
    Row("ONNX text GroupNormalization-21", "f16 bf16", GROUP + FIRST,
        op(text, "GroupNormalization", of_channels, opset=21, num_groups=GROUPS), places=1),
    Row("ONNX evaluator LayerNormalization-17", "f16 bf16", LAYER,
        op(evaluator, "LayerNormalization", affine), differs=True, eps_shows=False),
    Row("ONNX evaluator LayerNormalization-17", "f32", LAYER + " mean rstd",
        op(evaluator, "LayerNormalization", affine, outputs=("y", "mean", "rstd")),
        outputs=("y", "mean", "rstd")),
    Row("ONNX evaluator InstanceNormalization", "f32", INSTANCE,
        op(evaluator, "InstanceNormalization", of_channels)),
    Row("ONNX evaluator BatchNormalization-15", "f32", BATCH.replace(" eps={eps}", "") + GIVEN,
        batch_norm(evaluator), eps_shows=False),
    Row("ONNX evaluator BatchNormalization-15, training_mode", "f32", BATCH,
        lambda v: batch_norm(evaluator, training_mode=1, outputs=("y", "mean", "rstd"))(v)[0],
        eps_shows=False),
    Fact("ONNX evaluator BatchNormalization-15: 0.9 * running + 0.1 * batch, the variance over the elements",
         training(evaluator), [0.3, round(0.9 + 0.1 * 14 / 3, 5)]),
    Fact("ONNX evaluator QuantizeLinear to int8: NaN, infinity, -infinity", quantized(evaluator, "i8"),
         [-128, -128, -128]),
]

RUNTIME = [
    Row("ONNX Runtime LayerNormalization-17", "f32 f16", LAYER + " mean rstd",
        op(runtime, "LayerNormalization", affine, outputs=("y", "mean", "rstd")),
        outputs=("y", "mean", "rstd")),
    Row("ONNX Runtime LayerNormalization-17", "f64", LAYER, op(runtime, "LayerNormalization", affine),
        eps=EPS_32),
    Row("ONNX Runtime RMSNormalization-23", "f32 f16", RMS,
        op(runtime, "RMSNormalization", lambda v: affine(v)[:2], opset=23)),
    Row("ONNX Runtime GroupNormalization-21", "f32 f16", GROUP,
        op(runtime, "GroupNormalization", of_channels, opset=21, num_groups=GROUPS)),
    Row("ONNX Runtime GroupNormalization-18", "f32 f16", GROUP_18,
        op(runtime, "GroupNormalization", of_groups, opset=18, num_groups=GROUPS)),
    Row("ONNX Runtime InstanceNormalization", "f32 f16", INSTANCE,
        op(runtime, "InstanceNormalization", of_channels)),
    Row("ONNX Runtime BatchNormalization-15", "f32", BATCH.replace(" eps={eps}", "") + GIVEN,
        batch_norm(runtime), eps_shows=False),
    Row("ONNX Runtime SkipLayerNormalization", "f32 f16", LAYER + " residual pre-bias sum",
        op(runtime, "SkipLayerNormalization", skip, domain=MICROSOFT, outputs=("y", "", "", "sum")),
        eps=1e-12, outputs=("y", "sum")),
    Row("ONNX Runtime SkipSimplifiedLayerNormalization", "f32 f16", RMS + " residual sum",
        op(runtime, "SkipSimplifiedLayerNormalization", simple_skip, domain=MICROSOFT,
           outputs=("y", "", "", "sum")), eps=1e-12, outputs=("y", "sum")),
    Row("ONNX Runtime LpNormalization", "f32 f16 f64", L2, op(runtime, "LpNormalization", lambda v: [v.x]),
        eps_shows=False),
    Row("ONNX Runtime QuantizeLinear, int8", "f32", LAYER + " y=i8 y-scale-input",
        op(runtime, "LayerNormalization", affine, opset=19, to="i8")),
    Row("ONNX Runtime QuantizeLinear, float8e4m3fn", "f32", LAYER + " y=f8e4m3 y-scale-input",
        op(runtime, "LayerNormalization", affine, opset=19, to="f8e4m3")),
    Fact("ONNX Runtime QuantizeLinear to int8: NaN, infinity, -infinity", quantized(runtime, "i8"),
         [-128, 127, -128]),
    Fact("ONNX Runtime QuantizeLinear to float8e4m3fn: NaN, infinity, -infinity",
         quantized(runtime, "f8e4m3"), [math.nan, 448, -448]),
]


def mvn(mode):
    def call(v):
        import openvino.opset15 as ops
        x = ops.parameter(v.x.shape, {"f32": openvino.Type.f32, "f16": openvino.Type.f16}[v.kind])
        model = openvino.Model([ops.mvn(x, np.array([1]), True, v.eps, mode)], [x])
        return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([v.x])[0]
    return call


OPENVINO = [
    Row("OpenVINO MVN-6, INSIDE_SQRT", "f32 f16", PLAIN, mvn("INSIDE_SQRT")),
    Row("OpenVINO MVN-6, OUTSIDE_SQRT", "f32 f16", PLAIN + " eps-outside", mvn("OUTSIDE_SQRT"),
        eps_shows=False),
    Row("OpenVINO LayerNormalization-17", "f32 f16", LAYER, op(openvino_run, "LayerNormalization", affine)),
    Row("OpenVINO RMSNormalization-23", "f32 f16", RMS,
        op(openvino_run, "RMSNormalization", lambda v: affine(v)[:2], opset=23)),
    Row("OpenVINO GroupNormalization-21", "f32 f16", GROUP,
        op(openvino_run, "GroupNormalization", of_channels, opset=21, num_groups=GROUPS)),
    Row("OpenVINO InstanceNormalization", "f32 f16", INSTANCE,
        op(openvino_run, "InstanceNormalization", of_channels)),
    Row("OpenVINO BatchNormalization-15", "f32", BATCH.replace(" eps={eps}", "") + GIVEN,
        batch_norm(openvino_run), eps_shows=False),
    Row("OpenVINO QuantizeLinear, int8", "f32", LAYER + " y=i8 y-scale-input",
        op(openvino_run, "LayerNormalization", affine, opset=19, to="i8")),
    Fact("OpenVINO QuantizeLinear to int8: NaN, infinity, -infinity", quantized(openvino_run, "i8"),
         [-128, 127, -128]),
    Fact("OpenVINO QuantizeLinear to int8 with a scale that is an input: NaN, infinity, -infinity",
         quantized(openvino_run, "i8", scale_is_input=True), [0, 127, -128]),
    Fact("OpenVINO QuantizeLinear to float8e4m3fn: NaN, infinity, -infinity",
         quantized(openvino_run, "f8e4m3"), [-448, 448, -448]),
]
