-- 100,000 rows in memory: inserted, looked at, a third of them deleted.
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
CREATE INDEX t_name ON t(name);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100000)
INSERT INTO t SELECT i, printf('name-%06d', (i*7919)%100000), i*0.5 FROM n;
COMMIT;
SELECT count(*), sum(value), min(name), max(name) FROM t;
SELECT substr(name,1,8) AS g, count(*) FROM t GROUP BY g ORDER BY g LIMIT 5;
DELETE FROM t WHERE id % 3 = 0;
SELECT count(*) FROM t;
VACUUM;
PRAGMA integrity_check;
