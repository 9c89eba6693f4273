#!/bin/bash
# PyTorch 2.15.0: group_norm of a constant row is 0, but with a weight of ones and a bias of zeros it is not.
#
# Without weight and bias the CPU kernel computes (x - mean) * rstd. With them, and so in every nn.GroupNorm,
# it folds them first: x * (rstd * weight) + (bias - mean * rstd * weight), two large numbers that cancel but
# for their rounding, times a rstd of up to 1 / sqrt(eps). layer_norm of the same row is 0 either way.
# Seen 2026-11-30 on an x86-64 CPU with AVX-512, 768 values of 12345.678: 0 without, 0.07 with ones and zeros;
# values of 1e12: 0 and 1.3e7. Fails when they agree.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet torch==2.15.0 numpy==2.4.6
"$folder/bin/python" - <<'END'
import torch
from torch.nn import functional as F

ones, zeros = torch.ones(768), torch.zeros(768)
for value in (12345.678, 1e12):
    x = torch.full((1, 768), value)
    without = F.group_norm(x, 1).abs().max().item()
    affine = F.group_norm(x, 1, ones, zeros).abs().max().item()
    layer = F.layer_norm(x, (768,), ones, zeros).abs().max().item()
    print(f"{value}: group_norm {without}, with ones and zeros {affine}, layer_norm {layer}")
    assert without == 0 and layer == 0
    assert affine > 0.01
END
