"""Writes small files of weights by their own libraries into tests/golden/weights, and weights.txt: for each tensor of each
file its shape, sum, and a sum that its order decides. Run by hand, with torch, safetensors, onnx, scipy, h5py, tf_keras and
keras 3; `python weights.py checkpoints` with tensorflow 2.12. Torch7's file is written here by the form's description: its
library cannot be had. tests/lua/foreign_weights_spec.lua reads them, tests/fuzz/weights.lua damages them."""
import os, struct, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
folder = os.path.join(here, "weights")
os.makedirs(folder, exist_ok=True)
rng = np.random.default_rng(5)
rows = []


def path(name):
    return os.path.join(folder, name)


def say(file, name, value):
    value = np.asarray(value)
    flat = value.astype("f8").ravel()
    order = float((flat * (np.arange(flat.size) % 7 + 1)).sum())
    rows.append(f"{file}|{name} {','.join(map(str, value.shape)) or '-'} {flat.sum():.9g} {order:.9g}")


def conv():
    return rng.standard_normal((4, 3, 3, 2)).astype("f4")


def torch_files():
    import torch
    from safetensors.torch import save_file
    t = torch.from_numpy
    base = rng.standard_normal((4, 6)).astype("f4")
    state = {"conv.weight": t(conv()), "turned.weight": t(base).t(), "part": t(base)[1:3, 2:5], "half": t(conv()).half(),
             "brain": t(conv()).bfloat16(), "double": t(rng.standard_normal(5)), "whole": torch.arange(7), "flag": torch.tensor([True, False]),
             "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "param": torch.nn.Parameter(t(base))}
    for name, old in (("state.pt", False), ("state_old.pt", True)):
        torch.save({"epoch": 3, "best": 0.5, "state_dict": {"module." + k: v for k, v in state.items()},
                    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]}}, path(name),
                   _use_new_zipfile_serialization=not old)
        for k, v in state.items():
            say(name, k, v.detach().float().numpy() if v.dtype != torch.float64 else v.numpy())
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    for name, old in (("whole.pt", False), ("whole_old.pt", True)):
        torch.save(net, path(name), _use_new_zipfile_serialization=not old)
        for k, v in net.state_dict().items():
            if "num_batches" not in k:
                say(name, k, v.numpy())
    plain = {k: v.contiguous() for k, v in state.items() if k not in ("part", "param")}
    save_file(plain, path("state.safetensors"), metadata={"mien.scale_mean": "{ 0.5, 0.5, 0.5 }", "made": "here"})
    for k, v in plain.items():
        say("state.safetensors", k, v.float().numpy() if v.dtype != torch.float64 else v.numpy())
    m = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    torch.onnx.export(m, torch.randn(1, 3, 2, 2), path("small.onnx"), dynamo=False)
    for k, v in m.state_dict().items():
        say("small.onnx", k, v.numpy())


def numpy_files():
    import scipy.io
    a, b = conv(), np.asfortranarray(rng.standard_normal((3, 5)))
    np.savez(path("plain.npz"), a=a, b=b, c=np.arange(4))
    np.savez_compressed(path("packed.npz"), a=a, b=b, c=np.arange(4))
    for f in ("plain.npz", "packed.npz"):
        say(f, "a", a), say(f, "b", b), say(f, "c", np.arange(4))
    swapped = a.astype(">f4")
    np.save(path("swapped.npy"), swapped)
    say("swapped.npy", "array", a)
    np.save(path("dict.npy"), {"conv1": {"weights": a, "biases": b[0]}})
    say("dict.npy", "conv1.weights", a), say("dict.npy", "conv1.biases", b[0])
    layers = np.empty((1, 2), object)
    weights = np.empty((1, 2), object)
    weights[0, 0], weights[0, 1] = a, np.arange(4, dtype="f4")
    layers[0, 0] = {"name": "conv1", "type": "conv", "weights": weights}
    layers[0, 1] = {"name": "relu1", "type": "relu"}
    for f, packed in (("net.mat", False), ("net_packed.mat", True)):
        scipy.io.savemat(path(f), {"net": {"layers": layers, "meta": {"mean": np.array([1.5, 2.5])}}, "x": np.arange(6.0).reshape(2, 3)},
                         do_compression=packed)
        say(f, "layers.conv1.weights.1", a), say(f, "layers.conv1.weights.2", np.arange(4.0).reshape(1, 4))
        say(f, "meta.mean", np.array([[1.5, 2.5]]))


def torch7_files():
    """A table { modules = { nn-like object with weight, gradWeight }, note = "x", on = true }, as File:writeObject does."""
    a = rng.standard_normal((2, 3)).astype("f4")
    numbers = {"n": 0}

    def index():
        numbers["n"] += 1
        return numbers["n"]

    def tensor(binary, value, out):
        kind = "torch.FloatTensor"
        if binary:
            out += struct.pack("<iii", 4, index(), 3) + b"V 1" + struct.pack("<i", len(kind)) + kind.encode()
            out += struct.pack("<i", value.ndim) + struct.pack(f"<{value.ndim}q", *value.shape)
            out += struct.pack(f"<{value.ndim}q", *[s // 4 for s in value.strides]) + struct.pack("<q", 1)
            name = "torch.FloatStorage"
            out += struct.pack("<iii", 4, index(), 3) + b"V 1" + struct.pack("<i", len(name)) + name.encode()
            return out + struct.pack("<q", value.size) + value.tobytes()
        lines = ["4", str(index()), "3", "V 1", str(len(kind)), kind, str(value.ndim), " ".join(map(str, value.shape)),
                 " ".join(str(s // 4) for s in value.strides), "1", "4", str(index()), "3", "V 1", "18", "torch.FloatStorage",
                 str(value.size), " ".join("%.9g" % v for v in value.ravel())]
        return out + "\n".join(lines).encode() + b"\n"

    def string(binary, s, out):
        return out + (struct.pack("<ii", 2, len(s)) + s.encode() if binary else f"2\n{len(s)}\n{s}\n".encode())

    def number(binary, v, out):
        return out + (struct.pack("<id", 1, v) if binary else f"1\n{v}\n".encode())

    def table(binary, n, out):
        return out + (struct.pack("<iii", 3, index(), n) if binary else f"3\n{index()}\n{n}\n".encode())

    for name, binary in (("net.t7", True), ("net_text.t7", False)):
        numbers["n"] = 0
        out = table(binary, 3, b"")
        out = string(binary, "modules", out)
        out = table(binary, 1, out)
        out = number(binary, 1, out)
        cls = "nn.Linear"
        out += (struct.pack("<iii", 4, index(), 3) + b"V 1" + struct.pack("<i", len(cls)) + cls.encode() if binary
                else f"4\n{index()}\n3\nV 1\n{len(cls)}\n{cls}\n".encode())
        out = table(binary, 2, out)
        out = tensor(binary, a, string(binary, "weight", out))
        out = tensor(binary, a * 0, string(binary, "gradWeight", out))
        out = string(binary, "x", string(binary, "note", out))
        out = string(binary, "on", out)
        out += struct.pack("<ii", 5, 1) if binary else b"5\n1\n"
        open(path(name), "wb").write(out)
        say(name, "1.weight", a)


def keras_files():
    import tf_keras, keras
    for module, names in ((tf_keras, ("model.h5", "weights.h5")), (keras, ("model.keras",))):
        module.utils.set_random_seed(3)
        L = module.layers
        inner = module.Sequential([L.Dense(2, name="inner_dense")], name="inner")
        model = module.Sequential([L.Input((4, 4, 3)) if module is keras else L.InputLayer((4, 4, 3)), L.Conv2D(2, 3, name="first"),
                                   L.BatchNormalization(name="norm"), L.Conv2D(2, 1, name="second"), L.Flatten(), inner])
        model.compile("adam", "mse")
        model.fit(np.ones((2, 4, 4, 3)), np.ones((2, 2)), verbose=0)
        for name in names:
            model.save_weights(path(name)) if name == "weights.h5" else model.save(path(name))
            for layer in model.layers:
                for v in (layer.layers[0] if layer.name == "inner" else layer).weights:
                    owner = "inner_dense" if layer.name == "inner" else layer.name
                    part = v.name.split("/")[-1].split(":")[0]
                    key = f"{owner}/{part}" if module is keras or layer.name != "inner" else f"inner/inner_dense/{part}"
                    say(name, key, np.asarray(v))


def checkpoints():
    import tensorflow as tf
    v1 = tf.compat.v1
    a, b = conv(), np.arange(5, dtype="f8")
    with tf.Graph().as_default():
        v1.get_variable("tower/conv/weights", initializer=a)
        v1.get_variable("tower/conv/biases", initializer=b)
        v1.get_variable("global_step", initializer=np.int64(33604))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, path("bundle"), write_meta_graph=False, write_state=False)
            v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, path("single.ckpt"), write_meta_graph=False, write_state=False)
    dense = tf.keras.layers.Dense(3, name="top")
    dense.build((None, 4))
    tf.train.Checkpoint(model=dense).write(path("objects"))
    for f in ("bundle.index", "single.ckpt"):
        say(f, "tower/conv/weights", a), say(f, "tower/conv/biases", b)
    say("bundle.index", "global_step", np.int64(33604))
    for v in dense.weights:
        say("objects.index", v.name.split(":")[0], v.numpy())


if sys.argv[1:] == ["checkpoints"]:
    checkpoints()
    kept = [line for line in open(os.path.join(here, "weights.txt")) if not line.startswith(("bundle", "single", "objects"))]
else:
    torch_files(), numpy_files(), torch7_files(), keras_files()
    kept = [line for line in open(os.path.join(here, "weights.txt"))] if os.path.exists(os.path.join(here, "weights.txt")) else []
    kept = [line for line in kept if line.startswith(("bundle", "single", "objects"))]
open(os.path.join(here, "weights.txt"), "w").write("".join(kept) + "\n".join(rows) + "\n")
