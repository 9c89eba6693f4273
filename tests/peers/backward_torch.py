"""PyTorch's gradients: by autograd, and by the operators that autograd calls."""
import torch
from torch.nn import functional as F

from backward import CHANNELS, EPS, GROUPS, IMAGES, PIXELS
from rows_torch import to_numpy, to_torch

BOTH = [True, True, True]


def parameters(v, x):
    """In the type of x, as modules of that type have them."""
    return to_torch(v.weight).to(x.dtype), to_torch(v.bias).to(x.dtype)


def by_autograd(function):
    def run(v):
        x, dy = to_torch(v.x).requires_grad_(), to_torch(v.dy)
        weight, bias = (p.requires_grad_() for p in parameters(v, x))
        function(x, weight, bias).backward(dy)
        return tuple(None if t.grad is None else to_numpy(t.grad) for t in (x, weight, bias))
    return run


def by_operator(function):
    def run(v):
        x, dy = to_torch(v.x), to_torch(v.dy)
        weight, bias = parameters(v, x)
        return tuple(map(to_numpy, function(x, dy, weight, bias)))
    return run


def layer(x, weight, bias):
    return F.layer_norm(x, x.shape[-1:], weight, bias, EPS)


def layer_operator(x, dy, weight, bias):
    shape = list(x.shape[-1:])
    _, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, EPS)
    return torch.ops.aten.native_layer_norm_backward(dy, x, shape, mean, rstd, weight, bias, BOTH)


def rms(x, weight, _bias):
    return F.rms_norm(x, x.shape[-1:], weight, EPS)


def images(t):
    return t.reshape(IMAGES, CHANNELS, PIXELS)


def group_operator(x, dy, weight, bias):
    x, dy = images(x), images(dy)
    sizes = IMAGES, CHANNELS, PIXELS, GROUPS
    _, mean, rstd = torch.native_group_norm(x, weight, bias, *sizes, EPS)
    return torch.ops.aten.native_group_norm_backward(dy, x, mean, rstd, weight, *sizes, BOTH)


def batch(x, weight, bias):
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)


def calls(make, kinds):
    """Rows of docs/conventions.md. Parameters of halves are halves, and so are their gradients."""
    return [make("PyTorch native_layer_norm_backward", "f32 bf16 f16", *kinds["layer"], by_operator(layer_operator)),
            make("PyTorch layer_norm, autograd", "f32", *kinds["layer"], by_autograd(layer)),
            make("PyTorch rms_norm, autograd", "f32 bf16 f16", *kinds["rms"], by_autograd(rms)),
            make("PyTorch native_group_norm_backward", "f32 bf16 f16", *kinds["group"], by_operator(group_operator)),
            make("PyTorch batch_norm in training, autograd", "f32", *kinds["batch"], by_autograd(batch))]
