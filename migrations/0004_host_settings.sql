-- breaking: no
-- What users say of a host, beside what it says of itself. Written by operations.
CREATE TABLE host_settings (
  host_id TEXT PRIMARY KEY NOT NULL,
  generation INTEGER NOT NULL,
  labels TEXT NOT NULL,
  client_addresses TEXT,
  maintenance_since_ms INTEGER,
  maintenance_reason TEXT
) STRICT
