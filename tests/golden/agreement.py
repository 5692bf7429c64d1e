# Golden values of raters' agreement and alignment, from independent implementations (pingouin, krippendorff,
# tslearn) and published tables: python3 tests/golden/agreement.py > tests/golden/agreement.txt
# Made with pingouin 0.7.0, krippendorff 0.9.0, tslearn 0.10.0, numpy 2.4.6. Not here: any of mien's own code.
import krippendorff
import numpy as np
import pandas
import pingouin
from tslearn.barycenters import dtw_barycenter_averaging

nan = np.nan
rng = np.random.default_rng(1979)


def put(name, values):
    print(name, *("%.17g" % v for v in np.atleast_1d(values)))


def ccc(x, y):
    """Lin 1989, population moments."""
    return 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def pairs(f, x):
    """Mean over pairs of raters of the times that both have."""
    out = []
    for r in range(len(x)):
        for s in range(r + 1, len(x)):
            both = ~np.isnan(x[r]) & ~np.isnan(x[s])
            out.append(f(x[r][both], x[s][both]))
    return np.mean(out)


def icc(x):
    """The six coefficients of Shrout & Fleiss: single then mean, of the times that every rater has."""
    x = x[:, ~np.isnan(x).any(0)]
    r, t = np.indices(x.shape)
    table = pandas.DataFrame({"t": t.ravel(), "r": r.ravel(), "x": x.ravel()})
    return pingouin.intraclass_corr(table, targets="t", raters="r", ratings="x")["ICC"].to_numpy(), \
        pingouin.cronbach_alpha(pandas.DataFrame(x.T))[0]


def agreement(name, x):
    put(name, x.ravel())
    put(name + "_ccc", pairs(ccc, x))
    put(name + "_pearson", pairs(lambda a, b: np.corrcoef(a, b)[0, 1], x))
    coefficients, cronbach = icc(x)
    put(name + "_icc", coefficients)
    put(name + "_cronbach", cronbach)


def alpha(name, x):
    x = np.array(x, dtype=float)
    put(name, x.ravel())
    for level in ["nominal", "ordinal", "interval"]:
        put(name + "_" + level, krippendorff.alpha(reliability_data=x, level_of_measurement=level))


# Shrout & Fleiss 1979, table 2: six targets, four judges; table 4 has .17 .29 .71 .44 .62 .91
agreement("shrout", np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
                             dtype=float).T)

# Krippendorff 2011: section A (.095), B (.692), C and D (nominal .743, ordinal .815, interval .849)
alpha("two", [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
alpha("letters", [["abcde".index(c) for c in word] for word in ["aabbdcccedda", "babbbccceddd"]])
alpha("missing", [[1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
                  [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan]])

# Traces with gaps; ratings of a few steps with gaps
base = np.cumsum(rng.normal(size=60)) / 4
traces = np.stack([k * base + b + 0.2 * rng.normal(size=60) for k, b in [(1, 0), (0.5, 0.3), (1.5, -0.2), (-0.3, 1)]])
traces = traces.round(4)
traces[1, 5:9] = nan
traces[3, 50:] = nan
agreement("traces", traces)
steps = np.clip(np.round(traces * 2), -3, 3)
alpha("steps", steps)
alpha("fine", traces)

# DTW barycentres, 1 and 5 rounds from the plain mean, within a band of 6
whole = np.stack([np.sin((np.arange(48) - lag) / 5) + 0.1 * rng.normal(size=48) for lag in [0, 2, 5]]).round(5)
put("whole", whole.ravel())
for rounds in [1, 5]:
    average = dtw_barycenter_averaging(whole, init_barycenter=whole.mean(0)[:, None], max_iter=rounds, tol=0,
                                       metric_params={"sakoe_chiba_radius": 6})
    put("barycentre_%d" % rounds, average.ravel())
