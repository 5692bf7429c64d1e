"""The other side of weights.lua: writes ResNet-50 with drawn weights to a file, or reads it into a network that is there.

Not here: what is compared and printed (weights.lua). Arguments: the file, whose ending says the form, and write or read.
read answers the seconds, and by how many bytes the largest resident memory grew."""
import os
import resource
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
path, what = sys.argv[1:]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(read):
    before, started = peak(), time.monotonic()
    read()
    print(time.monotonic() - started, peak() - before)


if path.endswith(".index"):
    import numpy as np
    import tensorflow as tf
    prefix = path[:-len(".index")]
    if what == "write":
        import tf_slim
        from tf_slim.nets import resnet_v1
        v1 = tf.compat.v1
        with tf.Graph().as_default():
            with tf_slim.arg_scope(resnet_v1.resnet_arg_scope()):
                resnet_v1.resnet_v1_50(tf.zeros((1, 64, 64, 3)), num_classes=None, is_training=False)
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                v1.train.Saver().save(session, prefix, write_meta_graph=False, write_state=False)
    else:
        def read():
            reader = tf.train.load_checkpoint(prefix)
            return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
        timed(read)
else:
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file
    model = torchvision.models.resnet50(weights=None)
    safe = path.endswith(".safetensors")
    if what == "write":
        save_file(model.state_dict(), path) if safe else torch.save(model.state_dict(), path)
    elif safe:
        timed(lambda: model.load_state_dict(load_file(path)))
    else:
        timed(lambda: model.load_state_dict(torch.load(path)))
