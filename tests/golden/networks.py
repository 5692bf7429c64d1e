"""Makes networks.txt: ResNet-50, ResNet-50 + LSTM and VGG-16 in PyTorch and torchvision, in f64, with weights
and pictures that a hash of their position gives, so that nothing large is kept. The test makes the same ones.
Not here: any code of this project.

Run: python3 tests/golden/networks.py > tests/golden/networks.txt   (PyTorch, torchvision and NumPy)
"""
import copy
import math
import sys

import numpy as np
import torch
import torchvision

torch.set_default_dtype(torch.float64)
torch.backends.mkldnn.enabled = False


def hashed(key, shape, low, high):
    """Numbers in [low, high), as tests/lua/networks_spec.lua makes them."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(key * 7919)
    mask = np.uint64(0xFFFFFFFF)
    h = (i * np.uint64(2654435761)) & mask
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(0x2C1B3C6D)) & mask
    h = ((h ^ (h >> np.uint64(12))) * np.uint64(0x297A2D39)) & mask
    h = h ^ (h >> np.uint64(15))
    values = low + (high - low) * (h.astype(np.float64) / 2.0**32)
    return torch.from_numpy(values.astype(np.float32).astype(np.float64).reshape(shape))


def kind(name, shape):
    """Ranges by role: He's for what is followed by ReLU, so that no layer dies or explodes."""
    if len(shape) >= 2:
        bound = np.sqrt(6.0 / np.prod(shape[1:]))
        return -bound, bound
    if name.endswith("running_mean") or name.endswith("bias") or "bias_" in name:
        return -0.1, 0.1
    if name.endswith("bn3.weight"):
        return 0.1, 0.3  # quiet branches beside the shortcuts: else f32 alone errs by 3 % of a gradient's norm
    return 0.75, 1.25  # batch norm's weight and running_var


def fill(module, prefix, key):
    with torch.no_grad():
        for name, t in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            low, high = kind(prefix + name, t.shape)
            t.copy_(hashed(key, t.shape, low, high))
            key += 1
    return key


def summary(t):
    """A tensor as its norm, its product with a hashed tensor, and its first elements."""
    flat = t.detach().double().reshape(-1)
    probe = hashed(1000, flat.shape, -1.0, 1.0)
    return [flat.norm().item(), (flat * probe).sum().item()] + flat[:4].tolist()


def line(what, t):
    values = summary(t)
    print("%s %.12g %.12g %s" % (what, *values[:2], " ".join("%.9g" % v for v in values[2:])))


def backward(what, y, parameters):
    """d/d(parameter) of the product of y with a hashed tensor."""
    (y * hashed(2000, y.shape, -1.0, 1.0)).sum().backward()
    for name, p in parameters:
        line("%s.grad.%s" % (what, name), p.grad)
        p.grad = None


def apart(module):
    """Batch norm's biases two standard deviations from 0, either way: few of ReLU's inputs come near 0."""
    with torch.no_grad():
        for name, t in module.state_dict().items():
            if name.endswith("bias"):
                t.copy_(torch.where(t < 0, -1.0, 1.0) * (0.4 if "bn3" in name else 2.0))


def corners(module, x):
    """What decides where a gradient flows: ReLU's inputs, and how far the largest of each max pool's window is ahead."""
    found, hooks = [], []

    def pool(module, inputs):
        v, side, edge = inputs[0], module.kernel_size, module.padding
        windows = torch.nn.functional.unfold(torch.nn.functional.pad(v, (edge,) * 4), side, stride=module.stride)
        top = windows.reshape(*v.shape[:2], side * side, -1).topk(2, dim=2).values
        ahead = top[:, :, 0] - top[:, :, 1]
        ahead[top[:, :, 0] <= 0] = 1  # all zero: no gradient
        found.append(ahead[..., None])

    for m in module.modules():
        if isinstance(m, torch.nn.ReLU):
            hooks.append(m.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone())))
        if isinstance(m, torch.nn.MaxPool2d):
            hooks.append(m.register_forward_pre_hook(pool))
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return found


def margin(module, x):
    """How far all corners lie from being decided otherwise, in f32's errors."""
    least = math.inf
    for a, b in zip(corners(module, x), corners(copy.deepcopy(module).float(), x.float())):
        error = (a - b.double()).pow(2).mean([d for d in range(a.ndim) if d != 1], keepdim=True).sqrt()
        least = min(least, (a.abs() / error).min().item())
    return least


def resnet_gradients(key):
    """Of a picture for which f32 decides all corners as f64 does, by 15 times its error: then every gradient is exact.
    (Elsewhere it decides a few of millions otherwise, which moves all gradients below by 1e-3 of their norms.)"""
    m = torchvision.models.resnet50()
    m.fc = torch.nn.Identity()
    fill(m, "", 1)
    apart(m)
    m.train()
    x = hashed(key, (2, 3, 64, 64), -1.0, 1.0)
    assert margin(m, x) > 15, "another key: a corner is too near"
    narrow = copy.deepcopy(m).float()
    (narrow(x.float()) * hashed(2000, (2, 2048), -1.0, 1.0).float()).sum().backward()
    y = m(x)
    line("resnet50.apart", y)
    (y * hashed(2000, y.shape, -1.0, 1.0)).sum().backward()
    far = []
    for p, q in zip(m.parameters(), narrow.parameters()):
        right = summary(p.grad)
        far.append(max(abs(a - b) for a, b in zip(summary(q.grad), right)) / right[0])
    print("# resnet50.grad by PyTorch in f32: median %.1e, largest %.1e" % (np.median(far), max(far)))
    for name, p in m.named_parameters():
        line("resnet50.grad." + name, p.grad)


def resnet():
    m = torchvision.models.resnet50()
    m.fc = torch.nn.Identity()
    fill(m, "", 1)
    x = hashed(500, (4, 3, 96, 96), -1.0, 1.0)
    m.eval()
    line("resnet50.eval", m(x))
    m.train()
    line("resnet50.train", m(x))
    for name, t in m.named_buffers():
        if not name.endswith("num_batches_tracked"):
            line("resnet50.buffer." + name, t)


def recurrent():
    """Torchvision's ResNet-50, a two-layer LSTM of 8 whose two biases are one, a linear head."""
    features = torchvision.models.resnet50()
    features.fc = torch.nn.Identity()
    key = fill(features, "", 1)
    lstm = torch.nn.LSTM(2048, 8, 2, batch_first=True)
    head = torch.nn.Linear(8, 2)
    with torch.no_grad():
        for layer in range(2):
            inputs = 2048 if layer == 0 else 8
            getattr(lstm, "weight_ih_l%d" % layer).copy_(hashed(key, (32, inputs), -0.05, 0.05))
            getattr(lstm, "weight_hh_l%d" % layer).copy_(hashed(key + 1, (32, 8), -0.5, 0.5))
            getattr(lstm, "bias_ih_l%d" % layer).copy_(hashed(key + 2, (32,), -0.1, 0.1))
            getattr(lstm, "bias_hh_l%d" % layer).zero_()
            key += 3
        head.weight.copy_(hashed(key, (2, 8), -0.5, 0.5))
        head.bias.copy_(hashed(key + 1, (2,), -0.1, 0.1))
    x = hashed(501, (1, 4, 3, 64, 64), -1.0, 1.0)
    features.eval()
    y = head(lstm(features(x[0])[None])[0])
    line("recurrent", y)
    backward("recurrent", y, [("context." + n, p) for n, p in lstm.named_parameters() if "bias_hh" not in n]
             + [("head." + n, p) for n, p in head.named_parameters()]
             + [("features.conv1.weight", features.conv1.weight)])


def vgg(key):
    m = torchvision.models.vgg16()
    m.avgpool = torch.nn.Identity()
    m.classifier = torch.nn.Sequential(torch.nn.Linear(512, 32), torch.nn.ReLU(), torch.nn.Dropout(),
                                       torch.nn.Linear(32, 16), torch.nn.ReLU(), torch.nn.Dropout())
    fill(m, "", 1)
    m.eval()
    x = hashed(key, (2, 3, 32, 32), -1.0, 1.0)
    assert margin(m, x) > 15, "another key: a corner is too near"
    y = m(x)
    line("vgg16", y)
    backward("vgg16", y, m.named_parameters())


print("# Made by tests/golden/networks.py with PyTorch %s, torchvision %s: name, norm, product with a hashed "
      "tensor, first elements." % (torch.__version__.split("+")[0], torchvision.__version__.split("+")[0]))
resnet()
resnet_gradients(664)
recurrent()
vgg(507)
sys.stdout.flush()
