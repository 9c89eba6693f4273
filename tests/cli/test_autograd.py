"""Gradients beside PyTorch's autograd, where PyTorch is importable."""
import numpy as np
import pytest
from support import from_bf16, to_bf16

torch = pytest.importorskip("torch")
functional = torch.nn.functional

EPS = 1e-3
# command, shape of x, of the parameters, the formula of x, weight and bias, options
NORMS = {
    "layer-norm": ((37, 130), 130, lambda x, w, b: functional.layer_norm(x, (130,), w, b, EPS), []),
    # By its formula: older versions have no rms_norm.
    "rms-norm": ((37, 130), 130,
                 lambda x, w, b: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w, []),
    "group-norm": ((3, 8, 30), 8, lambda x, w, b: functional.group_norm(x, 4, w, b, EPS),
                   ["--groups", "4"]),
    "instance-norm": ((3, 8, 30), 8,
                      lambda x, w, b: functional.instance_norm(x, weight=w, bias=b, eps=EPS), []),
}


@pytest.mark.parametrize("kind", ["f4", "f2", "bf16"])
@pytest.mark.parametrize("norm", NORMS)
def test_autograd(run, save, tmp_path, random, norm, kind):
    """In double, of the numbers as the type has them: what autograd finds is then exact beside ours."""
    shape, count, formula, options = NORMS[norm]
    bias = norm != "rms-norm"
    given = {"x": 0.5 + random.standard_normal(shape), "dy": random.standard_normal(shape),
             "weight": 1 + 0.3 * random.standard_normal(count), "bias": random.standard_normal(count)}
    given = {name: values.astype("f4") for name, values in given.items()}
    stored = dict(given)
    for name in ("x", "dy"):
        stored[name] = to_bf16(given[name]) if kind == "bf16" else given[name].astype(kind)
        given[name] = from_bf16(stored[name]) if kind == "bf16" else stored[name]
    tensors = {name: torch.from_numpy(values.astype("f8")).requires_grad_()
               for name, values in given.items()}
    formula(tensors["x"], tensors["weight"], tensors["bias"]).backward(tensors["dy"].detach())
    paths = {name: save(f"{name}.npy", values) for name, values in stored.items()}
    words = ["--dtype", "bf16"] if kind == "bf16" else []
    words += ["--eps", str(EPS), "--weight", paths["weight"], "--backward", paths["dy"],
              "-o", tmp_path / "dx.npy", "--dweight-output", tmp_path / "dweight.npy"]
    if bias:
        words += ["--bias", paths["bias"], "--dbias-output", tmp_path / "dbias.npy"]
    result = run(norm, paths["x"], *options, *words)
    assert result.returncode == 0, result
    for name, tensor in (("dx", "x"), ("dweight", "weight"), ("dbias", "bias"))[:3 if bias else 2]:
        found = np.load(tmp_path / f"{name}.npy")
        found = from_bf16(found) if name == "dx" and kind == "bf16" else found
        want = tensors[tensor].grad.numpy()
        half = {"f4": 0, "f2": 2.0**-11, "bf16": 2.0**-8}[kind] if name == "dx" else 0
        assert found.shape == want.shape
        assert np.max(np.abs(found.astype("f8") - want)) <= (half + 64 * 2.0**-23) * np.max(np.abs(want))
