-- breaking: no
-- High availability. Everything of a node whose order matters is in one row, so that every change is one
-- compare-and-set on (epoch, seq, nonce). Written by keepers, except ha_intents, which operations make.
CREATE TABLE ha_leases (
  database_id TEXT NOT NULL,
  node_name TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  nonce TEXT NOT NULL,
  holder TEXT,
  incarnation TEXT NOT NULL,
  ttl_ms INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('acquiring', 'promoting', 'gated', 'open', 'draining', 'released')),
  timeline INTEGER NOT NULL,
  next_timeline INTEGER NOT NULL,
  system_identifier TEXT,
  members TEXT NOT NULL,
  sync TEXT NOT NULL,
  optime TEXT,
  checkpoint_done INTEGER NOT NULL CHECK (checkpoint_done IN (0, 1)),
  ending TEXT,
  PRIMARY KEY (database_id, node_name)
) STRICT
--> statement
CREATE TABLE ha_members (
  instance_id TEXT PRIMARY KEY NOT NULL,
  database_id TEXT NOT NULL,
  node_name TEXT NOT NULL,
  status TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT
--> statement
CREATE INDEX ha_members_by_node ON ha_members (database_id, node_name)
--> statement
CREATE TABLE ha_epochs (
  database_id TEXT NOT NULL,
  node_name TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  instance_id TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  timeline INTEGER NOT NULL,
  from_timeline INTEGER,
  switch_lsn TEXT,
  reason TEXT NOT NULL,
  lost TEXT,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, node_name, epoch)
) STRICT
--> statement
CREATE TABLE ha_intents (
  id TEXT PRIMARY KEY NOT NULL,
  database_id TEXT NOT NULL,
  node_name TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'canceled')),
  answer TEXT,
  not_before_ms INTEGER,
  expires_at_ms INTEGER,
  created_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER
) STRICT
--> statement
CREATE INDEX ha_intents_by_node ON ha_intents (database_id, node_name, state)
--> statement
-- A node changes its primary for one reason at a time.
CREATE UNIQUE INDEX ha_intents_one_handover ON ha_intents (database_id, node_name)
  WHERE kind IN ('switchover', 'failover') AND state IN ('pending', 'running')
