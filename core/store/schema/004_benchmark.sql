-- Speed beside a peer: one row for each setting of the peer that a case was compared with.
-- Not here: how it is measured (tests/bench). The table of version 1 could not hold it and was never filled.

DROP TABLE benchmark;
CREATE TABLE benchmark (
  id           INTEGER PRIMARY KEY,
  session      TEXT NOT NULL,         -- start of the command that measured it, UTC: rows of one table
  date         TEXT NOT NULL,         -- of this case, UTC
  machine      TEXT NOT NULL,         -- processor or GPU
  threads      INTEGER NOT NULL,
  mien         TEXT NOT NULL,         -- commit
  library      TEXT NOT NULL,         -- what computes for us: backend, vendor library and version
  peer_version TEXT,                  -- PyTorch and its version; NULL: only ours was timed
  name         TEXT NOT NULL,         -- the case
  precision    TEXT NOT NULL,
  setting      TEXT NOT NULL,         -- of ours
  peer_setting TEXT,
  pairs        INTEGER NOT NULL,      -- rounds in alternation; all figures are medians over them
  unit         TEXT NOT NULL DEFAULT 's',
  ours         REAL NOT NULL, ours_p10  REAL, ours_p90  REAL,
  peer         REAL,          peer_p10  REAL, peer_p90  REAL,
  ratio        REAL,          ratio_p10 REAL, ratio_p90 REAL, -- of each pair: the peer's time over ours
  gflop        REAL,                  -- of one round
  peak         REAL,                  -- GFLOP/s of a friendly product at this precision, same session
  percent      REAL GENERATED ALWAYS AS (100 * gflop / (ours * peak)) VIRTUAL,
  memory       REAL,                  -- largest resident bytes of our process
  peer_memory  REAL,
  note         TEXT,
  UNIQUE (session, name, precision, setting, peer_setting)
);

-- The newest figures of each case beside the peer's fastest setting.
CREATE VIEW benchmark_best AS
SELECT name, precision, setting, 1e3 * ours AS ms, 1e3 * peer AS peer_ms, peer_setting, ratio,
       ratio_p10, ratio_p90, percent, memory / 1073741824 AS gib, peer_memory / 1073741824 AS peer_gib,
       pairs, machine, threads, mien, library, peer_version, date, note
FROM (
  SELECT *, row_number() OVER (PARTITION BY machine, threads, name, precision, setting
                               ORDER BY session DESC, peer IS NULL, peer) AS place
  FROM benchmark WHERE unit = 's')
WHERE place = 1
ORDER BY machine, threads, name, precision, setting;
