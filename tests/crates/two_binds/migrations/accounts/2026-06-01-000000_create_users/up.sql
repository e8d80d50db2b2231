CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    name TEXT NOT NULL,
    balance BIGINT NOT NULL
);
INSERT INTO users (name, balance) VALUES ('Ada', 100), ('Grace', 50);
