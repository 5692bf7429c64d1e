"""Golden values of ResNet-50: features and the gradient of every parameter, from torchvision in f64.

Not here: the comparison (tests/lua/resnet50_spec.lua). Weights and input come from mien's named
Philox streams, so that only norms and a few elements need to be kept. Writes resnet50.txt beside
this file; needs torch, torchvision, numpy."""
import os

import numpy as np
import torch
import torchvision

SEED = 7


def philox(stream, n):
    """Philox4x32-10 (Salmon et al. 2011): words 0 and 1 of blocks 0 .. n-1, as 53-bit uniforms."""
    name = 14695981039346656037
    for byte in stream.encode():
        name = (name ^ byte) * 1099511628211 % 2**64
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    counter = np.arange(n, dtype=np.uint64)
    c0, c1 = counter & mask, counter >> shift
    c2 = np.full(n, name & 0xFFFFFFFF, np.uint64)
    c3 = np.full(n, name >> 32, np.uint64)
    k0, k1 = SEED, 0
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & mask, \
            (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & mask
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return ((c0 << shift | c1) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(stream, shape, low, high):
    values = low + (high - low) * philox(stream, int(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(shape)


def row(name, t):
    """Norm, then 4 elements spread over the tensor."""
    flat = t.detach().flatten()
    at = [flat.numel() * i // 4 for i in range(4)]
    return " ".join([name, f"{flat.norm().item():.9e}"] + [f"{flat[i].item():.9e}" for i in at])


model = torchvision.models.resnet50(weights=None).double().train()
model.fc = torch.nn.Identity()
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.dim() == 4:
            bound = (6 / p[0].numel()) ** 0.5
            p.copy_(uniform(name, p.shape, -bound, bound))
        elif name.endswith("weight"):
            p.copy_(uniform(name, p.shape, 0.25, 0.75))
        else:
            # Far from 0 on the scale of the weights above: hardly any element is so close to the
            # kink of a ReLU that rounding decides on which side it lies.
            p.copy_(uniform(name, p.shape, 1.5, 2.5))
            p[3::4] *= -1

frames = uniform("frames", (2, 3, 150, 150), -1, 1)
seed = uniform("seed", (2, 2048), -1, 1)
features = model(frames)
(features * seed).sum().backward()
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resnet50.txt"), "w") as out:
    print(row("features", features), file=out)
    for name, p in model.named_parameters():
        print(row(name, p.grad), file=out)
    for name, b in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            print(row(name, b), file=out)
