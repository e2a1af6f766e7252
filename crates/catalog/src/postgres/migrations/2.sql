-- A move of the whole store. The door is one row that is always there: every transaction that writes locks it for sharing,
-- so that whoever changes it waits for those that run. An empty value says nothing.
CREATE TABLE door (
    id int8 PRIMARY KEY,
    value bytea NOT NULL
);
INSERT INTO door (id, value) VALUES (0, '');
-- Where rows stand that were changed while the store is moved. A key may be longer than an index row: a hash stands for it.
CREATE TABLE changes (
    epoch int8 NOT NULL,
    hash bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (epoch, hash)
);
