"""Makes networks.txt: ResNet-50, ResNet-50 + LSTM and VGG-16 in PyTorch and torchvision, in f64, with weights
and pictures that a hash of their position gives, so that nothing large is kept. The test makes the same ones.
Not here: any code of this project.

Run: python3 tests/golden/networks.py > tests/golden/networks.txt   (PyTorch, torchvision and NumPy)
"""
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


def line(what, t):
    """A tensor as its norm, its product with a hashed tensor, and its first elements."""
    flat = t.detach().double().reshape(-1)
    probe = hashed(1000, flat.shape, -1.0, 1.0)
    first = " ".join("%.9g" % v for v in flat[:4].tolist())
    print("%s %.12g %.12g %s" % (what, flat.norm().item(), (flat * probe).sum().item(), first))


def backward(what, y, parameters):
    """d/d(parameter) of the product of y with a hashed tensor."""
    (y * hashed(2000, y.shape, -1.0, 1.0)).sum().backward()
    for name, p in parameters:
        line("%s.grad.%s" % (what, name), p.grad)
        p.grad = None


def resnet():
    m = torchvision.models.resnet50()
    m.fc = torch.nn.Identity()
    fill(m, "", 1)
    x = hashed(500, (4, 3, 96, 96), -1.0, 1.0)
    m.eval()
    line("resnet50.eval", m(x))
    m.train()
    y = m(x)
    line("resnet50.train", y)
    backward("resnet50", y, m.named_parameters())
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


def vgg():
    m = torchvision.models.vgg16()
    m.avgpool = torch.nn.Identity()
    m.classifier = torch.nn.Sequential(torch.nn.Linear(512, 32), torch.nn.ReLU(), torch.nn.Dropout(),
                                       torch.nn.Linear(32, 16), torch.nn.ReLU(), torch.nn.Dropout())
    fill(m, "", 1)
    m.eval()
    y = m(hashed(502, (2, 3, 32, 32), -1.0, 1.0))
    line("vgg16", y)
    backward("vgg16", y, m.named_parameters())


print("# Made by tests/golden/networks.py with PyTorch %s, torchvision %s: name, norm, product with a hashed "
      "tensor, first elements." % (torch.__version__.split("+")[0], torchvision.__version__.split("+")[0]))
resnet()
recurrent()
vgg()
sys.stdout.flush()
