-- What a run trains on: windows, what is too short for one, and what re-sampling found and drew.
-- Not here: frames per category (class_count), the view of the other tables (006_answers.sql).

CREATE TABLE sampling (
  run              INTEGER PRIMARY KEY REFERENCES run(id) ON DELETE CASCADE,
  recordings       INTEGER NOT NULL,  -- to train on
  windows          INTEGER NOT NULL,  -- of an epoch, with those that were drawn again
  short_recordings INTEGER NOT NULL,  -- shorter than a window
  short_frames     INTEGER NOT NULL,  -- of these
  padded           INTEGER NOT NULL CHECK (padded IN (0, 1)), -- 1: they were filled up, 0: left out
  tail_frames      INTEGER NOT NULL,  -- beyond the last whole window of the others
  candidates       INTEGER,           -- windows that re-sampling looked at; NULL from here on without it
  eligible         INTEGER,           -- those with a rare category and few neutral frames
  drawn            INTEGER,
  stride           INTEGER,           -- frames between two candidates
  quota            TEXT,              -- paper, balanced, or given
  short            TEXT               -- categories that stay below their target
);
CREATE TRIGGER run_goes_with_its_sampling AFTER DELETE ON run BEGIN
  DELETE FROM sampling WHERE run = old.id;
END;

ALTER TABLE class_count ADD COLUMN target REAL; -- of re-sampling

DROP VIEW table4;
CREATE VIEW table4 AS
SELECT e.name AS experiment, r.profile, r.variant, r.arm, r.seed, c.run, c.class AS emotion,
       max(iif(c.split = 'train' AND c.stage = 'corpus',  c.frames, NULL)) AS training_before,
       max(iif(c.split = 'train' AND c.stage = 'sampled', c.frames, NULL)) AS training_frames,
       max(iif(c.split = 'devel' AND c.stage = 'corpus',  c.frames, NULL)) AS validation_frames,
       max(c.target) AS target
FROM class_count c JOIN run r ON r.id = c.run JOIN experiment e ON e.id = r.experiment
GROUP BY c.run, c.class_order ORDER BY c.run, c.class_order;

INSERT INTO about VALUES
  ('sampling', 'what a run trained on: windows, recordings too short for one, eligible and drawn windows of re-sampling');
