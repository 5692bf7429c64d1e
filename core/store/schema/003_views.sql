-- The questions people ask of results.db, as views.
-- Not here: the tables they read (001_base.sql, 002_published.sql).

-- Mean and sample standard deviation (1/(n-1)) over the finished seeds of each arm.
CREATE VIEW seed_mean_std AS
SELECT e.name AS experiment, r.profile, r.variant, r.arm, min(r.arm_order) AS arm_order,
       s.target, s.split, s.stage,
       count(s.ccc) AS seeds,
       avg(s.ccc) AS ccc_mean,
       CASE WHEN count(s.ccc) > 1 THEN
         sqrt(max(0, sum(s.ccc * s.ccc) - count(s.ccc) * avg(s.ccc) * avg(s.ccc))
              / (count(s.ccc) - 1)) END AS ccc_sd,
       avg(s.pcc) AS pcc_mean, avg(s.rmse) AS rmse_mean,
       avg(s.ccc_recordings) AS ccc_recordings_mean
FROM run r JOIN experiment e ON e.id = r.experiment JOIN score s ON s.run = r.id
WHERE r.status = 'finished'
GROUP BY r.experiment, r.profile, r.variant, r.arm, s.target, s.split, s.stage;

-- CCC after post-processing, mean over seeds, as the paper's Table 5. The paper's values stand
-- beside it only when the corpus is RECOLA itself: procedural numbers are no RECOLA numbers.
CREATE VIEW table5 AS
WITH one AS (
  SELECT r.experiment, r.profile, r.variant, r.arm, min(r.arm_order) AS arm_order,
         count(DISTINCT r.id) AS seeds, max(r.id) AS newest,
         max(r.procedural) AS procedural, max(r.corpus) AS corpus,
         avg(iif(s.target = 'arousal' AND s.split = 'test',  s.ccc, NULL)) AS arousal,
         avg(iif(s.target = 'arousal' AND s.split = 'devel', s.ccc, NULL)) AS arousal_devel,
         avg(iif(s.target = 'valence' AND s.split = 'test',  s.ccc, NULL)) AS valence,
         avg(iif(s.target = 'valence' AND s.split = 'devel', s.ccc, NULL)) AS valence_devel
  FROM run r JOIN score s ON s.run = r.id AND s.stage = 'post'
  WHERE r.status = 'finished'
  GROUP BY r.experiment, r.profile, r.variant, r.arm)
SELECT e.name AS experiment, one.profile, one.variant, one.arm AS strategy, one.seeds,
       round(one.arousal, 3) AS arousal, round(one.arousal_devel, 3) AS arousal_devel,
       round(one.valence, 3) AS valence, round(one.valence_devel, 3) AS valence_devel,
       iif(one.procedural, 'procedural (not RECOLA)', one.corpus) AS corpus,
       p.arousal_test AS paper_arousal, p.arousal_devel AS paper_arousal_devel,
       p.valence_test AS paper_valence, p.valence_devel AS paper_valence_devel
FROM one JOIN experiment e ON e.id = one.experiment
LEFT JOIN (
  SELECT row, max(iif(field = 'arousal_test',  value, NULL)) AS arousal_test,
              max(iif(field = 'arousal_devel', value, NULL)) AS arousal_devel,
              max(iif(field = 'valence_test',  value, NULL)) AS valence_test,
              max(iif(field = 'valence_devel', value, NULL)) AS valence_devel
  FROM published WHERE paper_table = 5 GROUP BY row) p
  ON p.row = one.arm AND NOT one.procedural AND lower(one.corpus) LIKE 'recola%'
ORDER BY e.name, max(one.newest) OVER (PARTITION BY one.experiment, one.profile, one.variant) DESC,
         one.arm_order;

-- Epochs to the best validation score, mean over seeds, and how many times faster than the slowest
-- arm of the same comparison.
CREATE VIEW convergence AS
WITH one AS (
  SELECT r.experiment, r.profile, r.variant, r.arm, min(r.arm_order) AS arm_order,
         count(*) AS seeds, max(r.id) AS newest, max(r.procedural) AS procedural,
         avg(r.best_epoch) AS epochs_to_best, min(r.best_epoch) AS fastest,
         max(r.best_epoch) AS slowest, avg(r.best_value) AS best, avg(r.epochs) AS epochs_run
  FROM run r WHERE r.status = 'finished' AND r.best_epoch IS NOT NULL
  GROUP BY r.experiment, r.profile, r.variant, r.arm)
SELECT e.name AS experiment, one.profile, one.variant, one.arm AS strategy, one.seeds,
       round(one.epochs_to_best, 2) AS epochs_to_best, one.fastest, one.slowest,
       round(max(one.epochs_to_best) OVER same / one.epochs_to_best, 2) AS times_faster,
       round(one.best, 3) AS best, round(one.epochs_run, 1) AS epochs_run
FROM one JOIN experiment e ON e.id = one.experiment
WINDOW same AS (PARTITION BY one.experiment, one.profile, one.variant)
ORDER BY e.name, max(one.newest) OVER same DESC, one.arm_order;

-- One row per run with the figures that are looked at first.
CREATE VIEW run_wide AS
SELECT r.id AS run, e.name AS experiment, r.profile, r.variant, r.arm, r.seed, r.status,
       r.stop_reason, r.epochs, r.best_epoch, r.best_value AS best, r.procedural,
       max(iif(s.target = 'arousal' AND s.split = 'devel' AND s.stage = 'raw',  s.ccc, NULL)) AS arousal_devel_raw,
       max(iif(s.target = 'arousal' AND s.split = 'devel' AND s.stage = 'post', s.ccc, NULL)) AS arousal_devel,
       max(iif(s.target = 'arousal' AND s.split = 'test'  AND s.stage = 'raw',  s.ccc, NULL)) AS arousal_test_raw,
       max(iif(s.target = 'arousal' AND s.split = 'test'  AND s.stage = 'post', s.ccc, NULL)) AS arousal_test,
       max(iif(s.target = 'valence' AND s.split = 'devel' AND s.stage = 'raw',  s.ccc, NULL)) AS valence_devel_raw,
       max(iif(s.target = 'valence' AND s.split = 'devel' AND s.stage = 'post', s.ccc, NULL)) AS valence_devel,
       max(iif(s.target = 'valence' AND s.split = 'test'  AND s.stage = 'raw',  s.ccc, NULL)) AS valence_test_raw,
       max(iif(s.target = 'valence' AND s.split = 'test'  AND s.stage = 'post', s.ccc, NULL)) AS valence_test,
       (SELECT count(*) FROM attempt a WHERE a.run = r.id) AS attempts,
       r.host, r.code_version, datetime(r.created, 'unixepoch') AS created
FROM run r JOIN experiment e ON e.id = r.experiment LEFT JOIN score s ON s.run = r.id
GROUP BY r.id ORDER BY r.id;

-- Only the parameters in which the runs of an experiment differ.
CREATE VIEW param_diff AS
SELECT e.name AS experiment, r.id AS run, r.arm, r.seed, p.key, p.value
FROM param p JOIN run r ON r.id = p.run JOIN experiment e ON e.id = r.experiment
WHERE (SELECT count(DISTINCT coalesce(q.value, '')) FROM param q JOIN run o ON o.id = q.run
       WHERE o.experiment = r.experiment AND q.key = p.key) > 1
ORDER BY e.name, p.key, r.arm_order, r.seed;

-- The run with the best validation score of each comparison.
CREATE VIEW best_run AS
SELECT experiment, profile, variant, run, arm, seed, best, best_epoch, folder FROM (
  SELECT e.name AS experiment, r.profile, r.variant, r.id AS run, r.arm, r.seed,
         r.best_value AS best, r.best_epoch, r.folder,
         row_number() OVER (PARTITION BY r.experiment, r.profile, r.variant
                            ORDER BY r.best_value DESC, r.id) AS place
  FROM run r JOIN experiment e ON e.id = r.experiment
  WHERE r.status = 'finished' AND r.best_value IS NOT NULL)
WHERE place = 1;

-- Runs that call themselves running but have not been heard of for a minute.
CREATE VIEW stale_run AS
SELECT r.id AS run, e.name AS experiment, r.profile, r.arm, r.seed, r.owner,
       round(unixepoch() - r.heartbeat) AS silent_seconds
FROM run r JOIN experiment e ON e.id = r.experiment
WHERE r.status = 'running' AND (r.heartbeat IS NULL OR r.heartbeat < unixepoch() - 60);

-- The paper's Table 4 for the re-sampled sets of any run.
CREATE VIEW table4 AS
SELECT e.name AS experiment, r.profile, c.run, r.seed, c.class AS emotion,
       max(iif(c.split = 'train' AND c.stage = 'corpus',  c.frames, NULL)) AS training_before,
       max(iif(c.split = 'train' AND c.stage = 'sampled', c.frames, NULL)) AS training_frames,
       max(iif(c.split = 'devel' AND c.stage = 'corpus',  c.frames, NULL)) AS validation_frames
FROM class_count c JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment
GROUP BY c.run, c.class_order ORDER BY c.run, c.class_order;
