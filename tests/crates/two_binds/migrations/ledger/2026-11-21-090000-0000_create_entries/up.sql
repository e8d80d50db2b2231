CREATE TABLE entries (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL, -- of the bind accounts
    amount BIGINT NOT NULL
);
