-- In a file of the root file system: a rollback journal first, then a write-ahead log, whose index is shared memory.
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000)
INSERT INTO t SELECT i, printf('name-%05d', i) FROM n;
COMMIT;
BEGIN;
DELETE FROM t;
SELECT count(*) FROM t;
ROLLBACK;
SELECT count(*) FROM t;
PRAGMA journal_mode=wal;
UPDATE t SET name = upper(name) WHERE id % 2;
SELECT name FROM t WHERE id IN (1, 2, 4999);
PRAGMA wal_checkpoint(TRUNCATE);
PRAGMA journal_mode=delete;
DELETE FROM t WHERE id > 100;
VACUUM;
PRAGMA page_count;
PRAGMA integrity_check;
