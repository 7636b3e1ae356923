-- breaking: no
-- Tokens with which hosts join. The secret is sealed under the cluster key.
CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY NOT NULL,
  secret TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('voter', 'non_voter')),
  expires_at_ms INTEGER,
  revoked_at_ms INTEGER,
  created_at_ms INTEGER NOT NULL
) STRICT
--> statement
-- What concerns the whole cluster and is changed while it runs.
CREATE TABLE cluster_settings (
  name TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) STRICT
