// @generated automatically by Diesel CLI.

diesel::table! {
    entries (id) {
        id -> Int4,
        user_id -> Int4,
        amount -> Int8,
    }
}

diesel::table! {
    users (id) {
        id -> Int4,
        name -> Text,
        balance -> Int8,
    }
}

diesel::joinable!(entries -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(entries, users,);
