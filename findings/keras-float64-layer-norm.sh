#!/bin/bash
# Keras 3.15.1: LayerNormalization(dtype="float64") gives float64 with the digits of float32.
#
# It computes "in float32 at least", by Keras' rule for the common type of float64 and float32, and that rule
# says float32. So seven digits are left of sixteen, and nothing tells: weights, input and output are all
# float64. On JAX with x64 enabled, whose own arithmetic has all digits.
# Seen 2026-11-30: largest error of the layer 4e-7, of the formula in jax.numpy 4e-16.
# Fails when the layer is better than 1e-9.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_ENABLE_X64=1 "$folder/bin/python" - <<'END'
import jax.numpy as jnp
import keras
import numpy as np

x = np.random.default_rng(0).standard_normal((4, 768))
right = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
y = np.asarray(keras.layers.LayerNormalization(dtype="float64", epsilon=1e-3)(x))
z = jnp.asarray(x)
formula = (z - z.mean(1, keepdims=True)) / jnp.sqrt(z.var(1, keepdims=True) + 1e-3)
layer_error, formula_error = np.abs(y - right).max(), np.abs(np.asarray(formula) - right).max()
print(keras.backend.result_type("float64", "float32"), y.dtype, f"layer {layer_error:.2g}, formula {formula_error:.2g}")
assert keras.backend.result_type("float64", "float32") == "float32"
assert y.dtype == np.float64 and formula_error < 1e-14
assert layer_error > 1e-9
END
