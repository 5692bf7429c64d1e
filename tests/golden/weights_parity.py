"""Writes weights in the forms of their own libraries, with what those libraries compute from them, for weights_parity.lua:
    python weights_parity.py DIR [CASE ...]
Needs torch, torchvision, safetensors, onnx, tensorflow, tf_keras and keras 3; the cases slim, slim_gru and slim_lstm want
tensorflow 2.12 and tf_slim (no later one has the cells), so they run by themselves in a place of their own. Weights are random, and so are the
statistics of batch norm; seeds are fixed. A case CASE is a file CASE.* and CASE.out.npy; input.npy is [2,3,96,96]."""
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np

folder, wanted = sys.argv[1], set(sys.argv[2:])
os.makedirs(folder, exist_ok=True)
x = np.random.default_rng(1).standard_normal((2, 3, 96, 96)).astype("f4")
np.save(f"{folder}/input.npy", x)


def want(name):
    return not wanted or name in wanted


def path(name):
    return f"{folder}/{name}"


def out(name, value):
    np.save(path(name + ".out.npy"), np.ascontiguousarray(value, dtype="f4"))
    print(name, value.shape, float(np.abs(value).mean()))


def torch_cases():
    import torch, torchvision
    from safetensors.torch import save_file

    def net(make, **how):
        torch.manual_seed(7)
        model = make(weights=None, **how).eval()
        g = torch.Generator().manual_seed(8)
        for key, value in model.state_dict().items():
            if key.endswith("running_mean"):
                value.copy_(torch.randn(value.shape, generator=g) * 0.1)
            elif key.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=g) + 0.5)
            elif "bn" in key or "downsample.1" in key:
                value.copy_(torch.rand(value.shape, generator=g) * 0.5 + 0.5) if value.dtype.is_floating_point else None
        return model

    def run(model):
        with torch.no_grad():
            return model(torch.from_numpy(x)).numpy()

    m = torchvision.models
    if want("resnet18"):
        model = net(m.resnet18, num_classes=7)
        torch.save(model.state_dict(), path("resnet18.pth"))
        out("resnet18", run(model))
    if want("resnet101"):
        model = net(m.resnet101, num_classes=7)
        torch.save({"epoch": 3, "state_dict": {"module." + k: v.half() for k, v in model.state_dict().items()}}, path("resnet101.pth.tar"))
        model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
        out("resnet101", run(model))
    if want("resnet50"):
        model = net(m.resnet50, num_classes=1000)
        torch.save(model.state_dict(), path("resnet50.pth"))
        out("resnet50", run(model))
        torch.save({"model": model.state_dict(), "optim": torch.optim.Adam(model.parameters()).state_dict()}, path("resnet50_old.pt"),
                   _use_new_zipfile_serialization=False)
        out("resnet50_old", run(model))
        save_file(model.state_dict(), path("resnet50_s.safetensors"))
        out("resnet50_s", run(model))
        torch.onnx.export(model, torch.from_numpy(x), path("resnet50_o.onnx"), dynamo=False, do_constant_folding=False,
                          training=torch.onnx.TrainingMode.PRESERVE)
        out("resnet50_o", run(model))
    if want("vgg16"):
        torch.manual_seed(9)
        model = m.vgg16(weights=None, num_classes=5)
        model.avgpool = torch.nn.Identity()
        model.classifier[0] = torch.nn.Linear(512 * 9, 4096)
        model.eval()
        torch.save(model.state_dict(), path("vgg16.pth"))
        out("vgg16", run(model))
        # the same as MatConvNet keeps it: layers in a cell, filters [h, w, in, out], fully connected ones too
        import scipy.io
        layers, stage, conv, place = [], 1, 0, 0
        for module in model.features:
            if isinstance(module, torch.nn.Conv2d):
                conv += 1
                layers.append((f"conv{stage}_{conv}", module.weight.permute(2, 3, 1, 0), module.bias))
            elif isinstance(module, torch.nn.MaxPool2d):
                stage, conv = stage + 1, 0
        for name, at, side in (("fc6", 0, 3), ("fc7", 3, 1), ("fc8", 6, 1)):
            w = model.classifier[at].weight
            layers.append((name, w.view(w.shape[0], -1, side, side).permute(2, 3, 1, 0), model.classifier[at].bias))
        cell = np.empty((1, len(layers)), object)
        for i, (name, w, b) in enumerate(layers):
            pair = np.empty((1, 2), object)
            pair[0, 0], pair[0, 1] = w.detach().numpy(), b.detach().numpy()[None]
            cell[0, i] = {"name": name, "type": "conv", "weights": pair, "pad": np.ones(4), "stride": np.ones(2)}
        scipy.io.savemat(path("vgg16_m.mat"), {"layers": cell, "meta": {"classes": "x"}}, do_compression=True)
        out("vgg16_m", run(model))
        names = {k: v for name, w, b in layers for k, v in
                 ((name + ".weight", w.permute(3, 2, 0, 1).reshape(w.shape[3], -1) if name[0] == "f" else w.permute(3, 2, 0, 1)), (name + ".bias", b))}
        torch.save({k: v.contiguous() for k, v in names.items()}, path("vgg16_c.pth"))
        out("vgg16_c", run(model))


def keras_cases():
    import tf_keras, tensorflow as tf
    nhwc = np.transpose(x, (0, 2, 3, 1))

    def shake(model, seed=5):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            if "BatchNormalization" in type(layer).__name__:
                g, b, mean, var = layer.get_weights()
                layer.set_weights([rng.random(g.shape) * 0.5 + 0.5, rng.standard_normal(b.shape) * 0.1,
                                   rng.standard_normal(mean.shape) * 0.1, rng.random(var.shape) + 0.5])
            elif layer.get_weights() and type(layer).__name__ == "Conv2D":
                k, b = layer.get_weights()
                layer.set_weights([k, rng.standard_normal(b.shape) * 0.1])
        return model

    if want("keras_resnet50"):
        tf_keras.utils.set_random_seed(2)
        model = shake(tf_keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3), classes=6, classifier_activation=None))
        model.save_weights(path("keras_resnet50.h5"))
        out("keras_resnet50", model(nhwc, training=False).numpy())
    if want("keras_vgg16"):
        tf_keras.utils.set_random_seed(3)
        model = tf_keras.applications.VGG16(weights=None, input_shape=(96, 96, 3), classes=6, classifier_activation=None)
        model.save(path("keras_vgg16.h5"))
        out("keras_vgg16", model(nhwc, training=False).numpy())
    if want("keras3_resnet50"):
        import keras
        keras.utils.set_random_seed(4)
        model = shake(keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3), classes=6, classifier_activation=None))
        model.save(path("keras3_resnet50.keras"))
        out("keras3_resnet50", np.asarray(model(nhwc, training=False)))


def slim_cases():
    import tensorflow as tf, tf_slim
    from tf_slim.nets import resnet_v1
    v1 = tf.compat.v1
    nhwc = np.transpose(x, (0, 2, 3, 1))
    for cell, hidden in (("", 0), ("gru", 12), ("lstm", 10)):
        name = "slim" + ("_" + cell if cell else "")
        if not want(name):
            continue
        with tf.Graph().as_default():
            v1.set_random_seed(11)
            with tf_slim.arg_scope(resnet_v1.resnet_arg_scope()):
                net, _ = resnet_v1.resnet_v1_50(tf.constant(nhwc), num_classes=None, is_training=False)
            y = tf.squeeze(net, [1, 2])
            if cell:
                kind = v1.nn.rnn_cell.GRUCell if cell == "gru" else v1.nn.rnn_cell.LSTMCell
                cells = v1.nn.rnn_cell.MultiRNNCell([kind(hidden) for _ in range(2)])
                y, _ = v1.nn.dynamic_rnn(cells, tf.expand_dims(y, 0), dtype=tf.float32)
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                rng = np.random.default_rng(12)
                for v in v1.global_variables():
                    shape = v.shape.as_list()
                    if v.name.endswith("moving_variance:0") or v.name.endswith("gamma:0"):
                        v.load(rng.random(shape).astype("f4") * 0.5 + 0.5, session)
                    elif v.name.endswith("moving_mean:0") or v.name.endswith("beta:0") or v.name.endswith("bias:0"):
                        v.load(rng.standard_normal(shape).astype("f4") * 0.1, session)
                v1.train.Saver().save(session, path(name + ".ckpt"), write_meta_graph=False)
                if not cell:
                    v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, path("slim_v1.ckpt"), write_meta_graph=False)
                value = session.run(y)
                out(name, value)
                if not cell:
                    out("slim_v1", value)


if any(name.startswith("slim") for name in wanted):
    slim_cases()
else:
    torch_cases()
    keras_cases()
