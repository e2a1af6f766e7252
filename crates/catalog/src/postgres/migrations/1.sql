-- The first layout. The account leads the key of every table that grows with what accounts hold; what is found by a token
-- or an id alone (sessions, uploads, pieces) is found by what is random, and can be spread by it.
CREATE TABLE meta (
    key bytea PRIMARY KEY,
    value bytea NOT NULL
);
-- A row of an index holds at most 2,704 bytes, a name up to 4,096: rows are found by a hash of the name.
CREATE TABLE names (
    account int8 NOT NULL,
    dir int8 NOT NULL,
    hash bytea NOT NULL,
    name bytea NOT NULL,
    child int8,
    value bytea NOT NULL,
    PRIMARY KEY (account, dir, hash)
);
CREATE TABLE numbers (
    account int8 NOT NULL,
    dir int8 NOT NULL,
    kind int8 NOT NULL,
    number int8 NOT NULL,
    child int8,
    value bytea NOT NULL,
    PRIMARY KEY (account, dir, kind, number)
);
CREATE TABLE dirs (
    account int8 NOT NULL,
    dir int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, dir)
);
CREATE TABLE contents (
    account int8 NOT NULL,
    id int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE TABLE sessions (
    token bytea PRIMARY KEY,
    value bytea NOT NULL
);
CREATE TABLE sessions_of (
    user_id int8 NOT NULL,
    token bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (user_id, token)
);
CREATE TABLE signatures (
    account int8 NOT NULL,
    digest bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, digest)
);
CREATE TABLE blobs (
    account int8 NOT NULL,
    blob bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, blob)
);
CREATE TABLE doomed (
    account int8 NOT NULL,
    blob bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, blob)
);
CREATE TABLE uploads (
    id bytea PRIMARY KEY,
    value bytea NOT NULL
);
CREATE TABLE uploads_joining (
    id bytea PRIMARY KEY,
    value bytea NOT NULL
);
CREATE TABLE uploads_of (
    user_id int8 NOT NULL,
    number int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (user_id, number)
);
CREATE TABLE pieces (
    upload bytea NOT NULL,
    kind int8 NOT NULL,
    number int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (upload, kind, number)
);
CREATE TABLE events (
    account int8 NOT NULL,
    callback int8 NOT NULL,
    id int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, callback, id)
);
CREATE TABLE job_counts (
    account int8 PRIMARY KEY,
    value bytea NOT NULL
);
-- Few rows: what is queued, by the time it is due.
CREATE TABLE jobs_due (
    due int8 NOT NULL,
    account int8 NOT NULL,
    number int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (due, account, number)
);
CREATE TABLE jobs (
    account int8 NOT NULL,
    number int8 NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (account, number)
);
-- Rows to be locked by nodes that write the same accounts at once.
CREATE TABLE gates (
    id int8 PRIMARY KEY
);
INSERT INTO gates (id) SELECT * FROM generate_series(0, 63);
