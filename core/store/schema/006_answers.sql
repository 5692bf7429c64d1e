-- Version 6: comparisons that share runs, scores of each recording, confusions, what a run costs, and views that take
-- targets of any name. Not here: what each table and view answers (table `about`, docs/results.md).

-- ---- tables ------------------------------------------------------------------------------------

-- Which runs a comparison (variant) holds. A run may be in several: whoever asks for two of six arms leaves the six.
CREATE TABLE comparison (
  profile   TEXT NOT NULL,
  variant   TEXT NOT NULL,
  run       INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  arm_order INTEGER NOT NULL,
  asked     REAL NOT NULL,            -- when it was asked for last
  PRIMARY KEY (profile, variant, run)
) WITHOUT ROWID;
CREATE INDEX comparison_of_run ON comparison (run);
INSERT INTO comparison
SELECT profile, variant, max(id), arm_order, created FROM run GROUP BY experiment, profile, variant, arm, seed;

-- run.profile and run.variant are of the comparison that asked for the run last; asking again is an UPDATE to the same
-- values. An arm and seed is one run in a comparison: when the arm was declared otherwise, the new run takes the place
-- of the old.
CREATE TRIGGER run_is_compared AFTER INSERT ON run BEGIN
  DELETE FROM comparison WHERE profile = new.profile AND variant = new.variant AND run IN (
    SELECT id FROM run WHERE experiment = new.experiment AND arm = new.arm AND seed = new.seed AND id <> new.id);
  INSERT INTO comparison VALUES (new.profile, new.variant, new.id, new.arm_order, new.created);
END;
CREATE TRIGGER run_is_compared_again AFTER UPDATE OF variant ON run BEGIN
  DELETE FROM comparison WHERE profile = new.profile AND variant = new.variant AND run IN (
    SELECT id FROM run WHERE experiment = new.experiment AND arm = new.arm AND seed = new.seed AND id <> new.id);
  INSERT INTO comparison
  VALUES (new.profile, new.variant, new.id, new.arm_order, (julianday('now') - 2440587.5) * 86400)
  ON CONFLICT (profile, variant, run) DO UPDATE SET arm_order = excluded.arm_order, asked = excluded.asked;
END;

CREATE TABLE recording_score (
  run       INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  split     TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  stage     TEXT NOT NULL CHECK (stage IN ('raw', 'post')),
  position  INTEGER NOT NULL,         -- of the recording in its split, 1-based: two may have one name
  recording TEXT NOT NULL,
  subject   TEXT,
  target    TEXT NOT NULL,
  ccc       REAL,
  pearson   REAL,
  rmse      REAL,
  frames    INTEGER,                  -- that have a gold value
  PRIMARY KEY (run, split, stage, position, target)
) WITHOUT ROWID;

-- Corpora with one class a frame: how often the class `gold` was called `said`.
CREATE TABLE confusion (
  run        INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  split      TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  gold_order INTEGER NOT NULL,
  gold       TEXT NOT NULL,
  said_order INTEGER NOT NULL,
  said       TEXT NOT NULL,
  frames     INTEGER NOT NULL,
  PRIMARY KEY (run, split, gold_order, said_order)
) WITHOUT ROWID;

-- Each class against all others: these are the four counts behind its F1.
ALTER TABLE class_score ADD COLUMN true_positives  INTEGER;
ALTER TABLE class_score ADD COLUMN false_positives INTEGER;
ALTER TABLE class_score ADD COLUMN false_negatives INTEGER;
ALTER TABLE class_score ADD COLUMN true_negatives  INTEGER;

-- What an attempt used. An attempt of an earlier version has NULL in all of these.
ALTER TABLE attempt ADD COLUMN host          TEXT;
ALTER TABLE attempt ADD COLUMN device        TEXT;
ALTER TABLE attempt ADD COLUMN library       TEXT;    -- what computes: backend, vendor library, instruction set
ALTER TABLE attempt ADD COLUMN threads       INTEGER;
ALTER TABLE attempt ADD COLUMN frames        INTEGER; -- trained on; what a resumed run repeats counts again
ALTER TABLE attempt ADD COLUMN train_seconds REAL;    -- in training steps: without validation and scoring
ALTER TABLE attempt ADD COLUMN joules        REAL;    -- of the machine's processors, NULL: the kernel does not tell
ALTER TABLE attempt ADD COLUMN memory        INTEGER; -- largest resident bytes of the process

-- A shell that has foreign keys off (sqlite3's) leaves nothing behind either.
CREATE TRIGGER experiment_goes AFTER DELETE ON experiment BEGIN
  DELETE FROM run WHERE experiment = old.id;
END;
CREATE TRIGGER run_goes AFTER DELETE ON run BEGIN
  DELETE FROM comparison WHERE run = old.id;
  DELETE FROM attempt WHERE run = old.id;
  DELETE FROM param WHERE run = old.id;
  DELETE FROM metric WHERE run = old.id;
  DELETE FROM metric_summary WHERE run = old.id;
  DELETE FROM post_trial WHERE run = old.id;
  DELETE FROM post_step WHERE run = old.id;
  DELETE FROM score WHERE run = old.id;
  DELETE FROM recording_score WHERE run = old.id;
  DELETE FROM class_score WHERE run = old.id;
  DELETE FROM confusion WHERE run = old.id;
  DELETE FROM class_count WHERE run = old.id;
  DELETE FROM artifact WHERE run = old.id;
  DELETE FROM event WHERE run = old.id;
END;

-- ---- comparisons and runs ----------------------------------------------------------------------

DROP VIEW seed_mean_std;
DROP VIEW table5;
DROP VIEW convergence;
DROP VIEW run_wide;
DROP VIEW param_diff;
DROP VIEW best_run;
DROP VIEW stale_run;
DROP VIEW table4;

CREATE VIEW comparison_run AS
SELECT e.name AS experiment, c.profile, c.variant, r.arm, c.arm_order, r.seed, r.id AS run, r.status, r.epochs,
       r.best_epoch, r.best_value AS best, r.procedural, r.corpus, r.folder, c.asked
FROM comparison c JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment;

-- The comparison of each experiment and profile that was asked for last.
CREATE VIEW current AS
SELECT experiment, profile, variant, arms, runs, finished, datetime(last, 'unixepoch') AS asked FROM (
  SELECT experiment, profile, variant, count(DISTINCT arm) AS arms, count(*) AS runs,
         sum(status = 'finished') AS finished, max(asked) AS last,
         row_number() OVER (PARTITION BY experiment, profile ORDER BY max(asked) DESC, max(run) DESC, variant) AS place
  FROM comparison_run GROUP BY experiment, profile, variant)
WHERE place = 1 ORDER BY experiment, profile;

-- The run with the best validation score of each comparison, where a smaller one may be better (train.stop.higher).
CREATE VIEW best_run AS
SELECT experiment, profile, variant, run, arm, seed, best, best_epoch, folder FROM (
  SELECT c.*, row_number() OVER (PARTITION BY experiment, profile, variant
                                 ORDER BY best * iif(p.value = 0, -1, 1) DESC, c.run) AS place
  FROM comparison_run c LEFT JOIN param p ON p.run = c.run AND p.key = 'train.stop.higher'
  WHERE status = 'finished' AND best IS NOT NULL)
WHERE place = 1;

-- Runs that call themselves running but have not been heard of for a minute.
CREATE VIEW stale_run AS
SELECT r.id AS run, e.name AS experiment, r.profile, r.variant, r.arm, r.seed, r.owner,
       round(unixepoch() - r.heartbeat) AS silent_seconds
FROM run r JOIN experiment e ON e.id = r.experiment
WHERE r.status = 'running' AND (r.heartbeat IS NULL OR r.heartbeat < unixepoch() - 60);

-- A run's attempts together. A sum of which one part is unknown is unknown.
CREATE VIEW cost AS
SELECT e.name AS experiment, r.profile, r.variant, r.arm, r.seed, r.id AS run, r.status, count(*) AS attempts,
       round(sum(coalesce(a.ended, r.heartbeat, a.started) - a.started), 1) AS seconds,
       iif(count(a.frames) = count(*), sum(a.frames), NULL) AS frames,
       sum(a.frames) / nullif(sum(a.train_seconds), 0) AS frames_per_second,
       iif(count(a.joules) = count(*), sum(a.joules), NULL) AS joules,
       max(a.memory) AS peak_memory,
       iif(count(DISTINCT a.threads) > 1, group_concat(DISTINCT a.threads), max(a.threads)) AS threads,
       group_concat(DISTINCT a.device) AS device, group_concat(DISTINCT a.library) AS library
FROM attempt a JOIN run r ON r.id = a.run JOIN experiment e ON e.id = r.experiment
GROUP BY r.id ORDER BY r.id;

CREATE VIEW curve AS
SELECT c.experiment, c.profile, c.variant, c.arm, c.seed, c.run, m.key, m.epoch, m.step, m.value
FROM comparison_run c JOIN metric m ON m.run = c.run;

-- ---- parameters --------------------------------------------------------------------------------

-- Every key that any run of the experiment has, for each of its runs: a table that is switched off (data.augment = 0)
-- has 0 in all its keys, one that is on has 1 itself, and NULL says that the run went without the key.
CREATE VIEW run_param AS
SELECT e.name AS experiment, r.profile, r.variant, r.arm, r.seed, r.id AS run, r.status, k.key,
       CASE WHEN p.run IS NOT NULL THEN p.value
            WHEN EXISTS (SELECT 1 FROM param c WHERE c.run = r.id AND c.key > k.key || '.' AND c.key < k.key || '/')
              THEN 1
            WHEN EXISTS (SELECT 1 FROM param a WHERE a.run = r.id AND a.value = 0
                         AND substr(k.key, 1, length(a.key) + 1) = a.key || '.') THEN 0
       END AS value
FROM run r JOIN experiment e ON e.id = r.experiment
JOIN (SELECT DISTINCT o.experiment, q.key FROM param q JOIN run o ON o.id = q.run
      WHERE q.key NOT IN ('arm', 'seed')) k ON k.experiment = r.experiment
LEFT JOIN param p ON p.run = r.id AND p.key = k.key
WHERE EXISTS (SELECT 1 FROM param s WHERE s.run = r.id);

-- The keys in which runs of an experiment differ; `within` is 1 where runs of this comparison do, else only
-- comparisons differ.
CREATE VIEW param_diff AS
SELECT experiment, profile, variant, arm, seed, run, status, key, value, within FROM (
  SELECT c.experiment, c.profile, c.variant, c.arm, c.arm_order, c.seed, c.run, c.status, p.key, p.value,
         min(p.value) OVER everywhere IS NOT max(p.value) OVER everywhere
           OR count(p.value) OVER everywhere BETWEEN 1 AND count(*) OVER everywhere - 1 AS anywhere,
         min(p.value) OVER here IS NOT max(p.value) OVER here
           OR count(p.value) OVER here BETWEEN 1 AND count(*) OVER here - 1 AS within
  FROM comparison_run c JOIN run_param p ON p.run = c.run
  WINDOW everywhere AS (PARTITION BY c.experiment, p.key),
         here AS (PARTITION BY c.experiment, p.key, c.profile, c.variant))
WHERE anywhere
ORDER BY experiment, profile, variant, key, arm_order, seed;

-- ---- continuous targets ------------------------------------------------------------------------

-- Mean and sample standard deviation (1/(n-1)) over the finished seeds of each arm.
CREATE VIEW seed_mean_std AS
SELECT c.experiment, c.profile, c.variant, c.arm, min(c.arm_order) AS arm_order, s.target, s.split, s.stage,
       count(s.ccc) AS seeds, avg(s.ccc) AS ccc_mean,
       CASE WHEN count(s.ccc) > 1 THEN
         sqrt(max(0, sum(s.ccc * s.ccc) - count(s.ccc) * avg(s.ccc) * avg(s.ccc)) / (count(s.ccc) - 1)) END AS ccc_sd,
       avg(s.pcc) AS pcc_mean, avg(s.rmse) AS rmse_mean, avg(s.ccc_recordings) AS ccc_recordings_mean
FROM comparison_run c JOIN score s ON s.run = c.run
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.target, s.split, s.stage;

-- One row per run and target, whatever it is called.
CREATE VIEW run_target AS
SELECT c.experiment, c.profile, c.variant, c.arm, c.seed, c.run, c.status, c.best_epoch, c.best, s.target,
       max(iif(s.split = 'devel' AND s.stage = 'raw',  s.ccc, NULL)) AS devel_raw,
       max(iif(s.split = 'devel' AND s.stage = 'post', s.ccc, NULL)) AS devel,
       max(iif(s.split = 'test'  AND s.stage = 'raw',  s.ccc, NULL)) AS test_raw,
       max(iif(s.split = 'test'  AND s.stage = 'post', s.ccc, NULL)) AS test
FROM comparison_run c JOIN score s ON s.run = c.run
GROUP BY c.experiment, c.profile, c.variant, c.run, s.target
ORDER BY c.experiment, c.profile, c.variant, c.arm_order, c.seed, s.target;

-- One row per run with the figures that are looked at first; `others` is JSON of the targets without a column:
-- others ->> '$.liking.test'. It is put together by hand, as SQLite lets no view call json_object() where the schema
-- is not trusted.
CREATE VIEW run_wide AS
SELECT r.id AS run, e.name AS experiment, r.profile, r.variant, r.arm, r.seed, r.status,
       r.stop_reason, r.epochs, r.best_epoch, r.best_value AS best, r.procedural,
       max(iif(t.target = 'arousal', t.devel_raw, NULL)) AS arousal_devel_raw,
       max(iif(t.target = 'arousal', t.devel, NULL)) AS arousal_devel,
       max(iif(t.target = 'arousal', t.test_raw, NULL)) AS arousal_test_raw,
       max(iif(t.target = 'arousal', t.test, NULL)) AS arousal_test,
       max(iif(t.target = 'valence', t.devel_raw, NULL)) AS valence_devel_raw,
       max(iif(t.target = 'valence', t.devel, NULL)) AS valence_devel,
       max(iif(t.target = 'valence', t.test_raw, NULL)) AS valence_test_raw,
       max(iif(t.target = 'valence', t.test, NULL)) AS valence_test,
       '{' || group_concat('"' || replace(replace(t.target, '\', '\\'), '"', '\"')
         || '": {"devel_raw": ' || coalesce(t.devel_raw, 'null') || ', "devel": ' || coalesce(t.devel, 'null')
         || ', "test_raw": ' || coalesce(t.test_raw, 'null') || ', "test": ' || coalesce(t.test, 'null') || '}', ', ')
         FILTER (WHERE t.target NOT IN ('arousal', 'valence')) || '}' AS others,
       (SELECT count(*) FROM attempt a WHERE a.run = r.id) AS attempts,
       r.host, r.code_version, datetime(r.created, 'unixepoch') AS created
FROM run r JOIN experiment e ON e.id = r.experiment
LEFT JOIN run_target t ON t.run = r.id AND t.profile = r.profile AND t.variant = r.variant
GROUP BY r.id ORDER BY r.id;

-- CCC after post-processing, one row per arm and target. The paper's values stand beside an arm only when all its
-- runs are of RECOLA itself, split as the paper did (corpus.split, which the corpus says of itself): other splits
-- and rendered faces give no numbers that could be compared.
CREATE VIEW table5_long AS
WITH origin AS (
  SELECT c.experiment, c.profile, c.variant, c.arm, max(c.asked) AS asked, max(c.procedural) AS procedural,
         max(c.corpus) AS corpus,
         min(coalesce(NOT c.procedural AND lower(c.corpus) LIKE 'recola%' AND p.value = 'paper46', 0)) AS papers
  FROM comparison_run c LEFT JOIN param p ON p.run = c.run AND p.key = 'corpus.split'
  WHERE c.status = 'finished' GROUP BY c.experiment, c.profile, c.variant, c.arm)
SELECT s.experiment, s.profile, s.variant, s.arm AS strategy, min(s.arm_order) AS arm_order, s.target,
       max(s.seeds) AS seeds,
       max(iif(s.split = 'test',  s.ccc_mean, NULL)) AS test,  max(iif(s.split = 'test',  s.ccc_sd, NULL)) AS test_sd,
       max(iif(s.split = 'devel', s.ccc_mean, NULL)) AS devel, max(iif(s.split = 'devel', s.ccc_sd, NULL)) AS devel_sd,
       iif(o.procedural, 'procedural (not RECOLA)', o.corpus) AS corpus,
       (SELECT value FROM published WHERE o.papers AND paper_table = 5 AND row = s.arm AND field = s.target || '_test')
         AS paper_test,
       (SELECT value FROM published WHERE o.papers AND paper_table = 5 AND row = s.arm AND field = s.target || '_devel')
         AS paper_devel,
       max(max(o.asked)) OVER (PARTITION BY s.experiment, s.profile, s.variant) AS asked
FROM seed_mean_std s JOIN origin o USING (experiment, profile, variant, arm)
WHERE s.stage = 'post'
GROUP BY s.experiment, s.profile, s.variant, s.arm, s.target
ORDER BY s.experiment, asked DESC, s.profile, s.variant, arm_order, s.target;

-- The same, one row per arm, as the paper's Table 5; `others` is JSON of the targets without a column:
-- others ->> '$.liking.test'.
CREATE VIEW table5 AS
SELECT experiment, profile, variant, strategy, max(seeds) AS seeds,
       max(iif(target = 'arousal', round(test, 3), NULL)) AS arousal,
       max(iif(target = 'arousal', round(test_sd, 3), NULL)) AS arousal_sd,
       max(iif(target = 'arousal', round(devel, 3), NULL)) AS arousal_devel,
       max(iif(target = 'valence', round(test, 3), NULL)) AS valence,
       max(iif(target = 'valence', round(test_sd, 3), NULL)) AS valence_sd,
       max(iif(target = 'valence', round(devel, 3), NULL)) AS valence_devel,
       '{' || group_concat('"' || replace(replace(target, '\', '\\'), '"', '\"')
         || '": {"test": ' || coalesce(round(test, 3), 'null') || ', "test_sd": ' || coalesce(round(test_sd, 3), 'null')
         || ', "devel": ' || coalesce(round(devel, 3), 'null') || '}', ', ')
         FILTER (WHERE target NOT IN ('arousal', 'valence')) || '}' AS others,
       corpus,
       max(iif(target = 'arousal', paper_test,  NULL)) AS paper_arousal,
       max(iif(target = 'arousal', paper_devel, NULL)) AS paper_arousal_devel,
       max(iif(target = 'valence', paper_test,  NULL)) AS paper_valence,
       max(iif(target = 'valence', paper_devel, NULL)) AS paper_valence_devel
FROM table5_long
GROUP BY experiment, profile, variant, strategy
ORDER BY experiment, max(asked) DESC, profile, variant, min(arm_order);

-- Every recording's own score with the names of what it belongs to.
CREATE VIEW recordings AS
SELECT c.experiment, c.profile, c.variant, c.arm, c.seed, c.run, s.split, s.stage, s.position, s.recording, s.subject,
       s.target, s.ccc, s.pearson, s.rmse, s.frames
FROM comparison_run c JOIN recording_score s ON s.run = c.run
WHERE c.status = 'finished';

-- ---- convergence -------------------------------------------------------------------------------

-- Epochs to the own best validation score, as the paper counts, beside epochs to a level that can be compared: 95 % of
-- the best that each seed of the slowest arm came to (of the arms that took the most epochs, the better one). An arm
-- whose seeds do not all reach it is not faster but worse, and has no ratio.
CREATE VIEW convergence AS
WITH watched AS MATERIALIZED (
  SELECT c.*, iif(h.value = 0, -1, 1) AS sign, coalesce(w.value, 'validation/ccc') AS key
  FROM comparison_run c
  LEFT JOIN param h ON h.run = c.run AND h.key = 'train.stop.higher'
  LEFT JOIN param w ON w.run = c.run AND w.key = 'train.stop.watch'
  WHERE c.status = 'finished' AND c.best_epoch IS NOT NULL AND c.best IS NOT NULL),
arms AS (
  SELECT experiment, profile, variant, arm, min(arm_order) AS arm_order, max(asked) AS asked, count(*) AS seeds,
         avg(best_epoch) AS epochs_to_best, min(best_epoch) AS fastest, max(best_epoch) AS slowest,
         avg(best) AS best, avg(epochs) AS epochs_run, sign, sign * min(sign * best) AS worst
  FROM watched GROUP BY experiment, profile, variant, arm),
levels AS (
  SELECT experiment, profile, variant, worst - sign * 0.05 * abs(worst) AS level FROM (
    SELECT *, row_number() OVER (PARTITION BY experiment, profile, variant
                                 ORDER BY epochs_to_best DESC, sign * best DESC, arm_order) AS place FROM arms)
  WHERE place = 1),
reached AS (
  SELECT experiment, profile, variant, arm, level, sum(sign * best >= sign * level) AS reached,
         avg((SELECT min(m.epoch) FROM metric m WHERE m.run = w.run AND m.key = w.key
              AND m.value * sign >= level * sign)) AS epochs
  FROM watched w JOIN levels USING (experiment, profile, variant) GROUP BY experiment, profile, variant, arm),
joined AS (
  SELECT a.*, r.level, r.reached, r.reached = a.seeds AS comparable, iif(r.reached = a.seeds, r.epochs, NULL) AS epochs
  FROM arms a JOIN reached r USING (experiment, profile, variant, arm))
SELECT experiment, profile, variant, arm AS strategy, seeds, round(epochs_to_best, 2) AS epochs_to_best, fastest, slowest,
       iif(comparable, round(max(epochs_to_best) OVER same / epochs_to_best, 2), NULL) AS times_faster,
       round(best, 3) AS best, round(epochs_run, 1) AS epochs_run, round(level, 3) AS level, reached,
       round(epochs, 2) AS epochs_to_level,
       round(first_value(epochs) OVER (same ORDER BY epochs_to_best DESC, sign * best DESC, arm_order) / epochs, 2)
         AS times_faster_to_level
FROM joined
WINDOW same AS (PARTITION BY experiment, profile, variant)
ORDER BY experiment, max(asked) OVER same DESC, profile, variant, arm_order;

-- Any two arms of a comparison: epochs to 95 % of the best that every seed of both came to.
CREATE VIEW convergence_pair AS
WITH watched AS MATERIALIZED (
  SELECT c.*, iif(h.value = 0, -1, 1) AS sign, coalesce(w.value, 'validation/ccc') AS key
  FROM comparison_run c
  LEFT JOIN param h ON h.run = c.run AND h.key = 'train.stop.higher'
  LEFT JOIN param w ON w.run = c.run AND w.key = 'train.stop.watch'
  WHERE c.status = 'finished' AND c.best_epoch IS NOT NULL AND c.best IS NOT NULL),
arms AS MATERIALIZED (
  SELECT experiment, profile, variant, arm, min(arm_order) AS arm_order, count(*) AS seeds, avg(best) AS best, sign,
         sign * min(sign * best) AS worst
  FROM watched GROUP BY experiment, profile, variant, arm),
pairs AS MATERIALIZED (
  SELECT a.experiment, a.profile, a.variant, a.arm, b.arm AS other, a.arm_order, b.arm_order AS other_order, a.seeds,
         b.seeds AS other_seeds, a.best, b.best AS other_best,
         a.sign * min(a.sign * a.worst, a.sign * b.worst)
           - a.sign * 0.05 * abs(min(a.sign * a.worst, a.sign * b.worst)) AS level
  FROM arms a JOIN arms b ON a.experiment = b.experiment AND a.profile = b.profile AND a.variant = b.variant
    AND a.arm <> b.arm),
timed AS (
  SELECT p.*, (SELECT avg((SELECT min(m.epoch) FROM metric m WHERE m.run = w.run AND m.key = w.key
                           AND m.value * w.sign >= p.level * w.sign))
               FROM watched w WHERE w.experiment = p.experiment AND w.profile = p.profile AND w.variant = p.variant
                 AND w.arm = p.arm) AS epochs
  FROM pairs p)
SELECT t.experiment, t.profile, t.variant, t.arm, t.other, t.seeds, t.other_seeds, round(t.level, 3) AS level,
       round(t.epochs, 2) AS epochs, round(o.epochs, 2) AS other_epochs, round(o.epochs / t.epochs, 2) AS times_faster,
       round(t.best, 3) AS best, round(t.other_best, 3) AS other_best
FROM timed t JOIN timed o ON o.experiment = t.experiment AND o.profile = t.profile AND o.variant = t.variant
  AND o.arm = t.other AND o.other = t.arm
ORDER BY t.experiment, t.profile, t.variant, t.arm_order, t.other_order;

-- ---- categories --------------------------------------------------------------------------------

CREATE VIEW class_mean_std AS
SELECT c.experiment, c.profile, c.variant, c.arm, min(c.arm_order) AS arm_order, s.split, s.class_order, s.class,
       count(*) AS seeds, avg(s.positives) AS positives,
       avg(s.f1) AS f1,
       CASE WHEN count(s.f1) > 1 THEN
         sqrt(max(0, sum(s.f1 * s.f1) - count(s.f1) * avg(s.f1) * avg(s.f1)) / (count(s.f1) - 1)) END AS f1_sd,
       avg(s.average_precision) AS average_precision,
       CASE WHEN count(s.average_precision) > 1 THEN
         sqrt(max(0, sum(s.average_precision * s.average_precision)
                     - count(s.average_precision) * avg(s.average_precision) * avg(s.average_precision))
              / (count(s.average_precision) - 1)) END AS average_precision_sd,
       avg(s.baseline_f1) AS baseline_f1, avg(s.baseline_precision) AS baseline_precision,
       sum(s.true_positives) AS true_positives, sum(s.false_positives) AS false_positives,
       sum(s.false_negatives) AS false_negatives, sum(s.true_negatives) AS true_negatives
FROM comparison_run c JOIN class_score s ON s.run = c.run
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.split, s.class_order
ORDER BY c.experiment, c.profile, c.variant, s.split, arm_order, s.class_order;

-- Confusions of an arm's seeds together; `share` is of the frames of the class `gold`.
CREATE VIEW confusion_share AS
SELECT c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order, s.gold, s.said_order, s.said,
       sum(s.frames) AS frames,
       1.0 * sum(s.frames) / nullif(sum(sum(s.frames)) OVER (
         PARTITION BY c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order), 0) AS share
FROM comparison_run c JOIN confusion s ON s.run = c.run
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order, s.said_order
ORDER BY c.experiment, c.profile, c.variant, min(c.arm_order), s.split, s.gold_order, s.said_order;

-- The paper's Table 4 for the re-sampled sets of any run.
CREATE VIEW table4 AS
SELECT e.name AS experiment, r.profile, r.variant, r.arm, r.seed, c.run, c.class AS emotion,
       max(iif(c.split = 'train' AND c.stage = 'corpus',  c.frames, NULL)) AS training_before,
       max(iif(c.split = 'train' AND c.stage = 'sampled', c.frames, NULL)) AS training_frames,
       max(iif(c.split = 'devel' AND c.stage = 'corpus',  c.frames, NULL)) AS validation_frames
FROM class_count c JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment
GROUP BY c.run, c.class_order ORDER BY c.run, c.class_order;

-- ---- what there is -----------------------------------------------------------------------------

CREATE TABLE about (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO about VALUES
  ('current', 'the comparison of each experiment and profile that was asked for last'),
  ('table5', 'CCC after post-processing per arm, mean and sd over seeds; the paper''s values beside its corpus and split'),
  ('table5_long', 'the same with a row per arm and target, whatever the targets are called'),
  ('seed_mean_std', 'mean and sd over seeds per arm, target, split and stage (raw, post)'),
  ('run_wide', 'one row per run: status, best epoch, scores before and after post-processing'),
  ('run_target', 'one row per run and target, whatever it is called: devel and test, raw and post-processed'),
  ('recordings', 'the score of every recording by itself, with arm, seed and subject'),
  ('convergence', 'epochs to the own best and to a level that all are measured by; times faster than the slowest arm'),
  ('convergence_pair', 'any two arms: epochs to a level that both came to, and the ratio'),
  ('curve', 'every metric of every run over epochs and steps'),
  ('cost', 'what a run used: seconds, frames, frames/s, energy, memory, threads, device'),
  ('run_param', 'every parameter of every run, switched-off tables filled with 0'),
  ('param_diff', 'the parameters in which runs of an experiment differ'),
  ('best_run', 'the run with the best validation score of each comparison'),
  ('stale_run', 'runs that call themselves running and gave no sign of life for a minute'),
  ('class_mean_std', 'categories: F1, average precision and counts per arm and class'),
  ('confusion_share', 'categories: what each class was taken for, per arm'),
  ('table4', 'frames per emotion before and after re-sampling, as the paper''s Table 4'),
  ('comparison_run', 'every run of every comparison with its names: what the other views are made from'),
  ('benchmark_best', 'speed beside a peer: the newest of each case, beside the peer''s fastest setting'),
  ('experiment', 'declarations by name'),
  ('run', 'one arm and seed of one configuration'),
  ('comparison', 'which runs each comparison (profile and variant) holds'),
  ('attempt', 'each time a process worked on a run, and what it used'),
  ('param', 'parameters as they were stored'),
  ('metric', 'numbers at a moment of the training'),
  ('metric_summary', 'first, last, smallest and largest of each metric'),
  ('post_trial', 'post-processing: every candidate that was tried on devel'),
  ('post_step', 'post-processing: what each step of the chain did'),
  ('score', 'scores per run, target, split and stage; ccc joins the recordings'),
  ('recording_score', 'the score of every recording by itself'),
  ('class_score', 'categories: scores and counts per run and class'),
  ('confusion', 'categories: frames of one class that were called another'),
  ('class_count', 'frames per category before and after re-sampling'),
  ('artifact', 'files that a run made, with their hashes'),
  ('event', 'what happened to runs, in words'),
  ('benchmark', 'speed beside a peer, every measurement'),
  ('published', 'the numbers of the paper''s tables 2 to 5'),
  ('about', 'this list');
