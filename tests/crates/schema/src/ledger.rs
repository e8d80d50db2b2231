// @generated automatically by Diesel CLI.

diesel::table! {
    use diesel::sql_types::*;

    entries (id) {
        id -> Integer,
        user_id -> Integer,
        amount -> BigInt,
        noted_at -> Timestamp,
    }
}

diesel::table! {
    tags (entry_id, name) {
        entry_id -> Integer,
        name -> Text,
    }
}

diesel::joinable!(tags -> entries (entry_id));

diesel::allow_tables_to_appear_in_same_query!(
    entries,
    tags,
);
