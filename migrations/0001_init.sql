-- breaking: no
-- The tables of src/store/schema.ts. No cascades, no defaults, no time or random functions: every value
-- comes from the caller, so that all replicas hold the same. Large columns come last, so that a list
-- that does not show them need not read them.
CREATE TABLE cluster (
  singleton INTEGER PRIMARY KEY NOT NULL CHECK (singleton = 1),
  id TEXT NOT NULL,
  ca_certificate TEXT NOT NULL,
  ca_key TEXT NOT NULL,
  join_token TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT
--> statement
CREATE TABLE changes (
  singleton INTEGER PRIMARY KEY NOT NULL CHECK (singleton = 1),
  version INTEGER NOT NULL
) STRICT
--> statement
INSERT INTO changes (singleton, version) VALUES (1, 0)
--> statement
CREATE TABLE operations_log (
  id TEXT PRIMARY KEY NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT
--> statement
-- Inserting anything but 1 fails the statement and with it the whole request. Guards insert into it.
CREATE VIEW must (ok) AS SELECT 1 WHERE 0
--> statement
CREATE TRIGGER must_be_one INSTEAD OF INSERT ON must WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'assert_failed');
END
--> statement
CREATE TABLE hosts (
  id TEXT PRIMARY KEY NOT NULL,
  generation INTEGER NOT NULL,
  record TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT
--> statement
CREATE TABLE host_statuses (
  host_id TEXT PRIMARY KEY NOT NULL,
  status TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT
--> statement
CREATE TABLE databases (
  id TEXT PRIMARY KEY NOT NULL,
  tenant_id TEXT,
  generation INTEGER NOT NULL,
  state TEXT NOT NULL,
  was_available INTEGER NOT NULL CHECK (was_available IN (0, 1)),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  spec TEXT NOT NULL
) STRICT
--> statement
CREATE TABLE instances (
  id TEXT PRIMARY KEY NOT NULL,
  database_id TEXT NOT NULL,
  node_name TEXT NOT NULL,
  host_id TEXT NOT NULL,
  state TEXT NOT NULL,
  error TEXT,
  port INTEGER,
  addresses TEXT,
  generation INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  config TEXT
) STRICT
--> statement
CREATE INDEX instances_by_database ON instances (database_id)
--> statement
CREATE TABLE instance_reports (
  instance_id TEXT PRIMARY KEY NOT NULL,
  report TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT
--> statement
CREATE TABLE keeper_requests (
  id TEXT PRIMARY KEY NOT NULL,
  instance_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL,
  answer TEXT,
  created_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER
) STRICT
--> statement
CREATE INDEX keeper_requests_by_instance ON keeper_requests (instance_id, state)
--> statement
CREATE TABLE resources (
  database_id TEXT NOT NULL,
  key TEXT NOT NULL,
  resource TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, key)
) STRICT
--> statement
CREATE TABLE ports (
  host_id TEXT NOT NULL,
  port INTEGER NOT NULL,
  database_id TEXT NOT NULL,
  instance_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  random INTEGER NOT NULL CHECK (random IN (0, 1)),
  PRIMARY KEY (host_id, port)
) STRICT
--> statement
CREATE INDEX ports_by_database ON ports (database_id)
--> statement
CREATE TABLE tasks (
  id TEXT PRIMARY KEY NOT NULL,
  scope TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  database_id TEXT,
  node_name TEXT,
  instance_id TEXT,
  host_id TEXT,
  parent_id TEXT,
  type TEXT NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  plan TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  started_at_ms INTEGER,
  completed_at_ms INTEGER
) STRICT
--> statement
CREATE INDEX tasks_by_entity ON tasks (scope, entity_id, id)
--> statement
CREATE INDEX tasks_by_status ON tasks (status)
--> statement
CREATE TABLE task_steps (
  task_id TEXT NOT NULL,
  step_id TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  error TEXT,
  started_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER,
  PRIMARY KEY (task_id, step_id)
) STRICT
--> statement
CREATE TABLE task_log (
  task_id TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  message TEXT NOT NULL,
  fields TEXT NOT NULL,
  PRIMARY KEY (task_id, entry_id)
) STRICT
--> statement
CREATE TABLE worker_lease (
  singleton INTEGER PRIMARY KEY NOT NULL CHECK (singleton = 1),
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  holder TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  ttl_ms INTEGER NOT NULL
) STRICT
--> statement
-- Nobody holds the lease yet: the first worker takes it from epoch 0.
INSERT INTO worker_lease (singleton, epoch, seq, holder, incarnation, ttl_ms) VALUES (1, 0, 0, '', '', 0)
--> statement
CREATE TABLE idempotency_keys (
  key TEXT PRIMARY KEY NOT NULL,
  request_hash TEXT NOT NULL,
  response TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT
