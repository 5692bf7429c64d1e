"""The peer of step.lua: the same nets in PyTorch, one round per line of standard input.

Not here: what is compared and printed (step.lua). A line "case mode" makes case anew in that mode
and answers "ready"; a line "go" runs one round of it and answers the seconds it took; "quit" ends."""
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


class Recurrent(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features = ResNet50(width)
        self.context = nn.LSTM(32 * width, 256, 2, batch_first=True)
        self.head = nn.Linear(256, 2)

    def forward(self, x):
        y = self.features(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.context(y)[0])


def ccc_loss(x, y):
    x, y = x.flatten(0, 1), y.flatten(0, 1)
    mx, my = x.mean(0), y.mean(0)
    cov = ((x - mx) * (y - my)).mean(0)
    return 1 - (2 * cov / (((x - mx) ** 2).mean(0) + ((y - my) ** 2).mean(0) + (mx - my) ** 2)).mean()


def training(model, x, y, **adam):
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-5, **adam)
    model.train()

    def step():
        optimiser.zero_grad(set_to_none=True)
        ccc_loss(model(x), y).backward()
        optimiser.step()
    return step


def inference(model, x):
    model.eval()

    def step():
        with torch.inference_mode():
            model(x)
    return step


def frames(batch, steps, size, mode):
    x = torch.randn(batch * steps, 3, size, size)
    if mode != "nchw":
        x = x.contiguous(memory_format=torch.channels_last)
    return x.unflatten(0, (batch, steps))


def net(width, mode):
    model = Recurrent(width)
    return model if mode == "nchw" else model.to(memory_format=torch.channels_last)


def make(case, mode):
    """mode: nchw, channels_last (what a user writes), tuned (compiled or frozen as well)."""
    if case in ("train", "infer"):
        model, x, y = net(64, mode), frames(2, 8, 150, mode), torch.randn(2, 8, 2)
    elif case == "demo":
        model, x, y = net(16, mode), frames(2, 30, 48, mode), torch.randn(2, 30, 2)
    else:
        model = nn.LSTM(2048, 256, 2, batch_first=True)
        x = torch.randn(2, 150, 2048, requires_grad=True)

        def step():
            model.zero_grad(set_to_none=True)
            x.grad = None
            model(x)[0].sum().backward()
        return step
    if case == "infer":
        if mode == "tuned":
            model = torch.jit.freeze(torch.jit.trace(model.eval(), x))
            torch.jit.optimize_for_inference(model)
            for _ in range(3):
                with torch.inference_mode():
                    model(x)
            return lambda: inference_frozen(model, x)
        return inference(model, x)
    return training(model, x, y, fused=True) if mode == "tuned" else training(model, x, y)


def inference_frozen(model, x):
    with torch.inference_mode():
        model(x)


def main():
    print(torch.__version__, torch.get_num_threads(), flush=True)
    step = None
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            break
        if words == ["go"]:
            start = time.perf_counter()
            step()
            print(f"{time.perf_counter() - start:.6f}", flush=True)
        else:
            step = None
            step = make(*words)
            step()
            step()
            print("ready", flush=True)


if __name__ == "__main__":
    main()
