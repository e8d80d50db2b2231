// @generated automatically by Diesel CLI.

diesel::table! {
    entries (id) {
        id -> Int4,
        user_id -> Int4,
        amount -> Int8,
    }
}
