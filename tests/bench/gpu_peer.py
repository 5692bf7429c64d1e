"""The peer of gpu.lua on a GPU: the nets of peer.py as users of PyTorch make them fast there.

Not here: what is compared and judged (gpu.lua, gpu_report.lua), the nets (peer.py). Reads one JSON object per line
and answers with one: {"do": "make", case, mode, sizes, "limit": seconds} builds and warms up; {"do": "go",
"count": n} runs n steps and gives the milliseconds of each; {"do": "curve", ...} trains from a seed;
{"do": "quit"}. An error is answered as {"error": text}; a command that runs past its limit ends the process.

gpu_peer.py cuda|cpu                                    serves
gpu_peer.py cuda|cpu compile train|infer '{"sizes": ...}'  fills the caches of torch.compile, and ends"""
import json
import signal
import sys
import time
import traceback

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from peer import Recurrent, ccc_loss

DEVICE = "cpu" if sys.argv[1:2] == ["cpu"] else "cuda"  # the CPU proves this file, and nothing else
CUDA = DEVICE == "cuda"
WARM_UP = 5 if CUDA else 1
AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}

torch.backends.cudnn.benchmark = True
torch.set_float32_matmul_precision("high")  # TF32, as its convolutions are by default


def random(*shape):
    return torch.randn(*shape, device=DEVICE)


def frames(s):
    """[B,T,3,S,S], each picture channels_last."""
    x = random(s["batch"] * s["steps"], 3, s["size"], s["size"]).contiguous(memory_format=torch.channels_last)
    return x.unflatten(0, (s["batch"], s["steps"]))


def net(s):
    return Recurrent(s["width"]).to(DEVICE).to(memory_format=torch.channels_last)


def compiled(module):
    """Autotuned kernels; graphs are captured around whole steps, which saves more than torch.compile's own."""
    if CUDA:
        return torch.compile(module, mode="max-autotune-no-cudagraphs", dynamic=False)
    return torch.compile(module, backend="aot_eager", dynamic=False)


def reset_peak():
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def captured(step):
    """The whole step as one CUDA graph, warmed up on the stream that it is captured on."""
    if not CUDA:
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    reset_peak()  # what is captured is allocated anew, and counts
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


# ---- cases: (sizes, words of the mode) -> step, what is worth knowing ----------------------------------


def train(s, words):
    """eager | compiled | graphed | compiled graphed, then bf16 | fp16 | tf32"""
    precision, graphed = words[-1], "graphed" in words
    model = net(s).train()
    if "compiled" in words:
        model.features = compiled(model.features)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-5, fused=True, capturable=graphed and CUDA)
    scaler = torch.amp.GradScaler(DEVICE, enabled=precision == "fp16")
    x, target = frames(s), random(s["batch"], s["steps"], 2)
    facts = {}

    def loss():
        with torch.autocast(DEVICE, AMP.get(precision, torch.bfloat16), enabled=precision in AMP):
            y = model(x)
        facts["lstm"] = str(y.dtype)
        return ccc_loss(y.float(), target)

    def whole():
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    def gradients():
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss()).backward()

    if precision != "fp16":
        return (captured(whole) if graphed else whole), facts
    # GradScaler.step reads back from the GPU, so the update stays outside of the graph.
    compute = captured(gradients) if graphed else gradients

    def scaled():
        compute()
        scaler.step(optimiser)
        scaler.update()
    return scaled, facts


def lstm(s, words):
    """eager | graphed, then amp (weights in f32, cast each step) or half (weights in half)"""
    layer = nn.LSTM(s["inputs"], s["hidden"], 2, batch_first=True).to(DEVICE)
    dtype = torch.bfloat16
    if words[-1] == "half":
        dtype = torch.float16 if CUDA else torch.bfloat16
        layer = layer.to(dtype)
    x = random(s["batch"], s["steps"], s["inputs"]).to(dtype).requires_grad_()
    facts = {}

    def step():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        with torch.autocast(DEVICE, torch.bfloat16, enabled=words[-1] == "amp"):
            y = layer(x)[0]
        facts["lstm"] = str(y.dtype)
        y.sum().backward()
    return (captured(step) if "graphed" in words else step), facts


def fold(module):
    """Batch norms into the convolutions before them: conv1, bn1 ...; and pairs in a Sequential."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(child[0], child[1]), nn.Identity()))
        elif isinstance(child, nn.Conv2d) and name.startswith("conv"):
            bn = "bn" + name[4:]
            setattr(module, name, fuse_conv_bn_eval(child, getattr(module, bn)))
            setattr(module, bn, nn.Identity())
        elif not isinstance(child, nn.BatchNorm2d):
            fold(child)
    return module


class Halved(nn.Module):
    """The folded net: pictures in bf16, the LSTM in half, the one 16-bit type that cuDNN's LSTM always takes."""

    def __init__(self, model, half):
        super().__init__()
        self.features = model.features.to(torch.bfloat16)
        self.context, self.head, self.half_type = model.context.to(half), model.head.to(half), half

    def forward(self, x):
        y = self.features(x.flatten(0, 1)).to(self.half_type).unflatten(0, x.shape[:2])
        return self.head(self.context(y)[0])


def infer(s, words):
    """eager bf16 (AMP) | folded bf16 | folded graphed bf16 | folded compiled graphed bf16"""
    model, x = net(s).eval(), frames(s)
    if "folded" in words:
        fold(model.features)
        model = Halved(model, torch.float16 if CUDA else torch.bfloat16).eval()
        x = x.to(torch.bfloat16)
    if "compiled" in words:
        model.features = compiled(model.features)

    def step():
        with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled="folded" not in words):
            return model(x)
    return (captured(step) if "graphed" in words else step), {}


CASES = {"train": train, "lstm": lstm, "infer": infer}


# ---- commands --------------------------------------------------------------------------------------


def make(command):
    torch.manual_seed(1)
    started = time.perf_counter()
    words = command["mode"].split()
    step, facts = CASES[command["case"]](command["sizes"], words)
    for _ in range(WARM_UP):
        step()
    if "graphed" not in words:
        reset_peak()
    go(step, 2)
    return step, {"seconds": time.perf_counter() - started, **facts}


def memory():
    """Peak bytes of tensors and of what the allocator holds, since the warm-up or from the capture on."""
    if not CUDA:
        return {}
    return {"peak": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}


def go(step, count):
    """Milliseconds of each of `count` steps: by events on the GPU, so that nothing waits between them."""
    if not CUDA:
        marks = [time.perf_counter()]
        for _ in range(count):
            step()
            marks.append(time.perf_counter())
        return [1e3 * (b - a) for a, b in zip(marks, marks[1:])]
    step()  # clocks rise
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in zip(events, events[1:])]


def lesson(s, folder):
    """Something to learn, the same for everybody: smooth targets that are mixed into noise as two patterns."""
    g = torch.Generator().manual_seed(7)
    t = torch.linspace(0, 1, s["steps"])[None, None, :, None]
    wave = torch.rand(s["batches"], s["batch"], 1, 2, generator=g) * 6 + 2
    phase = torch.rand(s["batches"], s["batch"], 1, 2, generator=g) * 6.283
    target = torch.sin(wave * t + phase)
    patterns = torch.rand(2, 3, 6, 6, generator=g) * 2 - 1
    patterns = nn.functional.interpolate(patterns, (s["size"], s["size"]), mode="bilinear")
    noise = torch.randn(s["batches"], s["batch"], s["steps"], 3, s["size"], s["size"], generator=g)
    x = torch.einsum("nbtk,kchw->nbtchw", target, patterns) + 0.5 * noise
    x.numpy().tofile(folder + "/frames.f32")
    target.contiguous().numpy().tofile(folder + "/target.f32")
    return x.to(DEVICE), target.to(DEVICE)


def curve(command):
    """Losses of a training in bf16 from weights of a seed, which are written down for the other side."""
    s, folder = command["sizes"], command["folder"]
    x, target = lesson(s, folder)
    torch.manual_seed(command["seed"])
    model = net(s).train()
    for layer in range(2):  # one bias per gate, as cuDNN's second one is not trained by everybody
        getattr(model.context, f"bias_hh_l{layer}").requires_grad_(False).zero_()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    with open(f"{folder}/weights.{command['seed']}.f32", "wb") as file:
        for _, p in trained:
            p.detach().cpu().contiguous().numpy().tofile(file)
    optimiser = torch.optim.Adam([p for _, p in trained], lr=command["lr"], fused=True)
    losses = []
    for i in range(command["count"]):
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16):
            y = model(x[i % s["batches"]])
        loss = ccc_loss(y.float(), target[i % s["batches"]])
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return {"losses": [float(v) for v in losses], "shapes": [list(p.shape) for _, p in trained]}


def about():
    facts = {"torch": torch.__version__, "device": DEVICE, "threads": torch.get_num_threads()}
    if CUDA:
        facts.update(gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda,
                     cudnn=torch.backends.cudnn.version(), memory=torch.cuda.mem_get_info()[1])
    return facts


def answer(step, command):
    if command["do"] == "go":
        return step, {"ms": go(step, command["count"]), **memory()}
    if command["do"] == "curve":
        return None, curve(command)
    if CUDA:
        torch.cuda.empty_cache()
    return make(command)


def serve():
    print(json.dumps(about()), flush=True)
    step = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "quit":
            break
        signal.alarm(int(command.get("limit", 60)))
        try:
            if command["do"] != "go":
                step = None  # its memory is free before the next one needs it
            step, reply = answer(step, command)
        except Exception as error:
            step, reply = None, {"error": f"{type(error).__name__}: {error}"[:600]}
            traceback.print_exc()
        signal.alarm(0)
        print(json.dumps(reply), flush=True)


def fill_caches(case, options):
    for mode in {"train": ["compiled bf16"], "infer": ["folded compiled bf16"]}[case]:
        print(case, mode, make({"case": case, "mode": mode, **options})[1], flush=True)


if __name__ == "__main__":
    if CUDA and not torch.cuda.is_available():
        sys.exit(print("error PyTorch finds no GPU", flush=True))
    if sys.argv[2:3] == ["compile"]:
        fill_caches(sys.argv[3], json.loads(sys.argv[4]))
    else:
        serve()
