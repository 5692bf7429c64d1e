"""Makes mtcnn.txt: MTCNN in PyTorch and NumPy, in f64, with weights and a picture that a hash of their position gives.
The test makes the same ones. Written after the paper and facenet-pytorch's rounding; not here: any code of this project.

Run: python3 tests/golden/mtcnn.py > tests/golden/mtcnn.txt   (PyTorch and NumPy)
     python3 tests/golden/mtcnn.py PNET.pt RNET.pt ONET.pt WIDTH HEIGHT PIXELS.rgb   prints the faces of a real picture
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def hashed(key, shape, low, high):
    i = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(key * 7919)
    mask = np.uint64(0xFFFFFFFF)
    h = (i * np.uint64(2654435761)) & mask
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(0x2C1B3C6D)) & mask
    h = ((h ^ (h >> np.uint64(12))) * np.uint64(0x297A2D39)) & mask
    h = h ^ (h >> np.uint64(15))
    values = low + (high - low) * (h.astype(np.float64) / 2.0**32)
    return torch.from_numpy(values.astype(np.float32).astype(np.float64).reshape(shape))


SHAPES = {
    "pnet": [("conv1", (10, 3, 3, 3)), ("prelu1", 10), ("conv2", (16, 10, 3, 3)), ("prelu2", 16), ("conv3", (32, 16, 3, 3)),
             ("prelu3", 32), ("conv4_1", (2, 32, 1, 1)), ("conv4_2", (4, 32, 1, 1))],
    "rnet": [("conv1", (28, 3, 3, 3)), ("prelu1", 28), ("conv2", (48, 28, 3, 3)), ("prelu2", 48), ("conv3", (64, 48, 2, 2)),
             ("prelu3", 64), ("dense4", (128, 576)), ("prelu4", 128), ("dense5_1", (2, 128)), ("dense5_2", (4, 128))],
    "onet": [("conv1", (32, 3, 3, 3)), ("prelu1", 32), ("conv2", (64, 32, 3, 3)), ("prelu2", 64), ("conv3", (64, 64, 3, 3)),
             ("prelu3", 64), ("conv4", (128, 64, 2, 2)), ("prelu4", 128), ("dense5", (256, 1152)), ("prelu5", 256),
             ("dense6_1", (2, 256)), ("dense6_2", (4, 256)), ("dense6_3", (10, 256))],
}
QUIET = ("conv4_2", "dense5_2", "dense6_2")  # corrections stay small


def weights():
    nets, key = {}, 0
    for name, layers in SHAPES.items():
        nets[name] = {}
        for layer, shape in layers:
            key += 1
            if isinstance(shape, int):
                nets[name][layer + ".weight"] = hashed(key, (shape,), 0.1, 0.4)
                continue
            bound = np.sqrt(6.0 / np.prod(shape[1:])) * (0.1 if layer in QUIET else 1)
            nets[name][layer + ".weight"] = hashed(key, shape, -bound, bound)
            key += 1
            nets[name][layer + ".bias"] = hashed(key, (shape[0],), -0.1, 0.1)
    return nets


def conv(x, n, name):
    return F.conv2d(x, n[name + ".weight"], n[name + ".bias"])


def dense(x, n, name):
    return F.linear(x, n[name + ".weight"], n[name + ".bias"])


def pnet(x, n):
    x = F.max_pool2d(F.prelu(conv(x, n, "conv1"), n["prelu1.weight"]), 2, 2, ceil_mode=True)
    x = F.prelu(conv(x, n, "conv2"), n["prelu2.weight"])
    x = F.prelu(conv(x, n, "conv3"), n["prelu3.weight"])
    return F.softmax(conv(x, n, "conv4_1"), 1)[0, 1], conv(x, n, "conv4_2")[0]


def rnet(x, n):
    for i, pool in ((1, 3), (2, 3), (3, 0)):
        x = F.prelu(conv(x, n, f"conv{i}"), n[f"prelu{i}.weight"])
        x = F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
    x = x.permute(0, 3, 2, 1).reshape(len(x), -1)
    x = F.prelu(dense(x, n, "dense4"), n["prelu4.weight"])
    return F.softmax(dense(x, n, "dense5_1"), 1)[:, 1], dense(x, n, "dense5_2")


def onet(x, n):
    for i, pool in ((1, 3), (2, 3), (3, 2), (4, 0)):
        x = F.prelu(conv(x, n, f"conv{i}"), n[f"prelu{i}.weight"])
        x = F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
    x = x.permute(0, 3, 2, 1).reshape(len(x), -1)
    x = F.prelu(dense(x, n, "dense5"), n["prelu5.weight"])
    return F.softmax(dense(x, n, "dense6_1"), 1)[:, 1], dense(x, n, "dense6_2")


def normal(x, size):
    return (F.interpolate(x, size=size, mode="area") - 127.5) * 0.0078125


def nms(b, most, by_smaller=False):
    order, kept = list(np.argsort(-b[:, 4], kind="stable")), []
    one = 1 if by_smaller else 0
    while order:
        i = order.pop(0)
        kept.append(i)
        rest = []
        for k in order:
            w = min(b[i, 2], b[k, 2]) - max(b[i, 0], b[k, 0]) + one
            h = min(b[i, 3], b[k, 3]) - max(b[i, 1], b[k, 1]) + one
            both = max(w, 0) * max(h, 0)
            a = [(b[j, 2] - b[j, 0] + one) * (b[j, 3] - b[j, 1] + one) for j in (i, k)]
            if both / (min(a) if by_smaller else a[0] + a[1] - both) <= most:
                rest.append(k)
        order = rest
    return b[kept]


def square(b):
    b = b.copy()
    w, h = b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]
    side = np.maximum(w, h)
    b[:, 0] += w / 2 - side / 2
    b[:, 1] += h / 2 - side / 2
    b[:, 2], b[:, 3] = b[:, 0] + side, b[:, 1] + side
    return b


def move(b, one):
    w, h = b[:, 2] - b[:, 0] + one, b[:, 3] - b[:, 1] + one
    return np.stack([b[:, 0] + b[:, 5] * w, b[:, 1] + b[:, 6] * h, b[:, 2] + b[:, 7] * w, b[:, 3] + b[:, 8] * h, b[:, 4]], 1)


margins = []


def judge(net, n, image, b, side, threshold):
    crops, used = [], []
    height, width = image.shape[2:]
    for row in b:
        x, y, ex, ey = np.trunc(row[:4]).astype(int)
        x, y, ex, ey = max(x, 1), max(y, 1), min(ex, width), min(ey, height)
        if ey > y - 1 and ex > x - 1:
            crops.append(normal(image[:, :, y - 1:ey, x - 1:ex], (side, side)))
            used.append(row)
    p, reg = net(torch.cat(crops), n)
    margins.append(float((p - threshold).abs().min()))
    mask = (p > threshold).numpy()
    b = np.array(used)
    return np.concatenate([b[mask, :4], p.numpy()[mask, None], reg.numpy()[mask]], 1)


def detect(nets, image, smallest, thresholds, factor=0.709):
    height, width = image.shape[2:]
    scale, found, counts = 12.0 / smallest, [], []
    while min(height, width) * scale >= 12:
        p, reg = pnet(normal(image, (int(height * scale + 1), int(width * scale + 1))), nets["pnet"])
        margins.append(float((p - thresholds[0]).abs().min()))
        y, x = np.nonzero((p >= thresholds[0]).numpy())
        c = np.stack([np.floor((2 * x + 1) / scale), np.floor((2 * y + 1) / scale), np.floor((2 * x + 12) / scale),
                      np.floor((2 * y + 12) / scale)], 1)
        found.append(nms(np.concatenate([c, p.numpy()[y, x, None], reg.numpy()[:, y, x].T], 1), 0.5))
        scale *= factor
    b = nms(np.concatenate(found), 0.7)
    b = square(move(b, 0))
    counts.append(len(b))
    b = nms(judge(rnet, nets["rnet"], image, b, 24, thresholds[1]), 0.7)
    counts.append(len(b))
    b = judge(onet, nets["onet"], image, square(move(b, 1)), 48, thresholds[2])
    b = nms(move(b, 1), 0.7, True)
    b[:, 2:4] -= b[:, :2]
    counts.append(len(b))
    return b[np.lexsort((b[:, 0], -b[:, 2] * b[:, 3]))], counts


with torch.no_grad():
    if len(sys.argv) > 1:
        nets = {name: {k: v.double() for k, v in torch.load(path).items()} for name, path in zip(SHAPES, sys.argv[1:4])}
        width, height = int(sys.argv[4]), int(sys.argv[5])
        pixels = np.fromfile(sys.argv[6], np.uint8).reshape(1, height, width, 3).transpose(0, 3, 1, 2)
        faces, counts = detect(nets, torch.from_numpy(pixels.astype(np.float64)), min(width, height) // 12, (0.6, 0.7, 0.7))
    else:
        thresholds = [float(t) for t in "0.5 0.5 0.45".split()]
        image = torch.floor(hashed(999, (60, 80, 3), 0, 256)).permute(2, 0, 1)[None]
        image = F.avg_pool2d(image, 5, 1, 2).floor()
        faces, counts = detect(weights(), image, 16, thresholds)
        print(f"# Made by tests/golden/mtcnn.py with PyTorch {torch.__version__.split('+')[0]}; no decision closer than {min(margins):.1e}.")
        print("thresholds", *thresholds)
    print("counts", *counts)
    for i, face in enumerate(faces):
        print(f"face{i + 1}", *(f"{v:.9g}" for v in face))
