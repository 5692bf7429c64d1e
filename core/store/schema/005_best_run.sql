-- The run with the best validation score of each comparison, where a smaller one may be better (train.stop.higher).
-- Not here: the other views (003_views.sql); the view of version 3 took the largest score whatever was watched.

DROP VIEW best_run;
CREATE VIEW best_run AS
SELECT experiment, profile, variant, run, arm, seed, best, best_epoch, folder FROM (
  SELECT e.name AS experiment, r.profile, r.variant, r.id AS run, r.arm, r.seed,
         r.best_value AS best, r.best_epoch, r.folder,
         row_number() OVER (PARTITION BY r.experiment, r.profile, r.variant
                            ORDER BY r.best_value * iif(p.value = 0, -1, 1) DESC, r.id) AS place
  FROM run r JOIN experiment e ON e.id = r.experiment
  LEFT JOIN param p ON p.run = r.id AND p.key = 'train.stop.higher'
  WHERE r.status = 'finished' AND r.best_value IS NOT NULL)
WHERE place = 1;
