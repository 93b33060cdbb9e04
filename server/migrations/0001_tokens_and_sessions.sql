-- What must outlive any server, as SQLite and PostgreSQL both understand it.
-- Times are milliseconds since 1970; names, ids and sizes are text, as they are
-- written everywhere else; lists are JSON.

CREATE TABLE boots (
    server TEXT NOT NULL PRIMARY KEY,
    -- The highest boot number that the server used.
    boot BIGINT NOT NULL,
    -- When it last tried whether the store can be written to again.
    tried_ms BIGINT NOT NULL
);

-- How the sessions of a user's tokens are configured. NULL is the server's
-- configuration.
CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    account TEXT,
    home TEXT,
    desktop TEXT,
    catalogue TEXT,
    required TEXT,
    size TEXT
);

CREATE TABLE tokens (
    token TEXT NOT NULL PRIMARY KEY,
    user_name TEXT REFERENCES users (name),
    -- How often it was inserted. Who changes a token's sessions changes this
    -- first, and so has the row to himself until he is done.
    connections BIGINT NOT NULL,
    -- NULL until it is inserted.
    first_seen_ms BIGINT,
    last_seen_ms BIGINT
);

CREATE INDEX tokens_of_user ON tokens (user_name);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL REFERENCES tokens (token),
    -- The server on whose host it runs.
    owner TEXT NOT NULL,
    -- Where its display link is; NULL while it starts, and when it is lost.
    endpoint TEXT,
    -- Every write of a server names the epoch that it believes in.
    epoch BIGINT NOT NULL,
    -- Its token's count of connections, when it was last connected.
    connection BIGINT NOT NULL,
    home TEXT NOT NULL,
    desktop TEXT NOT NULL,
    size TEXT NOT NULL,
    name TEXT NOT NULL,
    services TEXT NOT NULL,
    -- What is wanted of its owner.
    wish TEXT,
    state TEXT NOT NULL CHECK (state IN ('live', 'ended')),
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

CREATE INDEX sessions_of_token ON sessions (token, state);
CREATE INDEX sessions_by_state ON sessions (state);

-- Earlier copies of sessions that were taken over.
CREATE TABLE copies (
    session TEXT NOT NULL REFERENCES sessions (id),
    epoch BIGINT NOT NULL,
    owner TEXT NOT NULL,
    token TEXT NOT NULL,
    name TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    wish TEXT,
    PRIMARY KEY (session, epoch)
);

CREATE INDEX copies_of_token ON copies (token);
CREATE INDEX copies_of_owner ON copies (owner);
