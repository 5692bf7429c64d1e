"""PyTorch's side of step.lua: the same nets, one answer for each line of standard input.

Not here: what is compared and printed (step.lua). "make CASE PRECISION SETTING" answers "ready" or
"error ..."; "go" the seconds of one round; "memory" the largest resident bytes; "quit" ends."""
import io
import sys
import time

import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(1)


class Bottleneck(nn.Module):
    """torchvision's bottleneck: stride in the 3x3 convolution."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += self.downsample(x) if self.downsample else x
        return F.relu(y, inplace=True)


class ResNet50(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs, blocks = width, []
        for stage, count in enumerate((3, 4, 6, 3)):
            for i in range(count):
                blocks.append(Bottleneck(inputs, width << stage, 2 if stage and not i else 1))
                inputs = 4 * width << stage
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return self.blocks(x).mean((2, 3))


class VGG16(nn.Module):
    """torchvision's without batch norm, to its second fully connected layer."""

    def __init__(self, size):
        super().__init__()
        layers, inputs = [], 3
        for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.fc6 = nn.Linear(512 * (size // 32) ** 2, 4096)
        self.fc7 = nn.Linear(4096, 4096)

    def forward(self, x):
        return F.relu(self.fc7(F.relu(self.fc6(self.layers(x).flatten(1)))))


class Recurrent(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.features = features
        self.context = nn.LSTM(outputs, 256, 2, batch_first=True)
        self.head = nn.Linear(256, 2)

    def forward(self, x):
        y = self.features(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.context(y)[0])


def ccc_loss(x, y):
    x, y = x.flatten(0, 1), y.flatten(0, 1)
    mx, my = x.mean(0), y.mean(0)
    cov = ((x - mx) * (y - my)).mean(0)
    return 1 - (2 * cov / (((x - mx) ** 2).mean(0) + ((y - my) ** 2).mean(0) + (mx - my) ** 2)).mean()


def frames(batch, steps, size, setting):
    x = torch.randn(batch * steps, 3, size, size)
    if setting != "nchw":
        x = x.contiguous(memory_format=torch.channels_last)
    return x.unflatten(0, (batch, steps))


def net(width, size, setting):
    if width == "vgg16":
        model = Recurrent(VGG16(size), 4096)
    else:
        model = Recurrent(ResNet50(int(width)), 32 * int(width))
    return model if setting == "nchw" else model.to(memory_format=torch.channels_last)


def autocast(function, precision):
    """function under bf16 autocast, or as it is."""
    if precision == "f32":
        return function

    def cast(*inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return function(*inputs)
    return cast


def training(model, x, y, precision, setting):
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-5, fused=setting in ("tuned", "compiled"))
    model.train()
    forward = torch.compile(model) if setting == "compiled" else model
    loss = autocast(lambda: ccc_loss(forward(x).float(), y), precision)

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()
    return step


def inference(model, x, precision, setting):
    model.eval()
    if setting in ("tuned", "compiled") and precision == "bf16":
        model, x, precision = model.to(torch.bfloat16), x.to(torch.bfloat16), "f32"  # no casts left
    if setting == "tuned":
        model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x)))
    if setting == "compiled":
        from torch._inductor import config
        config.freezing = True
        model = torch.compile(model)
    forward = autocast(lambda: model(x), precision)

    def step():
        with torch.no_grad() if setting == "compiled" else torch.inference_mode():
            forward()
    return step


def exported(model, x):
    """The net as bytes of an ONNX file."""
    file = io.BytesIO()
    torch.onnx.export(model.eval(), (x,), file, input_names=["x"], output_names=["y"], dynamo=False)
    return file.getvalue()


def onnxruntime_session(model, x):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported(model, x), options, providers=["CPUExecutionProvider"])
    frames = {"x": x.contiguous().numpy()}
    return lambda: session.run(None, frames)


def openvino_request(model, x, precision):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(exported(model, x), b""), "CPU", {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision})
    request, frames = compiled.create_infer_request(), x.contiguous().numpy()
    return lambda: request.infer({0: frames}, share_inputs=True)


def lstm(precision):
    model = nn.LSTM(2048, 256, 2, batch_first=True)
    x = torch.randn(2, 150, 2048, requires_grad=True)
    forward = autocast(lambda: model(x)[0].sum(), precision)

    def step():
        model.zero_grad(set_to_none=True)
        x.grad = None
        forward().backward()
    return step


def ops(precision):
    dtype = torch.float32 if precision == "f32" else torch.bfloat16
    a, b, rows, picture, weight, kernel = (torch.randn(shape, dtype=dtype) for shape in (
        (16,), (16,), (1, 16), (1, 16, 2, 2), (16, 16), (16, 16, 1, 1)))

    def step():
        with torch.inference_mode():
            for _ in range(2000):
                a.relu(), a + b, F.linear(rows, weight), F.conv2d(picture, kernel)
    return step


def repeated(forward, leaves):
    """50 times forward and backward from the sum."""
    def step():
        for _ in range(50):
            for leaf in leaves:
                leaf.grad = None
            forward().sum().backward()
    return step


def attention():
    q, k, v = (torch.randn(8, 150, 64, requires_grad=True) for _ in range(3))
    return repeated(lambda: torch.softmax(q @ k.transpose(1, 2) * 64 ** -0.5, -1) @ v, (q, k, v))


def layernorm():
    x = torch.randn(1200, 512, requires_grad=True)
    scale, shift = (torch.randn(512, requires_grad=True) for _ in range(2))

    def forward():
        centred = x - x.mean(1, keepdim=True)
        return centred * ((centred * centred).mean(1, keepdim=True) + 1e-5) ** -0.5 * scale + shift
    return repeated(forward, (x, scale, shift))


SHAPES = {"train": (64, 8, 150), "infer": (64, 8, 150), "demo": (16, 30, 48), "full": (64, 150, 150)}


def shape_of(case):
    """Kind, width or vgg16, sequences, frames of each, side: of a case's name, or of KIND:NET:SIZE:FRAMES."""
    if case in SHAPES:
        width, steps, size = SHAPES[case]
        return "infer" if case == "infer" else "train", width, 2, steps, size
    kind, network, size, steps = case.split(":")
    return kind, network, 1, int(steps), int(size)


def make(case, precision, setting):
    """setting: nchw; channels_last (what a user writes); tuned (fused Adam; frozen, bf16 weights and
    optimised for inference; side.lua sets up malloc as well); compiled (the same, by torch.compile); for inference
    onnxruntime and openvino, which get the net as an ONNX file."""
    if case == "lstm":
        return lstm(precision)
    if case == "ops":
        return ops(precision)
    if case == "attention":
        return attention()
    if case == "layernorm":
        return layernorm()
    if precision == "int8":
        precision = "bf16"  # what PyTorch's users have without a quantised model of their own
    kind, width, batch, steps, size = shape_of(case)
    if setting in ("onnxruntime", "openvino"):
        model, x = net(width, size, "nchw"), frames(batch, steps, size, "nchw")
        if setting == "openvino":
            return openvino_request(model, x, precision)
        if precision != "f32":
            raise ValueError("onnxruntime's CPU kernels have no bf16")
        return onnxruntime_session(model, x)
    model, x = net(width, size, setting), frames(batch, steps, size, setting)
    if kind == "infer":
        return inference(model, x, precision, setting)
    return training(model, x, torch.randn(batch, steps, 2), precision, setting)


def peak_memory():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def answer(words, made):
    if words[0] == "make":
        made.clear()
        made.append(make(*words[1:]))
        for _ in range(1 if words[1] == "full" else 4):
            made[0]()
        return "ready"
    if words[0] == "go":
        start = time.perf_counter()
        made[0]()
        return f"{time.perf_counter() - start:.6f}"
    return str(peak_memory())


def main():
    print(torch.__version__, torch.get_num_threads(), flush=True)
    made = []
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            break
        try:
            text = answer(words, made)
        except Exception as problem:  # told to the other side, which goes on without this setting
            text = "error " + " ".join(f"{type(problem).__name__}: {problem}".split())
        print(text, flush=True)


if __name__ == "__main__":
    main()
