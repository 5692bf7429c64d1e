"""The other side of post.lua: median filters of bottleneck and SciPy, and sums over delays by SciPy.

Not here: what is compared and printed (post.lua). Arguments: a file of doubles, predictions then gold, and the number
of recordings. "medians PROGRAM" and "joint PROGRAM" answer the seconds of one round; "score WINDOW" the CCC of all
recordings filtered with SciPy; "quit" ends."""
import sys
import time

import bottleneck
import numpy as np
import scipy
from scipy import ndimage, signal

WINDOW, DELAY = 501, 250
predictions, gold = np.fromfile(sys.argv[1]).reshape(2, int(sys.argv[2]), -1)


def by_bottleneck(x, window):
    """Both ends repeated, so that there is a median for each frame, as there is in ours."""
    half = window // 2
    return bottleneck.move_median(np.pad(x, half, mode="edge"), window)[2 * half:]


def by_scipy(x, window):
    return ndimage.median_filter(x, window, mode="nearest")


median = {"bottleneck": by_bottleneck, "scipy": by_scipy}


def medians(program):
    for window in range(1, WINDOW + 1, 2):
        for x in predictions:
            median[program](x, window)


def joint(program):
    """Medians, and their products with the gold standard at every delay: most of what the search needs."""
    for window in range(1, WINDOW + 1, 2):
        for x, y in zip(predictions, gold):
            filtered = median[program](x, window)
            signal.correlate(np.pad(y, (0, DELAY)), filtered, mode="valid", method="fft")


def score(window):
    x, y = np.concatenate([by_scipy(x, window) for x in predictions]), gold.ravel()
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


print("NumPy", np.__version__, "SciPy", scipy.__version__, "bottleneck", bottleneck.__version__, flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "quit":
        break
    if word == "score":
        print(repr(float(score(int(rest[0])))), flush=True)
        continue
    start = time.monotonic()
    {"medians": medians, "joint": joint}[word](rest[0])
    print(time.monotonic() - start, flush=True)
