-- What must outlive any server. Times are milliseconds since 1970; names and
-- ids are text, as they are written everywhere else.

CREATE TABLE boots (
    server TEXT NOT NULL PRIMARY KEY,
    -- The highest boot number that the server used.
    boot INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    token TEXT NOT NULL PRIMARY KEY,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL REFERENCES tokens (token),
    -- The server on whose host it runs.
    owner TEXT NOT NULL,
    -- Where its display link is; NULL while it starts, and when it is lost.
    endpoint TEXT,
    -- Every write of a server names the epoch that it believes in.
    epoch INTEGER NOT NULL,
    -- How often a token was inserted for it.
    connection INTEGER NOT NULL,
    home TEXT NOT NULL,
    -- The command line, as JSON.
    desktop TEXT NOT NULL,
    size TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'ended')),
    created_ms INTEGER NOT NULL,
    connected_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;

-- A token has one live session. Who starts a second one at the same time
-- finds the first.
CREATE UNIQUE INDEX sessions_live ON sessions (token) WHERE state = 'live';
