"""What each library offers: of each norm the name, whether it is an RMSNorm, and the function of x. Without
weight and bias, or with ones and zeros where a library goes another way with them."""
import importlib.metadata

import numpy as np

EPS = 1e-5


def version(package):
    return importlib.metadata.version(package)


def anynorm_norms(build, devices):
    from anynorm import TYPES, Library
    for device in devices or [None]:
        library = Library(build, device)

        def run(x, word, library=library):
            kind = next(kind for kind, dtype in TYPES.items() if dtype == x.dtype)
            text = f"{word} {x.shape[0]}x{x.shape[1]} {kind} eps={EPS}"
            return library.run(text, {"x": x})["y"].reshape(x.shape)
        yield f"anynorm {device}", False, lambda x, run=run: run(x, "layer-norm")
        yield f"anynorm {device}", True, lambda x, run=run: run(x, "rms-norm")


def torch_norms():
    import torch
    from torch.nn import functional as F
    name = f"torch {version('torch')}"

    def on(function):
        return lambda x: function(torch.from_numpy(x)).numpy()

    def affine(count, t):
        return torch.ones(count, dtype=t.dtype), torch.zeros(count, dtype=t.dtype)

    def group(t):
        x = t[:, :, None, None]
        return F.group_norm(x, 1, *affine(t.shape[1], t), EPS).reshape(t.shape)

    def group_last(t):
        rows, columns = t.shape
        x = t.reshape(rows, 2, 2, columns // 4).permute(0, 3, 1, 2)
        return F.group_norm(x, 1, *affine(columns // 4, t), EPS).permute(0, 2, 3, 1).reshape(t.shape)
    yield f"{name} layer_norm", False, on(lambda t: F.layer_norm(t, t.shape[1:], eps=EPS))
    yield f"{name} group_norm", False, on(group)
    yield f"{name} group_norm channels_last", False, on(group_last)
    yield f"{name} instance_norm", False, on(lambda t: F.instance_norm(t[:, None], eps=EPS)[:, 0])
    yield f"{name} rms_norm", True, on(lambda t: F.rms_norm(t, t.shape[1:], eps=EPS))


def onnx_norms(run, name):
    from onnx import helper

    from rows_onnx import KINDS, MICROSOFT, make

    def of(operator, inputs, image=False, domain="", **attributes):
        """With ones for w and zeros for b and skip."""
        def call(x):
            shape = (len(x), 1, x.shape[1]) if image or domain else x.shape
            count = 1 if image else x.shape[1]
            given = {"x": x.reshape(shape), "skip": np.zeros(shape, x.dtype), "w": np.ones(count, x.dtype),
                     "b": np.zeros(count, x.dtype)}
            feeds = {key: given[key] for key in inputs}
            node = helper.make_node(operator, inputs, ["y"], domain=domain, epsilon=EPS, **attributes)
            kind = {"y": KINDS["f16" if x.dtype == np.float16 else "f32"]}
            return np.asarray(run(make([node], feeds, kind, 23), feeds)[0]).reshape(x.shape)
        return call
    plain = ["x", "w", "b"]
    yield f"{name} LayerNormalization", False, of("LayerNormalization", plain)
    yield f"{name} GroupNormalization-21", False, of("GroupNormalization", plain, image=True, num_groups=1)
    yield f"{name} InstanceNormalization", False, of("InstanceNormalization", plain, image=True)
    yield f"{name} RMSNormalization-23", True, of("RMSNormalization", ["x", "w"])
    if "onnxruntime" in name:
        yield (f"{name} SkipLayerNormalization", False,
               of("SkipLayerNormalization", ["x", "skip", "w", "b"], domain=MICROSOFT))
        yield (f"{name} SkipSimplifiedLayerNormalization", True,
               of("SkipSimplifiedLayerNormalization", ["x", "skip", "w"], domain=MICROSOFT))


def onnxruntime_norms():
    from rows_onnx import runtime
    return onnx_norms(runtime, f"onnxruntime {version('onnxruntime')}")


def openvino_norms():
    from rows_onnx import openvino_run
    return onnx_norms(openvino_run, f"OpenVINO {version('openvino')}")


def jax_norms():
    import rows_jax  # noqa: F401 (it chooses Keras' backend)
    import flax.linen as nn
    import jax
    import keras
    plain = {"use_bias": False, "use_scale": False, "epsilon": EPS}

    def of_flax(make):
        return lambda x: np.asarray(make(x.dtype).apply({"params": {}}, jax.numpy.asarray(x)))

    def of_keras(cls, **options):
        def call(x):
            layer = cls(epsilon=EPS, dtype=x.dtype.name, **options)
            return np.asarray(layer(jax.numpy.asarray(x)))
        return call
    flax, keras_name = f"Flax {version('flax')}", f"Keras {version('keras')} (JAX)"
    yield f"{flax} LayerNorm", False, of_flax(lambda kind: nn.LayerNorm(dtype=kind, **plain))
    yield (f"{flax} LayerNorm use_fast_variance=False", False,
           of_flax(lambda kind: nn.LayerNorm(dtype=kind, use_fast_variance=False, **plain)))
    yield (f"{flax} RMSNorm", True,
           of_flax(lambda kind: nn.RMSNorm(dtype=kind, use_scale=False, epsilon=EPS)))
    yield (f"JAX {version('jax')} jax.nn.standardize", False,
           lambda x: np.asarray(jax.nn.standardize(jax.numpy.asarray(x), epsilon=EPS)))
    yield (f"{keras_name} LayerNormalization", False,
           of_keras(keras.layers.LayerNormalization, center=False, scale=False))
    yield f"{keras_name} RMSNormalization", True, of_keras(keras.layers.RMSNormalization)


def mlx_norms():
    import mlx.core as mx
    mx.set_default_device(mx.cpu)
    name = f"MLX {version('mlx')}"
    yield (f"{name} fast.layer_norm", False,
           lambda x: np.array(mx.fast.layer_norm(mx.array(x), None, None, EPS)))
    yield f"{name} fast.rms_norm", True, lambda x: np.array(mx.fast.rms_norm(mx.array(x), None, EPS))


def paddle_norms():
    import paddle
    from paddle.nn import functional as F
    name = f"Paddle {version('paddlepaddle')}"

    def on(function):
        return lambda x: function(paddle.to_tensor(x)).numpy()
    yield f"{name} layer_norm", False, on(lambda t: F.layer_norm(t, t.shape[1:], epsilon=EPS))
    yield f"{name} group_norm", False, on(lambda t: F.group_norm(t[:, :, None], 1, EPS)[:, :, 0])
    yield f"{name} instance_norm", False, on(lambda t: F.instance_norm(t[:, None], eps=EPS)[:, 0])


def mindspore_norms():
    import mindspore
    name = f"MindSpore {version('mindspore')}"

    def layer(x):
        kind = mindspore.float16 if x.dtype == np.float16 else mindspore.float32
        return mindspore.nn.LayerNorm(x.shape[1:], epsilon=EPS, dtype=kind)(mindspore.Tensor(x)).asnumpy()

    def group(x):
        return mindspore.ops.group_norm(mindspore.Tensor(x[:, :, None]), 1, eps=EPS).asnumpy()[:, :, 0]
    yield f"{name} group_norm", False, group  # first: an error of the other would be told here, too
    yield f"{name} nn.LayerNorm", False, layer


def tensorflow_norms():
    import tensorflow as tf

    def moments(x):
        mean, variance = tf.nn.moments(tf.constant(x), [1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, None, None, EPS).numpy()
    yield f"TensorFlow {version('tensorflow')} nn.moments, nn.batch_normalization", False, moments


def onednn_norms():
    import onednn as n
    name = f"oneDNN {version('onednn')}"
    yield f"{name} layer_normalization", False, lambda x: n.layer_norm(x, EPS, 0)
    yield f"{name} layer_normalization, rms_norm", True, lambda x: n.layer_norm(x, EPS, n.RMS_NORM)


def ncnn_norms():
    from rows_others import ncnn_run
    name = f"ncnn {version('ncnn')}"

    def of(layer, options="", image=False):
        def call(x):
            if x.dtype != np.float32:
                raise TypeError("widened to f32")
            if not image:
                return ncnn_run(layer, f"0={x.shape[1]} 1={EPS} 2=0", [], x)
            return np.stack([ncnn_run(layer, options, [], row[None, None])[0, 0] for row in x])
        return call
    yield f"{name} LayerNorm", False, of("LayerNorm")
    yield f"{name} InstanceNorm", False, of("InstanceNorm", f"0=1 1={EPS} 2=0", image=True)
    yield f"{name} RMSNorm", True, of("RMSNorm")


NORMS = {"anynorm": anynorm_norms, "torch": torch_norms, "onnxruntime": onnxruntime_norms,
         "openvino": openvino_norms, "jax": jax_norms, "mlx": mlx_norms, "paddle": paddle_norms,
         "mindspore": mindspore_norms, "tensorflow": tensorflow_norms, "onednn": onednn_norms,
         "ncnn": ncnn_norms}
