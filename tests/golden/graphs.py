"""Two small ONNX graphs with drawn weights, tests/golden/weights/graph.onnx and sequence.onnx, and graphs.txt: what onnxruntime
computes from them. Input i is sin(0.37 i). Needs torch, onnx and onnxruntime. Read by tests/lua/onnx_spec.lua."""
import os
import numpy as np
import onnxruntime
import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
rows = []


class Graph(nn.Module):
    """Branches, both pools, a rounded-up window, leaky and bounded ReLUs, a flattened map."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 2, 3, padding=1)
        self.slope, self.pool = nn.PReLU(5), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.top = nn.Linear(5 * 2 * 2, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.cat([nn.functional.leaky_relu(self.left(x), 0.1), torch.clamp(self.right(x), 0, 0.4)], 1)
        x = nn.functional.avg_pool2d(self.pool(self.slope(x)), 1)
        return torch.softmax(self.top(x.flatten(1)), -1)


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.lstm, self.head = nn.GRU(4, 3, batch_first=True), nn.LSTM(3, 2, 2, batch_first=True), nn.Linear(2, 2)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        f = self.conv(x).mean((2, 3))
        return self.head(self.lstm(self.gru(f.view(1, f.shape[0], -1))[0])[0])


def inputs(*shape):
    return np.sin(0.37 * np.arange(np.prod(shape))).astype("f4").reshape(shape)


for name, net, shape in (("graph", Graph(), (2, 3, 9, 9)), ("sequence", Sequence(), (5, 3, 5, 5))):
    torch.manual_seed(4)
    for p in net.parameters():
        nn.init.normal_(p, 0, 0.5)
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape) + 0.5)
    net.eval()
    x = inputs(*shape)
    path = os.path.join(here, "weights", name + ".onnx")
    torch.onnx.export(net, (torch.from_numpy(x),), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}},
                      opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)
    y = onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
    assert np.abs(y - net(torch.from_numpy(x)).detach().numpy()).max() < 1e-6
    rows.append(name + " " + " ".join("%.8g" % v for v in y.ravel()))
open(os.path.join(here, "graphs.txt"), "w").write("\n".join(rows) + "\n")
