CREATE TABLE entries (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id),
    amount BIGINT NOT NULL
);
INSERT INTO entries (user_id, amount) VALUES (1, 100), (2, 50);
