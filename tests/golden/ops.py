"""Makes ops.def: small values of every case of tests/backend/cases.def, computed with PyTorch in f64.
Not here: any code of this project; the inputs are made again from their seeds.

Run: python3 tests/golden/ops.py   (PyTorch and NumPy; deterministic)
"""
import math
import os
import re

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MASK = (1 << 64) - 1
STREAM_DOUT, STREAM_PROBE = 16, 32
torch.set_num_threads(1)


# ---- seeded numbers, as tests/backend/cases.h ---------------------------------------------------

class Lcg:
    def __init__(self, key, stream):
        state = 14695981039346656037
        for byte in key.encode():
            state = ((state ^ byte) * 1099511628211) & MASK
        self.state = (state + stream * 0x9E3779B97F4A7C15) & MASK
        for _ in range(8):
            self.next()

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 11) * 2.0 ** -53


def uniform(key, stream, n):
    lcg = Lcg(key, stream)
    return [2 * lcg.next() - 1 for _ in range(n)]


def distinct(key, stream, n):
    lcg = Lcg(key, stream)
    values = [(i + 0.75 - n / 2) * 4 / n for i in range(n)]
    for i in range(n - 1, 0, -1):
        j = int(lcg.next() * (i + 1))
        values[i], values[j] = values[j], values[i]
    return values


def make_input(key, stream, word):
    if word == "-":
        return None
    kind, classes, sizes = re.fullmatch(r"([+~tozLHckubmwan]?)(?:(\d+):)?(s|[\dx]+)", word).groups()
    shape = [] if sizes == "s" else [int(s) for s in sizes.split("x")]
    n = math.prod(shape)
    values = distinct(key, stream, n) if kind == "~" else uniform(key, stream, n)
    to = {
        "+": lambda v: (v + 1) / 2 + 0.5,
        "t": lambda v: math.floor((v + 1) / 2 * 3),
        "o": lambda v: 0.0,
        "z": lambda v: (v + 1) / 2,
        "L": lambda v: v * 60,
        "H": lambda v: v + 200,
        "u": lambda v: math.floor((v + 1) / 2 * 256),
        "b": lambda v: math.floor((v + 1) / 2 * 255) - 127,
        "m": lambda v: (v + 1) / 2 * 0.002,
        "w": lambda v: v * 20000,
        "c": lambda v: math.floor((v + 1) / 2 * int(classes)),
        "k": lambda v: math.floor((v + 1) / 2 * int(classes)),
    }.get(kind, lambda v: v)
    draw = (lambda v: math.floor((v + 1) * 2), lambda v: math.floor((v + 1) * 2),
            lambda v: math.floor(v + 1), lambda v: v * 32, lambda v: (v + 1) / 2 + 0.5)
    if kind == "a":  # rows of top, left, mirror, brightness, saturation
        values, to = [draw[i % 5](v) for i, v in enumerate(values)], lambda v: v
    if kind == "n":
        values[n // 5] = math.nan
    whole = kind in ("c", "k")
    t = torch.tensor([to(v) for v in values], dtype=torch.int64 if whole else torch.float64)
    t = t.reshape(shape)
    return t if whole else t.requires_grad_(True)


# ---- the ops: each takes (attributes, inputs) and gives {output name: tensor} -------------------

def padded(x, a, value=0.0):
    return F.pad(x, (a.pad_left, a.pad_right, a.pad_top, a.pad_bottom), value=value)


def strides(a):
    return a.stride_h, a.stride_w


def conv2d(a, x, w, b):
    return {"output": F.conv2d(padded(x, a), w, b, strides(a))}


def conv2d_fused(a, x, w, b, residual):
    y = F.conv2d(padded(x, a), w, b, strides(a))
    y = y if residual is None else y + residual
    return {"output": F.relu(y) if a.relu else y}


def saturated(y, is_signed):
    return torch.round(y).clamp(-128 if is_signed else 0, 127 if is_signed else 255)


def conv2d_int8(a, x, w, b, scale, residual):
    y = F.conv2d(padded(x, a), w, b, strides(a)) * scale.reshape(1, -1, 1, 1)
    y = y if residual is None else y + a.residual_scale * residual
    return {"output": saturated(F.relu(y) if a.relu else y, a.is_signed)}


def augment(a, frames, draws, scale):
    lead, (h, w) = frames.shape[:-3], frames.shape[-3:-1]
    x = frames.detach().reshape(-1, h, w, 3).permute(0, 3, 1, 2)
    x = F.interpolate(x, (a.resize_height, a.resize_width), mode="bilinear", antialias=True)
    out = []
    for picture, (top, left, mirror, brightness, saturation) in zip(x, draws.tolist()):
        top = min(int(top), a.resize_height - a.height)
        left = min(int(left), a.resize_width - a.width)
        p = picture[:, top:top + a.height, left:left + a.width]
        p = p.flip(2) if mirror else p
        luma = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]
        p = (luma + saturation * (p - luma) + brightness).clamp(0, 255)
        out.append(p * scale[0].reshape(3, 1, 1) + scale[1].reshape(3, 1, 1))
    return {"output": torch.stack(out).reshape(*lead, 3, a.height, a.width)}


def quantise(a, x):
    return {"output": saturated(x / a.scale, a.is_signed)}


def batch_norm(a, x, w, b, mean, var, residual):
    new_mean, new_var = mean.detach().clone(), var.detach().clone()
    y = F.batch_norm(x, new_mean, new_var, w, b, bool(a.training), a.momentum, a.eps)
    y = y if residual is None else y + residual
    dims = [0] + list(range(2, x.dim()))
    used = (x.mean(dims), x.var(dims, unbiased=False)) if a.training else (mean, var)
    return {"output": F.relu(y) if a.relu else y, "mean": used[0], "rstd": (used[1] + a.eps) ** -0.5,
            "new running_mean": new_mean, "new running_var": new_var}


def max_pool2d(a, x):
    kernel = a.kernel_h, a.kernel_w
    y, index = F.max_pool2d(padded(x, a, -math.inf), kernel, strides(a), return_indices=True)
    width = x.shape[3] + a.pad_left + a.pad_right
    index = (index // width - a.pad_top) * x.shape[3] + index % width - a.pad_left
    return {"output": y, "index": index.double()}


def avg_pool2d(a, x):
    kernel = a.kernel_h, a.kernel_w
    ones = torch.ones_like(x, requires_grad=False)
    y = F.avg_pool2d(padded(x, a), kernel, strides(a))
    return {"output": y / F.avg_pool2d(padded(ones, a), kernel, strides(a))}


def gru(a, x, w_ih, w_hh, b_ih, b_hh, h0):
    h = x.new_zeros(x.shape[0], w_hh.shape[1]) if h0 is None else h0
    if a.reset_after:
        y, h = torch._VF.gru(x, h[None], [w_ih, w_hh, b_ih, b_hh], True, 1, 0.0, False, False, True)
        return {"output": y, "h": h[0]}
    out = []  # TensorFlow's GRUCell: the reset gate acts before the product
    (w_r, w_z, w_n), (u_r, u_z, u_n) = w_ih.chunk(3), w_hh.chunk(3)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = b_ih.chunk(3), b_hh.chunk(3)
    for t in range(x.shape[1]):
        r = torch.sigmoid(x[:, t] @ w_r.T + b_r + h @ u_r.T + c_r)
        z = torch.sigmoid(x[:, t] @ w_z.T + b_z + h @ u_z.T + c_z)
        n = torch.tanh(x[:, t] @ w_n.T + b_n + (r * h) @ u_n.T + c_n)
        h = (1 - z) * n + z * h
        out.append(h)
    return {"output": torch.stack(out, 1), "h": h}


def lstm(a, x, w_ih, w_hh, b, h0, c0):
    zeros = x.new_zeros(x.shape[0], w_hh.shape[1])
    state = [(zeros if s is None else s)[None] for s in (h0, c0)]
    weights = [w_ih, w_hh, b, torch.zeros_like(b, requires_grad=False)]
    y, h, c = torch._VF.lstm(x, state, weights, True, 1, 0.0, False, False, True)
    return {"output": y, "h": h[0], "c": c[0]}


def philox(seed, stream, counter):
    """Four words of Philox4x32-10 (Salmon et al. 2011): key = seed, counter = (counter, stream)."""
    c = [counter & 0xffffffff, counter >> 32, stream & 0xffffffff, stream >> 32]
    k = [seed & 0xffffffff, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xffffffff, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff, (k[1] + 0xBB67AE85) & 0xffffffff]
    return c


def dropout(a, x):
    words = [w for i in range((x.numel() + 3) // 4)
             for w in philox(int(a.seed), int(a.stream), int(a.counter) + i)]
    keep = torch.tensor([(w >> 8) * 2.0 ** -24 >= a.p for w in words[:x.numel()]])
    return {"output": torch.where(keep.reshape(x.shape), x / (1 - a.p), 0.0)}


def reduction(reduce):
    def op(a, x):
        if a.dim >= 0:
            return {"output": reduce(x, a.dim, bool(a.keep))}
        y = reduce(x.reshape(-1), 0, False)
        return {"output": y.reshape([1] * x.dim()) if a.keep else y}
    return op


def first_max(x, dim, keep):
    at = torch.tensor(np.argmax(x.detach().numpy(), axis=dim)).unsqueeze(dim)
    y = x.gather(dim, at)
    return y if keep else y.squeeze(dim)


def ccc_loss(a, x, y):
    if x.dim() == 2 or not a.per_sequence:
        x, y = x.reshape(1, -1, x.shape[-1]), y.reshape(1, -1, y.shape[-1])
    mx, my = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    d = ((x - mx) ** 2).mean(1) + ((y - my) ** 2).mean(1) + ((mx - my) ** 2)[:, 0]
    low = d < 1e-12
    ccc = 2 * ((x - mx) * (y - my)).mean(1) / torch.where(low, torch.ones_like(d), d)
    ccc = torch.where(low, torch.zeros_like(ccc), ccc)
    return {"loss": 1 - ccc.mean(), "ccc": ccc}


def softmax_cross_entropy(a, x, target, weight):
    classes = x.shape[-1]
    loss = F.cross_entropy(x.reshape(-1, classes), target.reshape(-1),
                           None if weight is None else weight.detach())
    return {"loss": loss}


def pointwise(fn):
    return lambda a, *inputs: {"output": fn(a, *inputs)}


OPS = {
    "conv2d": conv2d, "conv2d_fused": conv2d_fused, "conv2d_int8": conv2d_int8, "quantise": quantise,
    "augment": augment,
    "batch_norm": batch_norm,
    "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d, "lstm": lstm, "gru": gru,
    "dropout": dropout, "ccc_loss": ccc_loss, "softmax_cross_entropy": softmax_cross_entropy,
    "global_avg_pool": pointwise(lambda a, x: x.mean((2, 3))),
    "lrn": pointwise(lambda a, x: F.local_response_norm(x, int(a.size), a.alpha, a.beta, a.k)),
    "linear": pointwise(lambda a, x, w, b: F.linear(x, w, b)),
    "matmul": pointwise(lambda a, x, y: x @ y),
    "add": pointwise(lambda a, x, y: x + y),
    "sub": pointwise(lambda a, x, y: x - y),
    "mul": pointwise(lambda a, x, y: x * y),
    "div": pointwise(lambda a, x, y: x / y),
    "affine": pointwise(lambda a, x: a.scale * x / a.divisor + a.shift),
    "cast": pointwise(lambda a, x: x.to(CAST[a.dtype])),
    "power": pointwise(lambda a, x: a.scale * x ** a.exponent),
    "relu": pointwise(lambda a, x: F.relu(x)),
    "sigmoid": pointwise(lambda a, x: torch.sigmoid(x)),
    "tanh": pointwise(lambda a, x: torch.tanh(x)),
    "exp": pointwise(lambda a, x: torch.exp(x)),
    "log": pointwise(lambda a, x: torch.log(x)),
    "abs": pointwise(lambda a, x: torch.abs(x)),
    "sum": reduction(lambda x, dim, keep: x.sum(dim, keep)),
    "mean": reduction(lambda x, dim, keep: x.mean(dim, keep)),
    "max": reduction(first_max),
    "softmax": pointwise(lambda a, x: F.softmax(x, -1)),
    "log_softmax": pointwise(lambda a, x: F.log_softmax(x, -1)),
    "reshape": pointwise(lambda a, x: x.reshape([a.d0, a.d1, a.d2, a.d3, a.d4, a.d5][:a.ndim])),
    "permute": pointwise(lambda a, x: x.permute([a.p0, a.p1, a.p2, a.p3, a.p4, a.p5][:x.dim()])),
    "narrow": pointwise(lambda a, x: x.narrow(a.dim, a.start, a.length)),
    "concat": pointwise(lambda a, *x: torch.cat(x, a.dim)),
    "mse_loss": lambda a, x, y: {"loss": F.mse_loss(x, y)},
    "sigmoid_cross_entropy": lambda a, x, z, w: {
        "loss": F.binary_cross_entropy_with_logits(x, z, None if w is None else w.detach())},
}
CAST = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
HIDDEN = {"mean", "rstd", "index", "ccc", "new running_mean", "new running_var"}
NO_GRADIENT = {"running_mean", "running_var", "class_weight"}


# ---- tables ---------------------------------------------------------------------------------------

class Attributes:
    def __init__(self, defaults, given):
        for name, value in list(defaults.items()) + [w.split("=") for w in given.split()]:
            number = float(value)
            setattr(self, name, int(number) if number == int(number) else number)


def read_ops():
    """{op: (input names, {attribute: default})} out of ops.def."""
    text = open(os.path.join(ROOT, "core", "ops", "ops.def")).read()
    text = text[text.index("*/"):]
    ops = {}
    for row in re.split(r"\nMIEN_OP\(", text)[1:]:
        name, inputs = re.match(r'(\w+), \w+, "([^"]*)"', row).groups()
        defaults = dict(re.findall(r"\bA\((\w+), (-?[\d.][\de.-]*)\)", row))
        ops[name] = ([w.rstrip("?") for w in inputs.split()], defaults)
    return ops


def emit(out, key, item, t):
    values = t.detach().double().reshape(-1).tolist()
    probe = sum(p * v for p, v in zip(uniform(key, STREAM_PROBE, len(values)), values) if v == v)
    norm = math.sqrt(sum(v * v for v in values if v == v))  # of what is no NaN
    numbers = ", ".join("NAN" if v != v else "%.13g" % (v + 0.0) for v in (norm, probe, values[0], values[-1]))
    out.append('GOLDEN("%s", "%s", %d, %s)' % (key, item, len(values), numbers))


def run_case(out, names, defaults, op, words, given):
    key = "%s|%s|%s" % (op, words, given)
    inputs = [make_input(key, i, w) for i, w in enumerate(words.split())]
    results = OPS[op](Attributes(defaults, given), *inputs)
    objective = 0
    for i, (name, t) in enumerate(results.items()):
        emit(out, key, name, t)
        if name not in HIDDEN:
            dout = torch.tensor(uniform(key, STREAM_DOUT + i, t.numel()), dtype=torch.float64)
            rounded = dout.reshape(t.shape).to(t.dtype).double()
            objective = objective + (rounded * t.double()).sum()
    if op in ("conv2d_fused", "quantise") or words[0] in "ub":
        return
    objective.backward()
    for i, x in enumerate(inputs):
        name = "input%d" % i if names[0].endswith("*") else names[i]
        if x is None or not x.requires_grad or name in NO_GRADIENT:
            continue
        emit(out, key, "d " + name, torch.zeros_like(x) if x.grad is None else x.grad)


def run_optimiser(out, name, given):
    key = "%s||%s" % (name, given)
    h = {k: float(v) for k, v in (w.split("=") for w in given.split())}
    p = torch.tensor(uniform(key, 0, 37), dtype=torch.float64, requires_grad=True)
    if name == "adam":
        kind = torch.optim.AdamW if h["decoupled"] else torch.optim.Adam
        o = kind([p], h["lr"], (h["beta1"], h["beta2"]), h["eps"], h["weight_decay"])
    else:
        o = torch.optim.SGD([p], h["lr"], h["momentum"], 0, h["weight_decay"], bool(h["nesterov"]))
    for step in (1, 2, 3):
        p.grad = torch.tensor(uniform(key, step, 37), dtype=torch.float64)
        o.step()
    emit(out, key, "param", p)
    state = o.state[p]
    if name == "adam":
        emit(out, key, "m", state["exp_avg"])
        emit(out, key, "v", state["exp_avg_sq"])
    else:
        velocity = state.get("momentum_buffer")
        emit(out, key, "velocity", torch.zeros(37) if velocity is None else velocity)


def main():
    ops = read_ops()
    text = open(os.path.join(ROOT, "tests", "backend", "cases.def")).read()
    text = text[text.index("*/"):]
    out = ["/* Values of tests/backend/cases.def, made with PyTorch %s by tests/golden/ops.py." %
           torch.__version__.split("+")[0],
           " * Not here: whole tensors; each row has count, 2-norm, product with a seeded probe, first "
           "and last element. */"]
    for op, words, given in re.findall(r'CASE\((\w+), "([^"]*)", "([^"]*)"', text):
        run_case(out, *ops[op], op, words, given)
    for name, given in re.findall(r'OPTIM\((\w+), "([^"]*)"', text):
        run_optimiser(out, name, given)
    with open(os.path.join(HERE, "ops.def"), "w") as file:
        file.write("\n".join(out) + "\n")


main()
