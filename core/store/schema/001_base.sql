-- results.db, version 1: what was declared, what ran, what came out.
-- Not here: the paper's own numbers (002_published.sql) and the views (003_views.sql).

CREATE TABLE experiment (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  file    TEXT,                       -- the declaration it was read from last
  about   TEXT,
  created REAL NOT NULL               -- seconds since 1970, as all times here
);

-- One run is one (arm, seed) of one configuration.
CREATE TABLE run (
  id           INTEGER PRIMARY KEY,
  experiment   INTEGER NOT NULL REFERENCES experiment(id) ON DELETE CASCADE,
  profile      TEXT NOT NULL DEFAULT 'default',
  variant      TEXT NOT NULL,         -- hash of the configuration without arm and seed: what is compared
  arm          TEXT NOT NULL,
  arm_order    INTEGER NOT NULL DEFAULT 1,
  seed         INTEGER NOT NULL,
  config_hash  TEXT NOT NULL,         -- sha256 of the whole configuration with arm and seed
  config       TEXT NOT NULL,         -- the text that was hashed
  status       TEXT NOT NULL DEFAULT 'new'
               CHECK (status IN ('new', 'running', 'interrupted', 'failed', 'finished')),
  stop_reason  TEXT,
  epochs       INTEGER,               -- epochs done
  best_epoch   INTEGER,               -- 1-based
  best_value   REAL,                  -- of the watched metric
  corpus       TEXT,                  -- name the corpus gives itself
  procedural   INTEGER NOT NULL DEFAULT 0 CHECK (procedural IN (0, 1)),
  code_version TEXT,
  host         TEXT,
  device       TEXT,
  folder       TEXT,                  -- checkpoints and predictions
  owner        TEXT,                  -- process that works on it: host:pid:start time
  heartbeat    REAL,
  created      REAL NOT NULL,
  finished     REAL,
  UNIQUE (experiment, config_hash)
);
CREATE INDEX run_variant ON run (experiment, variant, arm_order, seed);

-- Each time a process worked on a run.
CREATE TABLE attempt (
  id      INTEGER PRIMARY KEY,
  run     INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  owner   TEXT NOT NULL,
  started REAL NOT NULL,
  ended   REAL,                       -- NULL: still at work, or killed
  epoch   INTEGER NOT NULL,           -- position it started from
  step    INTEGER NOT NULL,
  reason  TEXT
);

CREATE TABLE param (
  run   INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  key   TEXT NOT NULL,
  value,                              -- typeless: numbers stay numbers
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE TABLE metric (
  run    INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  step   INTEGER NOT NULL,            -- optimiser steps done
  epoch  INTEGER,
  value  REAL,                        -- NULL when it was not a number
  is_nan INTEGER NOT NULL DEFAULT 0 CHECK (is_nan IN (0, 1)),
  time   REAL NOT NULL,
  PRIMARY KEY (run, key, step)
) WITHOUT ROWID;

-- First, last, smallest and largest of each metric; NaN never counts as a number.
CREATE TABLE metric_summary (
  run        INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  key        TEXT NOT NULL,
  first      REAL, first_step INTEGER,
  last       REAL, last_step  INTEGER,
  min        REAL, min_step   INTEGER,
  max        REAL, max_step   INTEGER,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;

-- Steps that a resumed run repeats are written again with the same values: each rule below gives
-- the same row whether a step comes once or twice.
CREATE TRIGGER metric_summarise AFTER INSERT ON metric BEGIN
  INSERT INTO metric_summary VALUES (
    new.run, new.key, new.value, new.step, new.value, new.step,
    new.value, iif(new.value IS NULL, NULL, new.step),
    new.value, iif(new.value IS NULL, NULL, new.step))
  ON CONFLICT (run, key) DO UPDATE SET
    first      = iif(new.step <= first_step, new.value, first),
    first_step = min(new.step, first_step),
    last       = iif(new.step >= last_step, new.value, last),
    last_step  = max(new.step, last_step),
    min_step   = iif(new.value < min OR min IS NULL, excluded.min_step, min_step),
    min        = iif(new.value < min OR min IS NULL, new.value, min),
    max_step   = iif(new.value > max OR max IS NULL, excluded.max_step, max_step),
    max        = iif(new.value > max OR max IS NULL, new.value, max);
END;

-- Post-processing: each candidate that was tried on devel, and what each step of the chain did.
CREATE TABLE post_trial (
  run      INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  target   TEXT NOT NULL,             -- arousal, valence
  position INTEGER NOT NULL,          -- of the step in the chain, 1-based
  step     TEXT NOT NULL,             -- median, centre, scale, shift
  value    REAL NOT NULL,             -- window or delay in frames, offset, factor
  ccc      REAL,
  PRIMARY KEY (run, target, position, value)
) WITHOUT ROWID;

CREATE TABLE post_step (
  run        INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  target     TEXT NOT NULL,
  position   INTEGER NOT NULL,
  step       TEXT NOT NULL,
  kept       INTEGER NOT NULL CHECK (kept IN (0, 1)),
  value      REAL,
  ccc_before REAL,
  ccc_after  REAL,
  PRIMARY KEY (run, target, position)
) WITHOUT ROWID;

CREATE TABLE score (
  run            INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  target         TEXT NOT NULL,
  split          TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  stage          TEXT NOT NULL CHECK (stage IN ('raw', 'post')),
  ccc            REAL,                -- recordings joined (the AVEC convention)
  pcc            REAL,
  rmse           REAL,
  ccc_recordings REAL,                -- mean over recordings
  frames         INTEGER,
  PRIMARY KEY (run, target, split, stage)
) WITHOUT ROWID;

-- Categories: how well each is told on data that was held out, beside always answering the same.
CREATE TABLE class_score (
  run                INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  split              TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  class_order        INTEGER NOT NULL,
  class              TEXT NOT NULL,
  positives          INTEGER,
  frames             INTEGER,
  f1                 REAL,
  average_precision  REAL,
  baseline_f1        REAL,            -- of the majority answer
  baseline_precision REAL,            -- average precision of a constant score: the share of positives
  PRIMARY KEY (run, split, class_order)
) WITHOUT ROWID;

-- Frames per category before and after re-sampling, as the paper's Table 4 counts them.
CREATE TABLE class_count (
  run         INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  split       TEXT NOT NULL CHECK (split IN ('train', 'devel', 'test')),
  stage       TEXT NOT NULL CHECK (stage IN ('corpus', 'sampled')),
  class_order INTEGER NOT NULL,
  class       TEXT NOT NULL,
  frames      INTEGER NOT NULL,
  PRIMARY KEY (run, split, stage, class_order)
) WITHOUT ROWID;

CREATE TABLE artifact (
  run     INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
  kind    TEXT NOT NULL,              -- weights, predictions, figure
  path    TEXT NOT NULL,
  sha256  TEXT NOT NULL,
  bytes   INTEGER NOT NULL,
  created REAL NOT NULL,
  PRIMARY KEY (run, path)
) WITHOUT ROWID;

CREATE TABLE event (
  id   INTEGER PRIMARY KEY,
  run  INTEGER REFERENCES run(id) ON DELETE CASCADE,
  time REAL NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX event_run ON event (run, time);

-- Speed beside a peer on one machine, measured in alternation.
CREATE TABLE benchmark (
  id       INTEGER PRIMARY KEY,
  date     TEXT NOT NULL,
  machine  TEXT NOT NULL,
  versions TEXT NOT NULL,
  name     TEXT NOT NULL,
  unit     TEXT NOT NULL DEFAULT 's',
  ours     REAL NOT NULL,
  peer     REAL,
  ratio    REAL GENERATED ALWAYS AS (ours / peer) VIRTUAL,
  note     TEXT
);
