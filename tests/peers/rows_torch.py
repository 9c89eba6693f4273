"""PyTorch, and what is written in it: transformers, vLLM, and formulas that no library has for itself."""
import math
import pathlib
import types

import numpy as np
import torch
from torch.nn import functional as F

from anynorm import TYPES
from rows import (BATCH, BATCH_LAST, CHANNELS, CHANNELS_FIRST, COLUMNS, FIRST, GROUP, GIVEN, GROUP_LAST, GROUPS, INSTANCE, L2,
                  LAYER, RMS, Fact, Inputs, Row)

VLLM = pathlib.Path(torch.__file__).parent.parent / "vllm"
FLOAT32_EPS = 2.0**-23
ODD = [math.nan, math.inf, -math.inf]
BITS = {torch.bfloat16: (torch.int16, TYPES["bf16"]), torch.float8_e4m3fn: (torch.int8, TYPES["f8e4m3"])}


def to_torch(array):
    array = np.ascontiguousarray(array)
    if array.dtype == TYPES["bf16"]:
        return torch.from_numpy(array.view("i2")).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def to_numpy(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.dtype in BITS:
        bits, kind = BITS[tensor.dtype]
        return tensor.view(bits).numpy().view(kind)
    return tensor.numpy()


def on(function):
    """The function of tensors, as one of an Inputs."""
    def run(v: Inputs):
        t = types.SimpleNamespace(eps=v.eps, **{name: to_torch(a) for name, a in v.arrays().items()})
        with torch.no_grad():
            result = function(t)
        return tuple(map(to_numpy, result)) if isinstance(result, tuple) else to_numpy(result)
    return run


def layer(t, **options):
    return F.layer_norm(t.x, (COLUMNS,), t.weight, t.bias, **options)


def group(images, t, groups=GROUPS):
    return F.group_norm(images, groups, t.weight[:CHANNELS], t.bias[:CHANNELS])


def channels_last(t):
    x = t.images_last.permute(0, 3, 1, 2)
    assert x.is_contiguous(memory_format=torch.channels_last)
    return group(x, t).permute(0, 2, 3, 1)


def batch(images, t, **options):
    return F.batch_norm(images, None, None, t.weight[:CHANNELS], t.bias[:CHANNELS], training=True, **options)


def batch_last(t):
    return batch(t.images_last.permute(0, 3, 1, 2), t).permute(0, 2, 3, 1)


def batch_given(t):
    return F.batch_norm(t.images, *(a[:CHANNELS].to(t.x.dtype) for a in (t.mean, t.variance)),
                        t.weight[:CHANNELS], t.bias[:CHANNELS], eps=t.eps)


def running():
    """What becomes of a running mean of 0 and a variance of 1 by the channel 1, 2, 6."""
    mean, variance = torch.zeros(1), torch.ones(1)
    F.batch_norm(torch.tensor([[1.0], [2.0], [6.0]]), mean, variance, training=True)
    return [round(float(mean), 5), round(float(variance), 5)]


def annotated(t):
    """The LayerNorm class of the Annotated Transformer."""
    mean, deviation = t.x.mean(-1, keepdim=True), t.x.std(-1, keepdim=True)
    return t.weight * (t.x - mean) / (deviation + t.eps) + t.bias


def modulated(h, t):
    n = F.layer_norm(h.reshape(len(t.scale), -1, COLUMNS), (COLUMNS,), eps=t.eps)
    return n * (1 + t.scale.unsqueeze(1)) + t.shift.unsqueeze(1)


def gated(t):
    x, branch = (a.reshape(len(t.gate), -1, COLUMNS) for a in (t.x, t.residual))
    h = x + t.gate.unsqueeze(1) * branch
    return modulated(h, t), h


def heads(t):
    """The queries of x as [tokens, 3, heads, D], a weight for each head."""
    queries = t.x.reshape(8, 3, 3, 192)[:, 0]
    return F.rms_norm(queries, (192,), None, t.eps) * torch.stack((t.weight, t.bias, t.pre_bias))


def sharded(t):
    """A row on two ranks: an all-reduce of the squares, then each its own columns."""
    shards = t.x.split(COLUMNS // 2, -1)
    squares = sum(shard.float().pow(2).sum(-1, keepdim=True) for shard in shards)
    return torch.cat(shards, -1) * torch.rsqrt(squares / COLUMNS + t.eps) * t.weight


def int8(t):
    return torch.quantize_per_tensor(layer(t).float(), float(t.y_scale), 0, torch.qint8).int_repr()


def float8(t):
    return (layer(t).float() / t.y_scale).to(torch.float8_e4m3fn)


PYTORCH = [
    Row("torch layer_norm", "f32 f16 bf16 f64", LAYER, on(layer)),
    Row("torch layer_norm + residual", "f32 f64", LAYER + " residual",
        on(lambda t: F.layer_norm(t.x + t.residual, (COLUMNS,), t.weight, t.bias))),
    Row("torch rms_norm, no eps", "f32 f16 bf16", RMS,
        on(lambda t: F.rms_norm(t.x, (COLUMNS,), t.weight)), eps=FLOAT32_EPS),
    Row("torch rms_norm, no eps", "f64", RMS,
        on(lambda t: F.rms_norm(t.x, (COLUMNS,), t.weight)), eps=2.0**-52),
    Row("torch rms_norm", "f32 f16 bf16 f64", RMS,
        on(lambda t: F.rms_norm(t.x, (COLUMNS,), t.weight, t.eps)), eps=1e-6),
    Row("torch group_norm", "f32 f16 bf16 f64", GROUP, on(lambda t: group(t.images, t))),
    Row("torch group_norm, channels_last", "f32 f16 bf16 f64", GROUP_LAST, on(channels_last)),
    Row("torch group_norm, G = C", "f32 f16 bf16 f64", INSTANCE,
        on(lambda t: group(t.images, t, CHANNELS))),
    Row("torch instance_norm", "f32 f16 bf16 f64", INSTANCE,
        on(lambda t: F.instance_norm(t.images, None, None, t.weight[:CHANNELS], t.bias[:CHANNELS])),
        places=8),
    Row("torch batch_norm, training", "f32 f16 bf16 f64", BATCH, on(lambda t: batch(t.images, t)),
        places=2, eps_shows=False),
    Row("torch batch_norm, training", "f32 f64", BATCH, on(lambda t: batch(t.images, t, eps=t.eps)), eps=0.5),
    Row("torch batch_norm, training, channels_last", "f32 f16 bf16 f64", BATCH_LAST, on(batch_last),
        places=2, eps_shows=False),
    Row("torch batch_norm", "f32", BATCH.replace(" eps={eps}", "") + GIVEN, on(batch_given), eps_shows=False),
    Fact("torch batch_norm: (1 - 0.1) * running + 0.1 * batch, the variance over the elements less one",
         running, [0.3, 1.6]),
    Row("torch normalize", "f32 f16 bf16 f64", L2, on(lambda t: F.normalize(t.x, dim=-1)), eps=1e-12,
        places=2, eps_shows=False),
    # The norms of the rows lie about sqrt(192).
    Row("torch normalize", "f32 f64", "rms-norm 24x192 {t} l2 eps-floor eps={eps}",
        on(lambda t: F.normalize(t.x, dim=-1, eps=t.eps)), eps=14.0),
    Row("Annotated Transformer", "f32 f16 bf16 f64", LAYER + " unbiased eps-outside", on(annotated),
        eps=1e-6, places=8, eps_shows=False),
    Row("adaLN", "f32 f16 bf16 f64", "layer-norm 24x192 {t} samples={t} scale shift eps={eps} sample-rows=8",
        on(lambda t: modulated(t.x, t)), eps=1e-6, places=4),
    Row("adaLN-Zero", "f32 f64",
        "layer-norm 24x192 {t} samples={t} residual gate sum scale shift eps={eps} sample-rows=8",
        on(gated), eps=1e-6, outputs=("y", "sum")),
    Row("tensor-parallel RMSNorm", "f32", RMS, on(sharded), eps=1e-6),
    Row("torch quantize_per_tensor", "f32", LAYER + " y=i8 y-scale-input", on(int8)),
    Row("torch quantize_per_tensor of bf16", "bf16", LAYER + " y=i8 y-scale-input", on(int8), differs=True),
    Row("torch .to(float8_e4m3fn)", "f32", LAYER + " y=f8e4m3 y-scale-input", on(float8)),
    Fact("torch normalize divides by 1e-12 at least",
         lambda: [float(F.normalize(torch.full((1, 4), 1e-15, dtype=torch.float64)).max())], [1e-3]),
    Fact("torch quantize_per_tensor to qint8: NaN, infinity, -infinity",
         lambda: torch.quantize_per_tensor(torch.tensor(ODD), 1, 0, torch.qint8).int_repr().tolist(),
         [127, 127, -128]),
    Fact("torch .to(float8_e4m3fn): NaN, infinity, -infinity",
         lambda: to_numpy(torch.tensor(ODD).to(torch.float8_e4m3fn)).tolist(), [math.nan, 448, -448]),
]


def module(make):
    """A module of transformers with weight (and bias) set."""
    def run(t):
        m = make(t)
        m.weight.data = t.weight[:len(m.weight)].clone()
        if getattr(m, "bias", None) is not None:
            m.bias.data = t.bias[:len(m.bias)].clone()
        return m
    return run


def transformers_rows():
    from transformers.models.convnext.modeling_convnext import ConvNextLayerNorm
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    def rms(cls):
        return on(lambda t: module(lambda t: cls(COLUMNS))(t)(t.x))
    convnext = module(lambda t: ConvNextLayerNorm(CHANNELS, data_format="channels_first"))
    return [
        Row("LlamaRMSNorm", "f32 f16 bf16", RMS + FIRST, rms(LlamaRMSNorm), eps=1e-6),
        Row("T5LayerNorm", "f32 f16 bf16", RMS + FIRST, rms(T5LayerNorm), eps=1e-6),
        Row("GemmaRMSNorm", "f32 f16 bf16", RMS + " weight-offset=1", rms(GemmaRMSNorm), eps=1e-6),
        Row("ConvNextLayerNorm", "f32 f16 bf16 f64", CHANNELS_FIRST, on(lambda t: convnext(t)(t.images)),
            eps=1e-6),
    ]


def vllm_rows():
    import vllm.ir.ops.layernorm as ir
    wide = "avx512f" in pathlib.Path("/proc/cpuinfo").read_text()
    torch.ops.load_library(str(VLLM / ("_C.abi3.so" if wide else "_C_AVX2.abi3.so")))
    kernels = torch.ops._C
    python, python_add = (op.impls["native"].impl_fn for op in (ir.rms_norm, ir.fused_add_rms_norm))

    def norm(t):
        y = torch.empty_like(t.x)
        kernels.rms_norm(y, t.x, t.weight, t.eps)
        return y

    def add(t):
        kernels.fused_add_rms_norm(t.x, t.residual, t.weight, t.eps)
        return t.x, t.residual

    def int8(t):
        y, scales = torch.empty(t.x.shape, dtype=torch.int8), torch.empty(len(t.x), 1)
        kernels.dynamic_scaled_int8_quant(y, norm(t), scales, None)
        return y, scales
    return [
        Row("vLLM rms_norm (CPU)", "f32 f16", RMS, on(norm), eps=1e-6),
        Row("vLLM fused_add_rms_norm (CPU)", "f32 f16", RMS + " residual sum stored-sum", on(add), eps=1e-6,
            outputs=("y", "sum"), places=1),
        Row("vLLM rms_norm (Python)", "f32 f16 bf16", RMS + FIRST,
            on(lambda t: python(t.x, t.weight, t.eps)), eps=1e-6),
        Row("vLLM fused_add_rms_norm (Python)", "f32 f16 bf16", RMS + FIRST + " residual sum",
            on(lambda t: python_add(t.x, t.residual, t.weight, t.eps)), eps=1e-6, outputs=("y", "sum")),
        Row("vLLM rms_norm, dynamic_scaled_int8_quant (CPU)", "f32", RMS + " y=i8 y-scale", on(int8),
            eps=1e-6, outputs=("y", "y_scale"), eps_shows=False),
    ]
