"""JAX, Flax and Keras (on JAX)."""
import os

os.environ["KERAS_BACKEND"] = "jax"

import flax.linen as nn  # noqa: E402
import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from rows import (BATCH_LAST, CHANNELS, COLUMNS, GIVEN, GROUP_LAST, GROUPS, INSTANCE_LAST, L2, LAYER,  # noqa: E402
                  PLAIN, RMS, Fact, Row)

jax.config.update("jax_enable_x64", True)
KERAS_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}


def flax(cls, *arguments, parameters=("scale", "bias"), image=False, **options):
    def call(v):
        layer = cls(*arguments, dtype=v.type, param_dtype=v.type, **options)
        count = CHANNELS if image else COLUMNS
        values = {name: jax.numpy.asarray(array[:count])
                  for name, array in zip(parameters, (v.weight, v.bias))}
        x = jax.numpy.asarray(v.images_last if image else v.x)
        return np.asarray(layer.apply({"params": values}, x))
    return call


def keras_layer(make, parameters=2, image=False):
    def call(v):
        layer = make(KERAS_TYPES[v.kind])
        x = jax.numpy.asarray(v.images_last if image else v.x)
        layer.build(x.shape)
        count = CHANNELS if image else COLUMNS
        layer.set_weights([array[:count] for array in (v.weight, v.bias)[:parameters]])
        return np.asarray(layer(x))
    return call


def keras_batch(training):
    def call(v):
        x, layer = jax.numpy.asarray(v.images_last), keras.layers.BatchNormalization(dtype=KERAS_TYPES[v.kind])
        layer.build(x.shape)
        layer.set_weights([array[:CHANNELS] for array in (v.weight, v.bias, v.mean, v.variance)])
        return np.asarray(layer(x, training=training))
    return call


def keras_running():
    """What becomes of a moving mean of 0 and a variance of 1 by the channel 1, 2, 6."""
    layer = keras.layers.BatchNormalization()
    layer(np.array([[1], [2], [6]], "f4"), training=True)
    return [round(float(layer.moving_mean[0]), 5), round(float(layer.moving_variance[0]), 5)]


def unit_floor(value):
    x = np.full((1, 4), value, "f4")
    return [round(float(np.log10(np.asarray(keras.layers.UnitNormalization()(x))[0, 0] / x[0, 0])), 3)]


ALL = "f32 f16 bf16 f64"
HALVES = "f32 f16 bf16"
JAX = [
    Row("Flax LayerNorm", ALL, LAYER, flax(nn.LayerNorm), eps=1e-6),
    Row("Flax LayerNorm, mean 1000", "f32", LAYER, flax(nn.LayerNorm), eps=1e-6, offset=1000, units=8192,
        differs=True),
    Row("Flax LayerNorm, mean 1000, use_fast_variance=False", "f32", LAYER,
        flax(nn.LayerNorm, use_fast_variance=False), eps=1e-6, offset=1000, units=8192),
    Row("Flax RMSNorm", ALL, RMS, flax(nn.RMSNorm, parameters=("scale",)), eps=1e-6),
    Row("Flax GroupNorm", ALL, GROUP_LAST, flax(nn.GroupNorm, GROUPS, image=True), eps=1e-6),
    Row("Flax InstanceNorm", ALL, INSTANCE_LAST, flax(nn.InstanceNorm, image=True), eps=1e-6),
    Row("Keras LayerNormalization", HALVES, LAYER,
        keras_layer(lambda kind: keras.layers.LayerNormalization(dtype=kind)), eps=1e-3),
    Row("Keras LayerNormalization of f64, which it computes in f32", "f64", LAYER,
        keras_layer(lambda kind: keras.layers.LayerNormalization(dtype=kind)), eps=1e-3, differs=True,
        eps_shows=False),
    Row("Keras RMSNormalization", HALVES, RMS,
        keras_layer(lambda kind: keras.layers.RMSNormalization(dtype=kind), parameters=1), eps=1e-6),
    Row("Keras GroupNormalization", HALVES, GROUP_LAST,
        keras_layer(lambda kind: keras.layers.GroupNormalization(GROUPS, dtype=kind), image=True), eps=1e-3),
    Row("Keras BatchNormalization, training", HALVES, BATCH_LAST, keras_batch(True), eps=1e-3, eps_shows=False),
    Row("Keras BatchNormalization", "f32", BATCH_LAST.replace(" eps={eps}", "") + GIVEN, keras_batch(False),
        eps=1e-3, eps_shows=False),
    Fact("Keras BatchNormalization: 0.99 * moving + 0.01 * batch, the variance over the elements", keras_running,
         [0.03, round(0.99 + 0.01 * 14 / 3, 5)]),
    Row("Keras UnitNormalization", "f32 f64", L2,
        lambda v: np.asarray(keras.layers.UnitNormalization(dtype=KERAS_TYPES[v.kind])(v.x)), eps=1e-12,
        eps_shows=False),
    Fact("Keras UnitNormalization divides by 1e-12 at least", lambda: unit_floor(1e-15), [12]),
    Row("jax.nn.standardize", "f32 f64", PLAIN, lambda v: np.asarray(jax.nn.standardize(v.x))),
    Row("jax.nn.standardize of halves, in halves", "f16 bf16", PLAIN,
        lambda v: np.asarray(jax.nn.standardize(v.x)), differs=True, eps_shows=False),
]
