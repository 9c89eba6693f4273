"""Paddle, MLX, thinc, ncnn, MindSpore, TensorFlow and oneDNN."""
import pathlib
import tempfile

import numpy as np

import onednn
from anynorm import TYPES
from rows import (BATCH, BATCH_LAST, CHANNELS, COLUMNS, FIRST, GIVEN, GROUP, GROUP_LAST, GROUPS,
                  INSTANCE, INSTANCE_LAST, L2, LAYER, RMS, ROWS, Fact, Inputs, Row)

HALVES = "f32 f16 bf16"
EPS_32 = float(np.float32(1e-5))


def paddle_rows():
    import paddle
    from paddle.nn import functional as F

    def call(function):
        return lambda v: function(v, paddle.to_tensor).numpy()
    layer = call(lambda v, t: F.layer_norm(t(v.x), [COLUMNS], t(v.weight), t(v.bias)))
    return [
        Row("Paddle layer_norm", "f32", LAYER, layer),
        Row("Paddle layer_norm of f64, with eps in f32", "f64", LAYER, layer, eps=EPS_32),
        Row("Paddle group_norm", "f32 f64", GROUP, call(lambda v, t: F.group_norm(
            t(v.images), GROUPS, weight=t(v.weight[:CHANNELS]), bias=t(v.bias[:CHANNELS])))),
        Row("Paddle instance_norm", "f32", INSTANCE, call(lambda v, t: F.instance_norm(
            t(v.images), weight=t(v.weight[:CHANNELS]), bias=t(v.bias[:CHANNELS])))),
        Row("Paddle normalize", "f32 f64", L2, call(lambda v, t: F.normalize(t(v.x), axis=-1)),
            eps_shows=False),
    ]


def mlx_rows():
    import mlx.core as mx
    import mlx.nn as nn
    mx.set_default_device(mx.cpu)

    def to_mlx(array):
        if array.dtype == TYPES["bf16"]:
            return mx.array(array.view("u2")).view(mx.bfloat16)
        return mx.array(array)

    def call(make, count=COLUMNS, image=False):
        def run(v):
            layer = make()
            layer.weight = to_mlx(v.weight[:count])
            if "bias" in layer:
                layer.bias = to_mlx(v.bias[:count])
            y = layer(to_mlx(v.images_last if image else v.x))
            return np.array(y.view(mx.uint16)).view(v.type) if v.kind == "bf16" else np.array(y)
        return run
    return [
        Row("MLX LayerNorm", "f32", LAYER, call(lambda: nn.LayerNorm(COLUMNS))),
        Row("MLX LayerNorm", "f16 bf16", LAYER + FIRST, call(lambda: nn.LayerNorm(COLUMNS)), places=1),
        Row("MLX RMSNorm", HALVES, RMS + FIRST, call(lambda: nn.RMSNorm(COLUMNS))),
        Row("MLX GroupNorm, pytorch_compatible", HALVES, GROUP_LAST,
            call(lambda: nn.GroupNorm(GROUPS, CHANNELS, pytorch_compatible=True), CHANNELS, True), places=4),
        Row("MLX GroupNorm, by default", "f32", GROUP_LAST,
            call(lambda: nn.GroupNorm(GROUPS, CHANNELS), CHANNELS, True), differs=True, eps_shows=False),
        Row("MLX InstanceNorm", HALVES, INSTANCE_LAST,
            call(lambda: nn.InstanceNorm(CHANNELS, affine=True), CHANNELS, True), places=4),
    ]


def thinc_rows():
    from thinc.api import LayerNorm

    def call(v):
        layer = LayerNorm(COLUMNS).initialize(X=v.x)
        layer.set_param("G", v.weight)
        layer.set_param("b", v.bias)
        return layer.predict(v.x)
    return [Row("thinc LayerNorm", "f32", LAYER, call, eps=1e-8)]


def ncnn_run(layer, options, parameters, x):
    """A network of one layer, with the options and arrays that its files have."""
    import ncnn
    net = ncnn.Net()
    with tempfile.TemporaryDirectory() as folder:
        text, binary = (pathlib.Path(folder) / name for name in ("net.param", "net.bin"))
        text.write_text(f"7767517\n2 2\nInput in0 0 1 in0\n{layer} norm 1 1 in0 out0 {options}\n")
        binary.write_bytes(b"".join(array.tobytes() for array in parameters))
        if net.load_param(str(text)) or net.load_model(str(binary)):
            raise RuntimeError("ncnn does not load the network")
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(np.ascontiguousarray(x)).clone())
        return np.array(extractor.extract("out0")[1])


def ncnn_rows():
    def call(layer, options, parameters, image=False):
        def run(v):
            x = v.images_last.reshape(CHANNELS, 12, 24) if image else v.x
            count = CHANNELS if image else COLUMNS
            return ncnn_run(layer, options, [a[:count] for a in (v.weight, v.bias)[:parameters]], x)
        return run
    # One image of 16 channels of 12 x 24.
    group, instance = "4x1152", "16x288"
    parameters = "f32 weight bias eps={eps}"
    return [
        Row("ncnn LayerNorm", "f32", LAYER, call("LayerNorm", f"0={COLUMNS}", 2), eps=1e-3),
        Row("ncnn RMSNorm", "f32", RMS, call("RMSNorm", f"0={COLUMNS}", 1), eps=1e-3),
        Row("ncnn GroupNorm", "f32", f"layer-norm {group} {parameters} parameter-rows=4 parameter-run=288",
            call("GroupNorm", f"0={GROUPS} 1={CHANNELS}", 2, True), eps=1e-3),
        Row("ncnn InstanceNorm", "f32",
            f"layer-norm {instance} {parameters} parameter-rows=16 parameter-run=288",
            call("InstanceNorm", f"0={CHANNELS}", 2, True), eps=1e-3),
    ]


def mindspore_rows():
    import mindspore

    def call(v):
        gamma, beta = (mindspore.Tensor(array) for array in (v.weight, v.bias))
        layer = mindspore.nn.LayerNorm((COLUMNS,), gamma_init=gamma, beta_init=beta)
        return layer(mindspore.Tensor(v.x)).asnumpy()
    return [Row("MindSpore nn.LayerNorm", "f32", LAYER, call, eps=1e-7)]


def tensorflow_rows():
    import tensorflow as tf

    def norm(x):
        return tf.math.l2_normalize(x, axis=-1)

    def lite(v):
        """The same, converted; then the layer is TFLite's own."""
        function = tf.function(norm).get_concrete_function(tf.TensorSpec(v.x.shape, tf.float32))
        model = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
        interpreter = tf.lite.Interpreter(model_content=model)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], v.x)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    def floor(function):
        """1 divided by the least norm that the function divides by, of rows far below it."""
        v = Inputs("f32", 1e-5)
        v.x = np.full((ROWS, COLUMNS), 1e-12, "f4")
        return lambda: [round(float(np.log10(function(v)[0, 0] / v.x[0, 0])), 3)]
    return [
        Row("TensorFlow l2_normalize", "f32", L2, lambda v: norm(v.x).numpy(), eps_shows=False),
        Row("TFLite L2_NORMALIZATION", "f32", L2, lite, eps_shows=False),
        Fact("TensorFlow l2_normalize divides by 1e-6 at least", floor(lambda v: norm(v.x).numpy()), [6]),
        Fact("TFLite L2_NORMALIZATION divides by 1e-6 at least", floor(lite), [6]),
    ]


def onednn_rows():
    n = onednn

    def layer(v):
        return n.layer_norm(v.x, v.eps, n.USE_SCALE | n.USE_SHIFT, scale=v.weight, shift=v.bias)

    def rms(v):
        return n.layer_norm(v.x, v.eps, n.USE_SCALE | n.RMS_NORM, scale=v.weight)

    def given(v):
        return n.layer_norm(v.x, v.eps, n.USE_GLOBAL_STATS, mean=v.mean, variance=v.variance)

    def batch(v):
        return n.batch_norm(v.images, v.eps, v.weight[:CHANNELS], v.bias[:CHANNELS])

    def batch_last(v):
        y = n.batch_norm(v.images_last.transpose(0, 3, 1, 2), v.eps, v.weight[:CHANNELS], v.bias[:CHANNELS])
        return y.transpose(0, 2, 3, 1)

    def batch_given(v):
        return n.batch_norm(v.images, v.eps, v.weight[:CHANNELS], v.bias[:CHANNELS],
                            (v.mean[:CHANNELS], v.variance[:CHANNELS]))
    return [
        Row("oneDNN layer_normalization", "f32 bf16", LAYER, layer),
        Row("oneDNN with rms_norm", "f32 bf16", RMS, rms),
        Row("oneDNN with use_global_stats", "f32 bf16", "layer-norm 24x192 {t} mean-input rstd-input", given,
            eps=1e-3, eps_shows=False),
        Row("oneDNN batch_normalization, training", "f32", BATCH, batch),
        Row("oneDNN batch_normalization, training, channels last", "f32", BATCH_LAST, batch_last),
        Row("oneDNN batch_normalization with use_global_stats", "f32",
            BATCH.replace(" eps={eps}", "") + GIVEN, batch_given, eps_shows=False),
    ]
