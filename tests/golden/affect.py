# Golden values of the affect kernels, from the textbook definitions with numpy:
# python3 tests/golden/affect.py > tests/golden/affect.txt
# Not here: any of mien's own code or algorithms.
import sys
import numpy as np

rng = np.random.default_rng(20190409)


def ccc(x, y):
    """Lin 1989, population moments."""
    return 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def walk(n, scale=1.0):
    return np.round(scale * np.cumsum(rng.normal(size=n)) / np.sqrt(n), 6)


def median(x, w):
    h = w // 2
    padded = np.concatenate([np.repeat(x[0], h), x, np.repeat(x[-1], h)])
    return np.array([np.median(padded[i:i + w]) for i in range(len(x))])


def shift(x, d):
    return np.concatenate([np.repeat(x[0], min(d, len(x))), x[:max(0, len(x) - d)]])


def joined(step, x, y, lengths):
    ends = np.cumsum(lengths)
    return ccc(np.concatenate([step(x[e - n:e]) for e, n in zip(ends, lengths)]), y)


def average_precision(score, truth):
    """Area by steps: sum over thresholds of (recall_k - recall_{k-1}) * precision_k."""
    total, last = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        chosen = score >= threshold
        recall = truth[chosen].sum() / truth.sum()
        total += (recall - last) * truth[chosen].mean()
        last = recall
    return total


def fleiss(counts):
    n, raters = len(counts), counts[0].sum()
    observed = np.mean(((counts ** 2).sum(1) - raters) / (raters * (raters - 1)))
    chance = ((counts.sum(0) / (n * raters)) ** 2).sum()
    return (observed - chance) / (1 - chance)


def gold_centred(traces):
    raters = len(traces)
    w = np.array([np.mean([ccc(traces[r], traces[s]) for s in range(raters) if s != r]) for r in range(raters)])
    m = traces.mean(1)
    return w, (traces - m[:, None]).mean(0) + (w * m).sum() / w.sum()


def gold_ewe(traces, leave_out):
    others = [(np.delete(traces, r, 0) if leave_out else traces).mean(0) for r in range(len(traces))]
    w = np.array([max(0.0, np.corrcoef(t, o)[0, 1]) for t, o in zip(traces, others)])
    return w, (w[:, None] * traces).sum(0) / w.sum()


def put(name, values):
    print(name, *("%.17g" % v for v in np.atleast_1d(values)))


lengths = [40, 1, 23]
y = np.concatenate([walk(n) for n in lengths])
x = np.round(0.6 * np.roll(y, 3) + 0.1 + rng.normal(size=len(y)) * 0.2, 6)
x[5] = x[6] = x[7]  # equal values meet in the windows
put("lengths", lengths)
put("x", x)
put("y", y)
put("ccc", ccc(x, y))
put("pearson", np.corrcoef(x, y)[0, 1])
put("rmse", np.sqrt(np.mean((x - y) ** 2)))
put("median_7", median(x[:40], 7))
put("search_median", [joined(lambda v: median(v, w), x, y, lengths) for w in range(1, 32, 2)])
put("search_shift", [joined(lambda v: shift(v, d), x, y, lengths) for d in range(0, 31)])

traces = np.stack([0.3 * walk(50) * k + b + 0.05 * walk(50) + s * np.sin(np.arange(50) / 7.0)
                   for k, b, s in [(1, 0, 1), (0.5, 0.3, 0.8), (2, -0.1, 1.2), (0.7, 0.1, -0.2)]]).round(6)
put("traces", traces.ravel())
for name, gold in [("centred", gold_centred), ("ewe_all", lambda t: gold_ewe(t, False)),
                   ("ewe_others", lambda t: gold_ewe(t, True))]:
    w, g = gold(traces)
    put(name + "_weights", w)
    put(name + "_gold", g)
put("mean_gold", traces.mean(0))

score = rng.integers(0, 12, 40) / 10.0
truth = (rng.random(40) < 0.2 + 0.4 * score).astype(float)
put("score", score)
put("truth", truth)
put("average_precision", average_precision(score, truth))

counts = rng.multinomial(7, [0.6, 0.2, 0.1, 0.1], 25)
put("counts", counts.ravel())
put("kappa", fleiss(counts))


def joint(x, y, lengths, windows, delays):
    """CCC of every window with every delay, and the best combination with centring and scaling between
    them: window, delay, centred, scaled, CCC. A later one must gain more than 1e-11."""
    ends, scores, best = np.cumsum(lengths), [], (0, 0, 0, 0, -np.inf)
    parts = [(e - n, e) for e, n in zip(ends, lengths)]
    for w in windows:
        filtered = np.concatenate([median(x[a:b], w) for a, b in parts])
        for d in delays:
            for scaled in range(2):
                for centred in range(2):
                    z = filtered + centred * (y.mean() - filtered.mean())
                    if scaled:
                        z = z.mean() + (z - z.mean()) * np.sqrt(y.var() / z.var())
                    score = ccc(np.concatenate([shift(z[a:b], d) for a, b in parts]), y)
                    if not scaled and not centred:
                        scores.append(score)
                    if score > best[4] + 1e-11:
                        best = (w, d, centred, scaled, score)
    return scores, best


x = np.round(0.6 * np.roll(y, -4) + 0.1 + rng.normal(size=len(y)) * 0.2, 6)  # early and noisy
put("joint_x", x)
scores, best = joint(x, y, lengths, range(1, 22, 2), range(0, 13))
put("joint", scores)
put("joint_best", best)
sys.stdout.flush()
