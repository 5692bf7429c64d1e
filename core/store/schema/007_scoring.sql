-- Version 7: what is done with a trained network can be done again, and each time is kept (scoring); the sources of what
-- ran are kept. Not here: what each table and view answers (table `about`, docs/results.md).

-- ---- one way of scoring ------------------------------------------------------------------------

-- A run is its training. How its predictions are made and post-processed is a scoring, of which a run may have several;
-- a comparison refers to the one that it asked for.
CREATE TABLE scoring (
  id       INTEGER PRIMARY KEY,
  run      INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  settings TEXT NOT NULL,             -- the keys evaluate.*, post and post_options; '': run.config has them
  created  REAL NOT NULL,             -- the last one's are in the run's files: predictions.h5, the chain in best.h5
  UNIQUE (run, settings)
);
INSERT INTO scoring (run, settings, created)
SELECT r.id, '', coalesce(r.finished, r.created) FROM run r
WHERE EXISTS (SELECT 1 FROM score s WHERE s.run = r.id) OR EXISTS (SELECT 1 FROM class_score s WHERE s.run = r.id)
   OR EXISTS (SELECT 1 FROM post_step s WHERE s.run = r.id) OR EXISTS (SELECT 1 FROM post_trial s WHERE s.run = r.id)
   OR EXISTS (SELECT 1 FROM confusion s WHERE s.run = r.id)
   OR EXISTS (SELECT 1 FROM recording_score s WHERE s.run = r.id);

-- The tables of scores, now by scoring: SQLite cannot change a key, so each is made anew. The key's columns come first,
-- in its order: PRAGMA integrity_check of SQLite 3.40 finds NULL in others otherwise.
CREATE TABLE post_trial_6 AS SELECT * FROM post_trial;
DROP TABLE post_trial;
CREATE TABLE post_trial (
  scoring  INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  target   TEXT NOT NULL,             -- arousal, valence
  position INTEGER NOT NULL,          -- of the step in the chain, 1-based
  value    REAL NOT NULL,             -- window or delay in frames, offset, factor
  run      INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  step     TEXT NOT NULL,             -- median, centre, scale, shift
  ccc      REAL,
  PRIMARY KEY (scoring, target, position, value)
) WITHOUT ROWID;
INSERT INTO post_trial (scoring, target, position, value, run, step, ccc)
SELECT s.id, o.target, o.position, o.value, o.run, o.step, o.ccc FROM post_trial_6 o JOIN scoring s ON s.run = o.run;
DROP TABLE post_trial_6;
CREATE INDEX post_trial_of_run ON post_trial (run);

CREATE TABLE post_step_6 AS SELECT * FROM post_step;
DROP TABLE post_step;
CREATE TABLE post_step (
  scoring    INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  target     TEXT NOT NULL,
  position   INTEGER NOT NULL,
  run        INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  step       TEXT NOT NULL,
  kept       INTEGER NOT NULL CHECK (kept IN (0, 1)),
  value      REAL,
  ccc_before REAL,
  ccc_after  REAL,
  PRIMARY KEY (scoring, target, position)
) WITHOUT ROWID;
INSERT INTO post_step (scoring, target, position, run, step, kept, value, ccc_before, ccc_after)
SELECT s.id, o.target, o.position, o.run, o.step, o.kept, o.value, o.ccc_before, o.ccc_after FROM post_step_6 o JOIN
  scoring s ON s.run = o.run;
DROP TABLE post_step_6;
CREATE INDEX post_step_of_run ON post_step (run);

CREATE TABLE score_6 AS SELECT * FROM score;
DROP TABLE score;
CREATE TABLE score (
  scoring        INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  target         TEXT NOT NULL,
  split          TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  stage          TEXT NOT NULL CHECK (stage IN ('raw', 'post')),
  run            INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  ccc            REAL,                -- recordings joined (the AVEC convention)
  pcc            REAL,
  rmse           REAL,
  ccc_recordings REAL,                -- mean over recordings
  frames         INTEGER,
  PRIMARY KEY (scoring, target, split, stage)
) WITHOUT ROWID;
INSERT INTO score (scoring, target, split, stage, run, ccc, pcc, rmse, ccc_recordings, frames)
SELECT s.id, o.target, o.split, o.stage, o.run, o.ccc, o.pcc, o.rmse, o.ccc_recordings, o.frames FROM score_6 o JOIN
  scoring s ON s.run = o.run;
DROP TABLE score_6;
CREATE INDEX score_of_run ON score (run);

CREATE TABLE recording_score_6 AS SELECT * FROM recording_score;
DROP TABLE recording_score;
CREATE TABLE recording_score (
  scoring   INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  split     TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  stage     TEXT NOT NULL CHECK (stage IN ('raw', 'post')),
  position  INTEGER NOT NULL,         -- of the recording in its split, 1-based: two may have one name
  target    TEXT NOT NULL,
  run       INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  recording TEXT NOT NULL,
  subject   TEXT,
  ccc       REAL,
  pearson   REAL,
  rmse      REAL,
  frames    INTEGER,                  -- that have a gold value
  PRIMARY KEY (scoring, split, stage, position, target)
) WITHOUT ROWID;
INSERT INTO recording_score (scoring, split, stage, position, target, run, recording, subject, ccc, pearson, rmse,
  frames)
SELECT s.id, o.split, o.stage, o.position, o.target, o.run, o.recording, o.subject, o.ccc, o.pearson, o.rmse, o.frames
  FROM recording_score_6 o JOIN scoring s ON s.run = o.run;
DROP TABLE recording_score_6;
CREATE INDEX recording_score_of_run ON recording_score (run);

CREATE TABLE class_score_6 AS SELECT * FROM class_score;
DROP TABLE class_score;
CREATE TABLE class_score (
  scoring            INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  split              TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  class_order        INTEGER NOT NULL,
  run                INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  class              TEXT NOT NULL,
  positives          INTEGER,
  frames             INTEGER,
  f1                 REAL,
  average_precision  REAL,
  baseline_f1        REAL,            -- of the majority answer
  baseline_precision REAL,            -- average precision of a constant score: the share of positives
  true_positives     INTEGER,
  false_positives    INTEGER,
  false_negatives    INTEGER,
  true_negatives     INTEGER,
  PRIMARY KEY (scoring, split, class_order)
) WITHOUT ROWID;
INSERT INTO class_score (scoring, split, class_order, run, class, positives, frames, f1, average_precision,
  baseline_f1, baseline_precision, true_positives, false_positives, false_negatives, true_negatives)
SELECT s.id, o.split, o.class_order, o.run, o.class, o.positives, o.frames, o.f1, o.average_precision, o.baseline_f1,
  o.baseline_precision, o.true_positives, o.false_positives, o.false_negatives, o.true_negatives FROM class_score_6 o
  JOIN scoring s ON s.run = o.run;
DROP TABLE class_score_6;
CREATE INDEX class_score_of_run ON class_score (run);

CREATE TABLE confusion_6 AS SELECT * FROM confusion;
DROP TABLE confusion;
CREATE TABLE confusion (
  scoring    INTEGER NOT NULL REFERENCES scoring(id) ON DELETE CASCADE,
  split      TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  gold_order INTEGER NOT NULL,
  said_order INTEGER NOT NULL,
  run        INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  gold       TEXT NOT NULL,
  said       TEXT NOT NULL,
  frames     INTEGER NOT NULL,
  PRIMARY KEY (scoring, split, gold_order, said_order)
) WITHOUT ROWID;
INSERT INTO confusion (scoring, split, gold_order, said_order, run, gold, said, frames)
SELECT s.id, o.split, o.gold_order, o.said_order, o.run, o.gold, o.said, o.frames FROM confusion_6 o JOIN scoring s ON
  s.run = o.run;
DROP TABLE confusion_6;
CREATE INDEX confusion_of_run ON confusion (run);

ALTER TABLE comparison ADD COLUMN scoring INTEGER REFERENCES scoring(id) ON DELETE SET NULL; -- that it asked for
UPDATE comparison SET scoring = (SELECT s.id FROM scoring s WHERE s.run = comparison.run);

-- ---- sources -----------------------------------------------------------------------------------

-- Each text once, whatever ran it.
CREATE TABLE source (
  sha256 TEXT PRIMARY KEY,
  text   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE run_source (
  run    INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  name   TEXT NOT NULL,               -- as it is required; '' is the declaration itself
  path   TEXT NOT NULL,
  sha256 TEXT NOT NULL REFERENCES source(sha256),
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- ---- triggers ----------------------------------------------------------------------------------

DROP TRIGGER run_is_compared;
DROP TRIGGER run_is_compared_again;
DROP TRIGGER run_goes;

CREATE TRIGGER run_is_compared AFTER INSERT ON run BEGIN
  DELETE FROM comparison WHERE profile = new.profile AND variant = new.variant AND run IN (
    SELECT id FROM run WHERE experiment = new.experiment AND arm = new.arm AND seed = new.seed AND id <> new.id);
  INSERT INTO comparison (profile, variant, run, arm_order, asked)
  VALUES (new.profile, new.variant, new.id, new.arm_order, new.created); -- nobody has scored it yet
END;
CREATE TRIGGER run_is_compared_again AFTER UPDATE OF variant ON run BEGIN
  DELETE FROM comparison WHERE profile = new.profile AND variant = new.variant AND run IN (
    SELECT id FROM run WHERE experiment = new.experiment AND arm = new.arm AND seed = new.seed AND id <> new.id);
  INSERT INTO comparison (profile, variant, run, arm_order, asked, scoring)
  VALUES (new.profile, new.variant, new.id, new.arm_order, (julianday('now') - 2440587.5) * 86400,
          (SELECT id FROM scoring WHERE run = new.id AND settings = ''))
  ON CONFLICT (profile, variant, run) DO UPDATE SET arm_order = excluded.arm_order, asked = excluded.asked;
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
  DELETE FROM scoring WHERE run = old.id;
  DELETE FROM run_source WHERE run = old.id;
END;

-- ---- views -------------------------------------------------------------------------------------

-- Each comparison shows the scores that it asked for.
DROP VIEW comparison_run;
DROP VIEW seed_mean_std;
DROP VIEW run_target;
DROP VIEW recordings;
DROP VIEW class_mean_std;
DROP VIEW confusion_share;

CREATE VIEW comparison_run AS
SELECT e.name AS experiment, c.profile, c.variant, r.arm, c.arm_order, r.seed, r.id AS run, r.status, r.epochs,
       r.best_epoch, r.best_value AS best, r.procedural, r.corpus, r.folder, c.asked, c.scoring
FROM comparison c JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment;

CREATE VIEW seed_mean_std AS
SELECT c.experiment, c.profile, c.variant, c.arm, min(c.arm_order) AS arm_order, s.target, s.split, s.stage,
       count(s.ccc) AS seeds, avg(s.ccc) AS ccc_mean,
       CASE WHEN count(s.ccc) > 1 THEN
         sqrt(max(0, sum(s.ccc * s.ccc) - count(s.ccc) * avg(s.ccc) * avg(s.ccc)) / (count(s.ccc) - 1)) END AS ccc_sd,
       avg(s.pcc) AS pcc_mean, avg(s.rmse) AS rmse_mean, avg(s.ccc_recordings) AS ccc_recordings_mean
FROM comparison_run c JOIN score s ON s.scoring = c.scoring
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.target, s.split, s.stage;

CREATE VIEW run_target AS
SELECT c.experiment, c.profile, c.variant, c.arm, c.seed, c.run, c.status, c.best_epoch, c.best, s.target,
       max(iif(s.split = 'devel' AND s.stage = 'raw',  s.ccc, NULL)) AS devel_raw,
       max(iif(s.split = 'devel' AND s.stage = 'post', s.ccc, NULL)) AS devel,
       max(iif(s.split = 'test'  AND s.stage = 'raw',  s.ccc, NULL)) AS test_raw,
       max(iif(s.split = 'test'  AND s.stage = 'post', s.ccc, NULL)) AS test
FROM comparison_run c JOIN score s ON s.scoring = c.scoring
GROUP BY c.experiment, c.profile, c.variant, c.run, s.target
ORDER BY c.experiment, c.profile, c.variant, c.arm_order, c.seed, s.target;

CREATE VIEW recordings AS
SELECT c.experiment, c.profile, c.variant, c.arm, c.seed, c.run, s.split, s.stage, s.position, s.recording, s.subject,
       s.target, s.ccc, s.pearson, s.rmse, s.frames
FROM comparison_run c JOIN recording_score s ON s.scoring = c.scoring
WHERE c.status = 'finished';

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
FROM comparison_run c JOIN class_score s ON s.scoring = c.scoring
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.split, s.class_order
ORDER BY c.experiment, c.profile, c.variant, s.split, arm_order, s.class_order;

CREATE VIEW confusion_share AS
SELECT c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order, s.gold, s.said_order, s.said,
       sum(s.frames) AS frames,
       1.0 * sum(s.frames) / nullif(sum(sum(s.frames)) OVER (
         PARTITION BY c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order), 0) AS share
FROM comparison_run c JOIN confusion s ON s.scoring = c.scoring
WHERE c.status = 'finished'
GROUP BY c.experiment, c.profile, c.variant, c.arm, s.split, s.gold_order, s.said_order
ORDER BY c.experiment, c.profile, c.variant, min(c.arm_order), s.split, s.gold_order, s.said_order;

-- ---- what there is -----------------------------------------------------------------------------

INSERT INTO about VALUES
  ('scoring', 'each way in which a trained run was scored: settings of evaluation and post-processing'),
  ('run_source', 'the files that a run was made with: the declaration and what it requires'),
  ('source', 'their texts');
UPDATE about SET text = 'which runs each comparison (profile and variant) holds, and which scoring of them it shows'
WHERE name = 'comparison';
